//! `serve`: what Prometheus and everybody else gets, and that nobody can stop it or make it
//! capture more often. And the page that `--html` writes of real captures.

mod support;

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use support::{DEADLINE, Fixture, Interpreter, for_each_of, scratch, store};

/// A running `pyattach serve`; killed when dropped.
struct Server {
    child: Child,
    address: SocketAddr,
    log: Receiver<String>,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pyattach"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, log) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let address = loop {
            let line = log.recv_timeout(DEADLINE).expect("serve says where it listens");
            if let Some((_, rest)) = line.split_once("http://") {
                break rest.split('/').next().unwrap().parse().unwrap();
            }
        };
        Self { child, address, log }
    }

    /// Asks until the answer is what is waited for.
    fn wait(&self, path: &str, what: &str, until: impl Fn(&Answer) -> bool) -> Answer {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let answer = self.get(path, "");
            if until(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{path} never has {what}: {}", answer.body);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The metrics once `pid` was captured so many times.
    fn captured(&self, pid: i32, times: f64) -> Answer {
        let series = format!("pyattach_captures_total{{pid=\"{pid}\",result=\"ok\"}}");
        self.wait("/metrics", &series, |answer| {
            answer.sample(&series).is_some_and(|count| count >= times)
        })
    }

    fn get(&self, path: &str, headers: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"))
    }

    fn send(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { code, head: head.to_lowercase(), body: body.to_owned() }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Ends it as systemd does, and gives its exit code.
    fn stop(mut self) -> Option<i32> {
        // SAFETY: a plain system call; the child was not waited for, so the PID is its own.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "serve does not end on SIGTERM");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for line in self.log.try_iter() {
            println!("{line}");
        }
    }
}

struct Answer {
    code: u16,
    head: String,
    body: String,
}

impl Answer {
    /// The value of a series, written as it is exported.
    fn sample(&self, series: &str) -> Option<f64> {
        let line = self
            .body
            .lines()
            .find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
        line.rsplit_once(' ')?.1.parse().ok()
    }
}

/// One version is enough: what is captured, others test on all.
fn one(interpreter: &Interpreter) -> bool {
    interpreter.to_string() == "3.12.1"
}

fn prometheus(program: &str) -> Option<PathBuf> {
    let path = store().join("prometheus/usr/bin").join(program);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("PYATTACH_REQUIRE_MATRIX").is_none(), "{} is missing", path.display());
    println!("not run: {program} is not there (tests/provision.sh --libraries)");
    None
}

#[test]
fn numbers_are_those_of_the_process() {
    for_each_of(one, |interpreter| {
        let mut target = Fixture::start(interpreter, "census.py", &[]);
        let truth = target.ask("resources");
        let server = Server::start(&[&target.pid_text(), "--every", "1s"]);
        let page = server.captured(target.pid, 1.0);
        let kinds =
            [("socket", "socket"), ("executor", "thread_pool_executor"), ("task", "asyncio_task")];
        for (kind, ours) in kinds {
            for (state, count) in truth["counts"][kind]["states"].as_object().unwrap() {
                let labels = format!("pid=\"{}\",kind=\"{ours}\",state=\"{state}\"", target.pid);
                let series = format!("pyattach_resources{{{labels}}}");
                assert_eq!(page.sample(&series), count.as_f64(), "{series}\n{}", page.body);
            }
        }
        assert!(page.head.contains("text/plain; version=0.0.4"), "{}", page.head);
        let open = server.get("/metrics", "Accept: application/openmetrics-text\r\n");
        assert!(open.head.contains("application/openmetrics-text"), "{}", open.head);
        assert!(open.body.ends_with("# EOF\n"));
        let report: Value = serde_json::from_str(&server.get("/report.json", "").body).unwrap();
        assert_eq!(report["schema"], "pyattach.serve/1");
        assert_eq!(report["processes"][0]["pid"], target.pid);
        assert_eq!(report["processes"][0]["up"], true);
        let health = server.get("/healthz", "");
        assert!(health.code == 200 && health.body.starts_with("ok: round"), "{}", health.body);
        if let Some(promtool) = prometheus("promtool") {
            lint(&promtool, &page.body);
        }
        assert_eq!(server.stop(), Some(0));
        assert!(target.is_alive());
    });
}

/// `promtool check metrics`, which must have nothing to say.
fn lint(promtool: &PathBuf, page: &str) {
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let said = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(said.status.success(), "{}{}", text(&said.stdout), text(&said.stderr));
    assert_eq!(text(&said.stdout) + &text(&said.stderr), "");
}

#[test]
fn alert_rules_are_sound() {
    let Some(promtool) = prometheus("promtool") else { return };
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guide/prometheus-alerts.yml");
    let said = Command::new(promtool).args(["check", "rules", rules]).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

#[test]
fn alerts_and_dashboard_name_what_there_is() {
    for_each_of(one, |interpreter| {
        let target = Fixture::start(interpreter, "aiohttp_sessions.py", &[]);
        let server = Server::start(&[&target.pid_text(), "--every", "1s"]);
        let page = server.captured(target.pid, 1.0).body;
        // What this process has none of.
        let absent = ["pyattach_resource_queued", "pyattach_finding_objects"];
        for file in ["prometheus-alerts.yml", "grafana-dashboard.json"] {
            let path = format!("{}/docs/guide/{file}", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(path).unwrap();
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let mut names: Vec<&str> = text
                .split(|c| !word(c))
                .filter(|name| name.starts_with("pyattach_") && !absent.contains(name))
                .collect();
            names.dedup();
            assert!(names.len() > 10, "{file}: {names:?}");
            for name in names {
                assert!(
                    page.contains(&format!("\n{name}{{")) || page.contains(&format!("\n{name} ")),
                    "{file}: {name}"
                );
            }
        }
    });
}

#[test]
fn a_real_prometheus_scrapes_it_and_answers() {
    let Some(program) = prometheus("prometheus") else { return };
    for_each_of(one, |interpreter| {
        let mut target = Fixture::start(interpreter, "census.py", &[]);
        let truth = target.ask("resources");
        let server = Server::start(&[&target.pid_text(), "--every", "1s"]);
        server.captured(target.pid, 1.0);
        let folder = tempfile::tempdir_in(scratch()).unwrap();
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n\
             - job_name: python\n  static_configs: [{{targets: ['{}']}}]\n",
            server.address
        );
        std::fs::write(&config, text).unwrap();
        // Prometheus takes no port 0: one that is free now will hardly be taken in between.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(&program);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={free}"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap());
        let child = command.spawn().unwrap();
        let (_, log) = channel();
        let running = Server { child, address: free, log };
        let query = "/api/v1/query?query=sum%28pyattach_resources%7Bkind%3D%22socket%22%7D%29";
        let deadline = Instant::now() + DEADLINE;
        let answer = loop {
            // It listens only after a while.
            let up = TcpStream::connect(free).is_ok();
            let answer = up.then(|| {
                running.send(&format!(
                    "GET {query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                ))
            });
            let value = answer.and_then(|answer| {
                let json: Value = serde_json::from_str(&answer.body).ok()?;
                json["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
            });
            if let Some(value) = value {
                break value;
            }
            let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
            assert!(Instant::now() < deadline, "Prometheus has no answer:\n{log}");
            std::thread::sleep(Duration::from_millis(200));
        };
        assert_eq!(answer, truth["counts"]["socket"]["count"].to_string());
    });
}

#[test]
fn requests_cause_no_captures_and_slow_clients_stop_nothing() {
    for_each_of(one, |interpreter| {
        let target = Fixture::start(interpreter, "census.py", &[]);
        // One capture, and none for an hour.
        let server = Server::start(&[&target.pid_text(), "--every", "60m"]);
        server.captured(target.pid, 1.0);
        // More connections than are allowed, each with half a request.
        let mut slow = Vec::new();
        for _ in 0..200 {
            let mut stream = server.connect();
            // The server may have ended it already to make room.
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: local");
            slow.push(stream);
        }
        for _ in 0..100 {
            let page = server.get("/metrics", "");
            assert_eq!(page.code, 200);
            let series = format!("pyattach_captures_total{{pid=\"{}\",result=\"ok\"}}", target.pid);
            assert_eq!(page.sample(&series), Some(1.0));
        }
        // What is no request, or one that is too long, ends the connection and no more.
        let endless = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
        for nonsense in [endless.as_bytes(), b"\x16\x03\x01\x02\x00\x01", b"\r\n\r\n\r\n", b"GET"] {
            let mut stream = server.connect();
            let _ = stream.write_all(nonsense);
        }
        assert_eq!(server.get("/healthz", "").code, 200);
        drop(slow);
    });
}

#[test]
fn only_what_is_meant_for_others_is_answered() {
    for_each_of(one, |interpreter| {
        let target = Fixture::start(interpreter, "census.py", &[]);
        let server = Server::start(&[&target.pid_text(), "--every", "60m"]);
        server.captured(target.pid, 1.0);
        assert_eq!(server.get("/../etc/passwd", "").code, 404);
        let post = "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(server.send(post).code, 405);
        let foreign = "GET /report.json HTTP/1.1\r\nHost: evil.example\r\n\r\n";
        assert_eq!(server.send(foreign).code, 421);
        let head = server.send("HEAD /metrics HTTP/1.1\r\nHost: [::1]:9477\r\n\r\n");
        assert!(head.code == 200 && head.body.is_empty());
        assert_eq!(server.get("/", "").code, 200);
    });
}

#[test]
fn a_target_that_restarts_is_found_again() {
    for_each_of(one, |interpreter| {
        let mark = format!("restart-{}-{}", std::process::id(), interpreter);
        let start = || Fixture::start(interpreter, "stacks.py", &["--only", &mark]);
        let name = format!("stacks.py --only {mark}");
        let first = start();
        let textfile = scratch().join(format!("{mark}.prom"));
        let path = textfile.to_str().unwrap();
        let server = Server::start(&["--name", &name, "--every", "1s", "--textfile", path]);
        server.captured(first.pid, 1.0);
        let old = format!("pid=\"{}\"", first.pid);
        drop(first);
        server.wait("/metrics", "no process", |answer| {
            answer.sample("pyattach_targets") == Some(0.0) && !answer.body.contains(&old)
        });
        let second = start();
        let page = server.captured(second.pid, 2.0);
        assert_eq!(page.sample("pyattach_targets"), Some(1.0));
        let written = std::fs::read_to_string(&textfile).unwrap();
        assert!(written.contains(&format!("pyattach_target_up{{pid=\"{}\"}} 1\n", second.pid)));
        assert_eq!(server.stop(), Some(0));
        assert!(!textfile.exists(), "old numbers are left");
    });
}

#[test]
fn a_process_that_was_given_is_down_when_it_ends() {
    for_each_of(one, |interpreter| {
        let target = Fixture::start(interpreter, "census.py", &[]);
        let pid = target.pid;
        let server = Server::start(&[&target.pid_text(), "--every", "1s"]);
        server.captured(pid, 1.0);
        target.end();
        let down = format!("pyattach_target_up{{pid=\"{pid}\"}}");
        let page = server
            .wait("/metrics", "a process that is down", |answer| answer.sample(&down) == Some(0.0));
        assert!(!page.body.contains("pyattach_objects{"), "{}", page.body);
        assert_eq!(server.get("/healthz", "").code, 200);
    });
}

#[test]
fn a_file_for_node_exporter() {
    for_each_of(one, |interpreter| {
        let target = Fixture::start(interpreter, "census.py", &[]);
        let folder = tempfile::tempdir_in(scratch()).unwrap();
        let path = folder.path().join("python.prom");
        let words = ["serve", &target.pid_text(), "--once", "--textfile", path.to_str().unwrap()];
        let outcome = support::pyattach(&words);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("pyattach_target_up") && !text.contains("# EOF"), "{text}");
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let wrong = support::pyattach(&["serve", "1", "--textfile", "metrics.txt"]);
        assert_eq!(wrong.code, Some(2));
    });
}

#[test]
fn a_page_of_a_series() {
    for_each_of(one, |interpreter| {
        let target = Fixture::start(interpreter, "census.py", &[]);
        let folder = tempfile::tempdir_in(scratch()).unwrap();
        let dir = folder.path().to_str().unwrap();
        for _ in 0..3 {
            let outcome = support::pyattach(&["snapshot", &target.pid_text(), "--dir", dir]);
            assert_eq!(outcome.code, Some(0), "{outcome:?}");
        }
        let path = folder.path().join("page.html");
        let outcome = support::pyattach(&["trend", dir, "--html", path.to_str().unwrap()]);
        assert!(matches!(outcome.code, Some(0 | 1)), "{outcome:?}");
        check_page(&path, target.pid);
    });
}

/// It is one whole page about this process, that loads nothing and runs one script only.
fn check_page(path: &std::path::Path, pid: i32) {
    let page = std::fs::read_to_string(path).unwrap();
    assert!(page.len() < 1_000_000 && page.trim_end().ends_with("</html>"), "{}", page.len());
    assert!(page.contains(&format!("<h1>Process {pid}</h1>")));
    assert!(page.contains("socket.socket") && page.contains("builtins.dict"));
    for outside in [" src=", " href=", "@import", "url(", "http:", "https:"] {
        assert!(!page.contains(outside), "{outside}");
    }
    // The policy names our script by its hash, which Python works out here.
    let program = "import base64, hashlib, re, sys\n\
        script = re.search('<script>(.*?)</script>', open(sys.argv[1]).read(), re.S)[1]\n\
        print(base64.b64encode(hashlib.sha256(script.encode()).digest()).decode())";
    let python = Command::new("python3").args(["-c", program]).arg(path).output().unwrap();
    let hash = String::from_utf8(python.stdout).unwrap();
    assert!(page.contains(&format!("script-src 'sha256-{}'", hash.trim())), "it must be {hash}");
}
