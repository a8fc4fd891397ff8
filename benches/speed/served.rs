//! What attaching costs the clients of a loaded server: requests per second before, during and after, and the slowest
//! answer.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::cases::Contender;
use crate::contenders;
use crate::measure::run;
use crate::options::Options;
use crate::peers::Peers;
use crate::statistics::{Series, number};
use crate::support::{Fixture, Flavour, Interpreter, interpreters as all, scratch};

/// The word for the command line.
pub(crate) const NAME: &str = "served";
/// Rounds, and rounds with `--quick`.
pub(crate) const ROUNDS: (usize, usize) = (7, 2);

const OBJECTS: &str = "500000";
const CLIENTS: usize = 4;
/// How long the load runs before and after.
const AROUND: Duration = Duration::from_millis(700);
/// A window as short as a fast tool's run has too few answers in it.
const SHORTEST: Duration = Duration::from_millis(50);

/// Who does something to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visitor {
    Nobody,
    Tool(Contender),
    /// `sys.remote_exec` of the same scans (3.14 and later).
    RemoteExec,
    /// The server scans by itself, when a client asks for it.
    InProcess,
}

const VISITORS: [Visitor; 8] = [
    Visitor::Nobody,
    Visitor::Tool(Contender::Ours(&["census"])),
    Visitor::Tool(Contender::Ours(&["census", "--capture", "copy"])),
    Visitor::Tool(Contender::Ours(&["dump"])),
    Visitor::Tool(Contender::PySpy(&["dump"])),
    Visitor::Tool(Contender::Gdb),
    Visitor::RemoteExec,
    Visitor::InProcess,
];

impl Visitor {
    fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Tool(Contender::Ours(["census"])) => "pyattach census",
            Self::Tool(Contender::Ours(["dump"])) => "pyattach dump",
            Self::Tool(Contender::Ours(_)) => "pyattach census --capture copy",
            Self::Tool(Contender::PySpy(_)) => "py-spy 0.4.3 dump",
            Self::Tool(tool) => tool.name(),
            Self::RemoteExec => "sys.remote_exec of the scans",
            Self::InProcess => "the scans in the process",
        }
    }
}

/// The figures of one server.
pub(crate) struct Outcome {
    python: String,
    rows: Vec<Row>,
    problems: Vec<String>,
}

struct Row {
    name: &'static str,
    wall_ms: Series,
    before: Series,
    during: Series,
    after: Series,
    slowest_ms: Series,
}

/// Those asked for, and one that has `sys.remote_exec`.
pub(crate) fn interpreters(options: &Options) -> Vec<&'static Interpreter> {
    let count = if options.quick { 1 } else { options.pythons.len() };
    let asked = options.pythons.iter().take(count);
    let asked = asked.filter_map(|label| all().iter().find(|one| one.label == *label));
    let newer = all().iter().find(|one| one.at_least((3, 14)) && one.flavour != Flavour::Debug);
    asked.chain(newer).filter(|one| one.has_aiohttp()).collect()
}

/// All visitors in turn, on the same server.
pub(crate) fn measure(
    python: &Interpreter,
    peers: &Peers,
    options: &Options,
) -> Result<Outcome, String> {
    let server = Fixture::start(python, "bench_server.py", &["--objects", OBJECTS]);
    let port = server.facts["port"].as_u64().and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or("no port")?;
    let mut outcome =
        Outcome { python: python.label.clone(), rows: Vec::new(), problems: Vec::new() };
    let rounds = if options.quick { ROUNDS.1 } else { ROUNDS.0 };
    for visitor in VISITORS {
        let mut row = Row {
            name: visitor.name(),
            wall_ms: Series::default(),
            before: Series::default(),
            during: Series::default(),
            after: Series::default(),
            slowest_ms: Series::default(),
        };
        for _ in 0..rounds {
            let load = Load::start(port);
            std::thread::sleep(AROUND);
            let begin = Instant::now();
            let visited = visit(visitor, python, &server, port, peers, options);
            let end = Instant::now().max(begin + SHORTEST);
            std::thread::sleep(AROUND.max(end.saturating_duration_since(Instant::now())));
            let answers = load.end()?;
            if let Err(problem) = visited {
                outcome.problems.push(format!("not run: {}: {problem}", row.name));
                break;
            }
            let rate = |from: Instant, to: Instant| {
                let inside = answers.iter().filter(|answer| (from..to).contains(&answer.at));
                inside.count() as f64 / (to - from).as_secs_f64()
            };
            row.wall_ms.push(visited.unwrap_or_default().as_secs_f64() * 1e3);
            row.before.push(rate(begin - AROUND, begin));
            row.during.push(rate(begin, end));
            row.after.push(rate(end, end + AROUND));
            let slowest = answers.iter().filter(|a| a.at >= begin && a.at - a.taken < end);
            let slowest = slowest.map(|answer| answer.taken).max().unwrap_or_default();
            row.slowest_ms.push(slowest.as_secs_f64() * 1e3);
        }
        if row.during.len() > 0 {
            outcome.rows.push(row);
        }
    }
    server.end();
    Ok(outcome)
}

/// Does what the visitor does; how long it took.
fn visit(
    visitor: Visitor,
    python: &Interpreter,
    server: &Fixture,
    port: u16,
    peers: &Peers,
    options: &Options,
) -> Result<Duration, String> {
    let pid = server.pid_text();
    let begin = Instant::now();
    match visitor {
        Visitor::Nobody => std::thread::sleep(SHORTEST * 4),
        Visitor::Tool(tool) => {
            let command = contenders::command(tool, &pid, peers, options);
            let run = run(command.ok_or("not on this machine")?, 0)?;
            if tool == Contender::Gdb
                && let Some(problem) = contenders::problem(tool, &run.output, &[])
            {
                return Err(problem);
            }
            return Ok(run.wall);
        }
        Visitor::RemoteExec if !python.at_least((3, 14)) => {
            return Err("3.14 and later have it".to_owned());
        }
        Visitor::RemoteExec => remote_exec(python, &pid)?,
        Visitor::InProcess => {
            let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|e| e.to_string())?;
            request(&mut BufReader::new(stream), "/scan").map_err(|e| e.to_string())?;
        }
    }
    Ok(begin.elapsed())
}

/// Until the script has run to its end.
fn remote_exec(python: &Interpreter, pid: &str) -> Result<(), String> {
    let (script, result) = (scratch().join("bench-scans.py"), scratch().join("bench-scans-result"));
    let _ = std::fs::remove_file(&result);
    let text = contenders::SCANS.replace("\\n", "\n");
    let inside = |path| python.inside(path).to_string_lossy().into_owned();
    let text = text.replace("RESULT", &inside(&result));
    std::fs::write(&script, text).map_err(|e| e.to_string())?;
    let call = "import sys; sys.remote_exec(int(sys.argv[1]), sys.argv[2])";
    let words = ["-c", call, pid, &inside(&script)];
    let mut command = python.command(&words);
    if python.root.is_some() {
        // In the target's own namespace: it looks for the target's executable by its path.
        command = Command::new("nsenter");
        command.args(["--target", pid, "--mount", "--root"]).arg(&python.executable).args(words);
    }
    let output = command.output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(text.lines().last().unwrap_or_default().to_owned());
    }
    let until = Instant::now() + Duration::from_secs(60);
    while !std::fs::read_to_string(&result).is_ok_and(|text| text.contains("Task ")) {
        if Instant::now() > until {
            return Err("it did not run within a minute".to_owned());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = std::fs::remove_file(script);
    let _ = std::fs::remove_file(result);
    Ok(())
}

/// One answer.
#[derive(Debug, Clone, Copy)]
struct Answer {
    at: Instant,
    taken: Duration,
}

/// Clients that ask as fast as they are answered.
struct Load {
    end: Arc<AtomicBool>,
    answers: Arc<Mutex<Vec<Answer>>>,
    clients: Vec<std::thread::JoinHandle<std::io::Result<()>>>,
}

impl Load {
    fn start(port: u16) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let answers = Arc::new(Mutex::new(Vec::new()));
        let client = |_| {
            let (end, answers) = (Arc::clone(&end), Arc::clone(&answers));
            std::thread::spawn(move || {
                let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port))?);
                let mut own = Vec::new();
                while !end.load(Ordering::Relaxed) {
                    let begin = Instant::now();
                    request(&mut stream, "/")?;
                    own.push(Answer { at: Instant::now(), taken: begin.elapsed() });
                }
                answers.lock().map_err(|_| std::io::Error::other("a client failed"))?.extend(own);
                Ok(())
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { end, answers, clients }
    }

    fn end(self) -> Result<Vec<Answer>, String> {
        self.end.store(true, Ordering::Relaxed);
        for client in self.clients {
            let done = client.join().map_err(|_| "a client failed".to_owned())?;
            done.map_err(|problem| format!("a client: {problem}"))?;
        }
        let answers = self.answers.lock().map_err(|_| "a client failed".to_owned())?;
        Ok(answers.clone())
    }
}

/// One request on a connection that stays.
fn request(stream: &mut BufReader<TcpStream>, path: &str) -> std::io::Result<()> {
    // In one piece: the second of two would wait for the acknowledgement of the first.
    let text = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.get_mut().write_all(text.as_bytes())?;
    let (mut line, mut length) = (String::new(), 0);
    stream.read_line(&mut line)?;
    if !line.contains(" 200 ") {
        return Err(std::io::Error::other(line));
    }
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
    }
    stream.read_exact(&mut vec![0; length])
}

/// The tables.
pub(crate) fn figures(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "**a loaded aiohttp server with {OBJECTS} objects**, CPython {}, {CLIENTS} clients\n\n\
             | visitor | wall, ms | requests/s before | during | after | slowest answer, ms |\n\
             |---|--:|--:|--:|--:|--:|",
            outcome.python
        );
        for row in &outcome.rows {
            let median = |series: &Series| series.median().map_or("–".to_owned(), number);
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} |",
                row.name,
                median(&row.wall_ms),
                median(&row.before),
                median(&row.during),
                median(&row.after),
                row.slowest_ms.shown(),
            );
        }
        for problem in &outcome.problems {
            let _ = writeln!(text, "\n{}", problem.lines().next().unwrap_or_default());
        }
        text.push('\n');
    }
    text
}
