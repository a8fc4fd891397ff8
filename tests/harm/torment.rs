//! Captures of one program in every mode, with our binary killed in between, and two at once.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pyattach::attach::{AttachError, CaptureMode, StackOptions, Target};
use serde_json::Value;

use crate::client::Client;
use crate::fork_helper::{STEPS, children, options};
use crate::ledger::{Entry, Ledger};
use crate::programs::{Prey, Program, Running};
use crate::support::{DEADLINE, Interpreter};

pub(crate) const MODES: [CaptureMode; 4] =
    [CaptureMode::Stop, CaptureMode::Copy, CaptureMode::Fork, CaptureMode::Live];
/// Rounds between two questions.
const ROUNDS_PER_CHECK: u32 = 8;
/// By how much more than the control's latest a wait may be late, beside the longest pause:
/// far below the length of the waits, so that one that began anew is seen.
const TOLERANCE: Duration = Duration::from_millis(400);

/// How long a program is captured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) rounds: u32,
    pub(crate) until: Instant,
}

/// One capture by our library: the pause, or why there is no answer.
pub(crate) fn capture(pid: i32, mode: CaptureMode) -> Result<Duration, String> {
    let outcome = Target::open(pid).and_then(|target| {
        let show = StackOptions { locals: false, source: false };
        match mode {
            CaptureMode::Stop | CaptureMode::Live => {
                target.dump(&options(mode), show).map(|dump| dump.capture)
            }
            _ => target.census(&options(mode)).map(|census| census.capture),
        }
    });
    match outcome {
        Ok(capture) => {
            let pause = capture.total_pause_ms.unwrap_or(0.0).max(0.0);
            Ok(Duration::from_secs_f64(pause / 1000.0))
        }
        Err(error @ AttachError::OverBudget { .. }) => Err(format!("over budget: {error}")),
        Err(error) => Err(error.to_string()),
    }
}

fn binary(pid: i32, mode: CaptureMode) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pyattach"));
    command.args(["census", &pid.to_string(), "--capture", mode.name()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

struct Torment<'t> {
    ledger: &'t Ledger,
    version: String,
    program: &'static Program,
    running: Running,
    /// How long a run of our binary takes here and now.
    run: Duration,
    round: u32,
}

/// Captures and kills; what the program finds goes into the ledger.
pub(crate) fn torment(
    interpreter: &Interpreter,
    program: &'static Program,
    span: Span,
    ledger: &Ledger,
) {
    let version = interpreter.label.clone();
    let start = || program.start(interpreter);
    let running = match start() {
        Ok(running) => running,
        Err(why) => return ledger.not_run(&version, program.name, &why),
    };
    // Its lateness is the machine's.
    let mut control = (program.name == "waits").then(start).and_then(Result::ok);
    let mut torment = Torment { ledger, version, program, running, run: Duration::ZERO, round: 0 };
    let entry = torment.entry("all");
    if let Err(what) = torment.run(span, control.as_mut()) {
        let stderr = torment.running.fixture.stderr();
        ledger.harm(&entry, &format!("{what}\n{stderr}"));
    }
    let label = format!("{} on {interpreter}", program.name);
    for what in torment.running.remains(&label) {
        ledger.harm(&entry, &what);
    }
    let Running { fixture, group } = torment.running;
    fixture.end();
    drop(group);
}

impl Torment<'_> {
    fn entry(&self, mode: &'static str) -> Entry {
        Entry { version: self.version.clone(), program: self.program.name, mode }
    }

    fn run(&mut self, span: Span, control: Option<&mut Running>) -> Result<(), String> {
        let port = self.running.fixture.facts["port"].as_u64();
        let client = port.and_then(|port| u16::try_from(port).ok()).map(Client::start);
        let before = self.ask("check")?;
        let begin = Instant::now();
        let status = binary(self.running.fixture.pid, CaptureMode::Fork).status();
        status.map_err(|error| error.to_string())?;
        self.run = begin.elapsed().mul_f64(1.2);
        while self.round < span.rounds || Instant::now() < span.until {
            for mode in MODES {
                self.capture(mode);
                self.kill(mode);
            }
            self.two_at_once();
            self.round += 1;
            if self.round.is_multiple_of(ROUNDS_PER_CHECK) {
                self.ask("check")?;
            }
        }
        self.remove_the_dead()?;
        if let Some(client) = client {
            let answers = client.end()?;
            (answers > 0).then_some(()).ok_or("the client from outside got no answer")?;
        }
        let busy = self.program.name == "busy";
        let after = self.ask(if busy { "check" } else { "finish" })?;
        moved_on(&before, &after)?;
        if let Some(control) = control {
            let control = control.fixture.try_ask("finish", DEADLINE)?;
            let allowed = self.ledger.longest_pause(&self.version) + TOLERANCE;
            on_time(&after, &control, allowed)?;
        }
        Ok(())
    }

    fn ask(&mut self, command: &str) -> Result<Value, String> {
        let answer = self.running.fixture.try_ask(command, DEADLINE)?;
        for what in answer["harm"].as_array().ok_or("an answer without findings")? {
            self.ledger.harm(&self.entry("all"), what.as_str().unwrap_or("something"));
        }
        for kind in ["nanosleep", "poll"] {
            if answer["interrupted"][kind].as_u64().unwrap_or(0) > 0 {
                return Err(format!("EINTR was seen: {answer}"));
            }
        }
        Ok(answer)
    }

    /// A process to capture, another one each time.
    fn prey(&self) -> Option<i32> {
        let pid = self.running.fixture.pid;
        let mut all = match self.program.prey {
            Prey::Program => return Some(pid),
            Prey::Family => vec![pid],
            Prey::Children => Vec::new(),
        };
        let mut known = vec![pid];
        while let Some(parent) = known.pop() {
            let living = children(parent).into_iter().filter(|&(_, state)| state != 'Z');
            let below: Vec<i32> = living.map(|(child, _)| child).collect();
            all.extend(&below);
            known.extend(below);
        }
        // Not the clock's: what it gives must not keep time with what the program does.
        let turn = (self.round as usize).wrapping_mul(7919);
        all.get(turn.checked_rem(all.len())?).copied()
    }

    fn capture(&self, mode: CaptureMode) {
        if let Some(pid) = self.prey() {
            self.ledger.captured(&self.entry(mode.name()), capture(pid, mode));
        }
    }

    /// Our binary, killed: at a step of the fork in even rounds, else after a part of its run.
    fn kill(&mut self, mode: CaptureMode) {
        let (Some(pid), true) = (self.prey(), mode != CaptureMode::Live) else { return };
        let mut command = binary(pid, mode);
        let by_step = mode == CaptureMode::Fork && self.round.is_multiple_of(2);
        let step = by_step.then(|| STEPS[(self.round / 2) as usize % STEPS.len()]);
        if let Some(step) = step {
            command.env("PYATTACH_TEST_DIE_AT", step);
        }
        let Ok(mut child) = command.spawn() else { return };
        if step.is_none() {
            let part = f64::from(self.round.wrapping_mul(7919) % 1000) / 1000.0;
            std::thread::sleep(self.run.mul_f64(part));
            let _ = child.kill();
        }
        let status = child.wait();
        if status.is_ok_and(|status| status.signal() == Some(libc::SIGKILL)) {
            self.ledger.killed(&self.entry(mode.name()), step);
        } else if step.is_none() {
            // It was faster than we thought.
            self.run = self.run.mul_f64(0.95);
        }
    }

    /// Our library and our binary at the same process at the same time.
    fn two_at_once(&self) {
        let Some(pid) = self.prey() else { return };
        let turn = self.round as usize;
        let (ours, other) = (MODES[turn % MODES.len()], MODES[turn / MODES.len() % MODES.len()]);
        let child = binary(pid, other).stderr(Stdio::piped()).spawn();
        self.ledger.captured(&self.entry(ours.name()), capture(pid, ours));
        if let Ok(child) = child {
            self.ledger.captured(&self.entry(other.name()), answer_of(child));
        }
    }

    /// What the kills have left is removed by the next fork that comes about.
    fn remove_the_dead(&self) -> Result<(), String> {
        if self.program.never_forked() {
            return Ok(());
        }
        let pid = self.running.fixture.pid;
        let begin = Instant::now();
        // Those that still die as well: only the dead are removed.
        while children(pid).iter().any(|&(child, _)| is_of_ours(child)) {
            if begin.elapsed() > DEADLINE {
                return Err(format!("dead copies stay: {:?}", children(pid)));
            }
            self.ledger.captured(&self.entry("fork"), capture(pid, CaptureMode::Fork));
        }
        Ok(())
    }
}

/// What a run of our binary came to; the pause is not looked for.
fn answer_of(child: Child) -> Result<Duration, String> {
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    if matches!(output.status.code(), Some(0 | 1)) {
        return Ok(Duration::ZERO);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(text.lines().next().unwrap_or("no message").trim_start_matches("error: ").to_owned())
}

/// Everything that a program counts has grown, and nothing more is open.
fn moved_on(before: &Value, after: &Value) -> Result<(), String> {
    let counters = before["counters"].as_object().ok_or("no counters")?;
    for (name, count) in counters.iter().filter(|(name, _)| *name != "pauses_seen") {
        if after["counters"][name].as_u64() <= count.as_u64() {
            return Err(format!("{name} stands still: {after}"));
        }
    }
    if after["counters"]["pauses_seen"].as_u64().unwrap_or(0) > 0 {
        return Err("SIGCONT was seen".to_owned());
    }
    for files in ["descriptors", "fds"] {
        if before[files] != after[files] {
            return Err(format!("{} before, {} after", before[files], after[files]));
        }
    }
    Ok(())
}

/// The usual lateness of each wait is within what the pauses and the machine explain.
fn on_time(after: &Value, control: &Value, allowed: Duration) -> Result<(), String> {
    let late = |answer: &Value, name: &str, which: usize| answer["late"][name][which].as_f64();
    let Some(waits) = after["late"].as_object() else { return Err("no waits".to_owned()) };
    for name in waits.keys() {
        let usual = late(after, name, 0).ok_or("no lateness")?;
        let latest_of_control = late(control, name, 1).ok_or("no control")?;
        if usual > latest_of_control + allowed.as_secs_f64() {
            return Err(format!(
                "{name} is {usual} s late, the control {latest_of_control} s at most, pauses {allowed:?}"
            ));
        }
    }
    Ok(())
}

/// Exit signal 0: field 38.
fn is_of_ours(child: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    let rest = stat.rsplit(')').next().unwrap_or_default();
    rest.split_ascii_whitespace().nth(38 - 3) == Some("0")
}
