//! Real programs to look at: started, ready when they say so, asked over their pipes, ended
//! with the test. Every wait has a deadline.
#![allow(dead_code, reason = "each test program uses the part it needs")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Long enough for a loaded machine; a test that hangs fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running program whose lines we read.
pub(crate) struct Target {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Target {
    /// Starts `python3` with a program that prints `READY` when it is.
    pub(crate) fn python(source: &str) -> Self {
        let mut command = Command::new("python3");
        command.args(["-u", "-c", source]);
        let target = Self::start(command);
        target.expect("READY");
        target
    }

    /// Starts any command.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // In an orphaned group, such as that of a job without a terminal, SIGTSTP stops
            // nobody.
            .process_group(0)
            .spawn()
            .expect("the test needs this program");
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, stdin, lines }
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// The next line.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("the program should have printed a line")
    }

    /// Waits for a line that begins with `word`; gives what follows it.
    pub(crate) fn expect(&self, word: &str) -> String {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(rest) = self.line().strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
        panic!("the program did not print {word}");
    }

    /// Sends a line.
    pub(crate) fn say(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{text}").unwrap();
        stdin.flush().unwrap();
    }

    /// Sends a line and gives the next one that comes back.
    pub(crate) fn ask(&mut self, text: &str) -> String {
        self.say(text);
        self.line()
    }

    /// Ends it and gives its exit status; also shows that nobody else has reaped our child.
    pub(crate) fn end(mut self) -> std::process::ExitStatus {
        drop(self.stdin.take());
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("the child's status is ours") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("the program did not end at the end of its input");
    }

    pub(crate) fn signal(&self, signal: i32) {
        send(self.pid(), signal);
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn send(pid: i32, signal: i32) {
    // SAFETY: passes two integers.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "kill {pid} {signal}");
}

/// The state letters of all threads.
pub(crate) fn states(pid: i32) -> String {
    let mut states = String::new();
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return states };
    for task in tasks.flatten() {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        states.extend(stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()));
    }
    states
}

/// Waits until `condition` holds.
pub(crate) fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Compiles a C program with the system's compiler.
pub(crate) fn compile(directory: &std::path::Path, source: &str) -> std::path::PathBuf {
    let (text, program) = (directory.join("program.c"), directory.join("program"));
    std::fs::write(&text, source).unwrap();
    let status =
        Command::new("cc").args(["-O1", "-pthread", "-o"]).arg(&program).arg(&text).status();
    assert!(status.expect("these tests need a C compiler (cc)").success());
    program
}
