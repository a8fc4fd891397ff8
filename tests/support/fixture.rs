//! A program of `python-fixtures` that runs in an interpreter: start it, ask it, and be sure that it ends.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{DEADLINE, Interpreter, fixtures};

/// How many lines of a target's stderr a failure shows.
const STDERR_LINES: usize = 60;

/// A running fixture. Killed when dropped, and by the kernel when the thread that started it ends before that.
pub(crate) struct Fixture {
    /// The process ID of Python itself.
    pub(crate) pid: i32,
    /// What it said after READY.
    pub(crate) facts: Value,
    label: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Arc<Mutex<VecDeque<String>>>,
}

impl Fixture {
    /// Starts `python-fixtures/NAME` with these arguments and waits until it is ready and rests.
    ///
    /// # Panics
    /// When it ends or is not ready within [`DEADLINE`]; the message has its stderr.
    pub(crate) fn start(interpreter: &Interpreter, name: &str, arguments: &[&str]) -> Fixture {
        let program = interpreter.inside(&fixtures().join(name));
        let mut words = vec![program.into_os_string()];
        words.extend(arguments.iter().map(std::ffi::OsString::from));
        Fixture::run(&format!("{name} on {interpreter}"), interpreter.command(&words))
    }

    /// The same for any command that prints `READY {json}` on stdout.
    pub(crate) fn run(label: &str, mut command: Command) -> Fixture {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // SAFETY: prctl is a plain system call and async-signal-safe; nothing is allocated between fork and exec.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        let mut child = command.spawn().unwrap_or_else(|problem| panic!("{label}: {problem}"));
        let (send, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let stderr = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&stderr);
        let pipe = BufReader::new(child.stderr.take().expect("stderr is piped"));
        std::thread::spawn(move || {
            for line in pipe.split(b'\n').map_while(Result::ok) {
                let mut kept = kept.lock().expect("no holder panics");
                if kept.len() == STDERR_LINES {
                    kept.pop_front();
                }
                kept.push_back(String::from_utf8_lossy(&line).into_owned());
            }
        });
        let mut fixture = Fixture {
            pid: i32::try_from(child.id()).expect("a PID fits"),
            facts: Value::Null,
            label: label.to_owned(),
            stdin: child.stdin.take(),
            child,
            lines,
            stderr,
        };
        let line = fixture.line(DEADLINE);
        let Some(facts) = line.strip_prefix("READY ") else {
            fixture.fail(&format!("said {line:?} instead of READY"));
        };
        fixture.facts = fixture.parse(facts);
        assert_eq!(fixture.facts["pid"], fixture.pid, "{label}: the child is not Python itself");
        fixture.wait_serving();
        fixture
    }

    /// Sends a command line, waits for its answer and until the fixture rests again.
    ///
    /// # Panics
    /// When no answer comes within [`DEADLINE`], or the answer is an error.
    pub(crate) fn ask(&mut self, command: &str) -> Value {
        let answer = self.try_ask(command, DEADLINE);
        answer.unwrap_or_else(|problem| self.fail(&format!("{command}: {problem}")))
    }

    /// [`Fixture::ask`] with a deadline of its own, and without a panic: the text says what went wrong.
    pub(crate) fn try_ask(&mut self, command: &str, deadline: Duration) -> Result<Value, String> {
        let stdin = self.stdin.as_mut().ok_or("its stdin is closed")?;
        stdin
            .write_all(format!("{command}\n").as_bytes())
            .map_err(|problem| problem.to_string())?;
        let line = match self.lines.recv_timeout(deadline) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => return Err(format!("no answer within {deadline:?}")),
            Err(RecvTimeoutError::Disconnected) => return Err("the process ended".to_owned()),
        };
        let answer: Value = serde_json::from_str(&line).map_err(|problem| problem.to_string())?;
        if let Some(problem) = answer.get("error") {
            return Err(problem.as_str().unwrap_or("an error").to_owned());
        }
        self.wait_serving();
        Ok(answer)
    }

    /// The process ID as an argument for our binary.
    pub(crate) fn pid_text(&self) -> String {
        self.pid.to_string()
    }

    /// Is the process still there, and no zombie?
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The last lines that it wrote to stderr.
    pub(crate) fn stderr(&self) -> String {
        let kept = self.stderr.lock().expect("no holder panics");
        kept.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// Closes its stdin, which ends it, and waits for that.
    pub(crate) fn end(mut self) {
        self.stdin = None;
        let deadline = Instant::now() + DEADLINE;
        while self.is_alive() {
            assert!(Instant::now() < deadline, "{}: does not end with its stdin", self.label);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until the thread that answers commands is in read(2) on stdin again, which is where its truth is true.
    /// Programs that name no such thread are not waited for.
    fn wait_serving(&self) {
        let Some(tid) = self.facts["serving"]["native_id"].as_i64() else { return };
        let path = format!("/proc/{}/task/{tid}/syscall", self.pid);
        let deadline = Instant::now() + DEADLINE;
        // x86_64: read is 0, its first argument the descriptor.
        while !std::fs::read_to_string(&path).is_ok_and(|text| text.starts_with("0 0x0 ")) {
            if Instant::now() > deadline {
                self.fail("the answering thread does not come back to its stdin");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until all its threads wait for something else than the GIL: none has been woken for a while. Whoever was
    /// stopped goes through code of its own before it waits again.
    pub(crate) fn wait_parked(&self) {
        const QUIET: usize = 3;
        let deadline = Instant::now() + DEADLINE;
        let (mut last, mut quiet) = (None, 0);
        while quiet < QUIET {
            let now = self.switches();
            quiet = if now.is_some() && now == last { quiet + 1 } else { 0 };
            last = now;
            if Instant::now() > deadline {
                self.fail("its threads do not come to rest");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// How often each thread has begun to wait; `None` when one of them runs.
    fn switches(&self) -> Option<Vec<(String, String)>> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid)).ok()?;
        let of = |task: std::fs::DirEntry| {
            let status = String::from_utf8_lossy(&std::fs::read(task.path().join("status")).ok()?)
                .into_owned();
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name))?;
                Some(line.trim().to_owned())
            };
            let waits = field("State:")?.starts_with('S');
            waits.then_some((field("Pid:")?, field("voluntary_ctxt_switches:")?))
        };
        tasks.flatten().map(of).collect()
    }

    fn line(&self, deadline: Duration) -> String {
        match self.lines.recv_timeout(deadline) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                self.fail(&format!("said nothing within {deadline:?}"))
            }
            Err(RecvTimeoutError::Disconnected) => self.fail("ended"),
        }
    }

    fn parse(&self, text: &str) -> Value {
        serde_json::from_str(text)
            .unwrap_or_else(|problem| self.fail(&format!("{problem}: {text:.200}")))
    }

    fn fail(&self, what: &str) -> ! {
        panic!("{}: {what}\nstderr:\n{}", self.label, self.stderr())
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // Failing means that it ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
