//! Servers that the libraries in targets talk to: Debian's packages, started here on a free port of loopback.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{DEADLINE, tell};

/// A PostgreSQL of our own, with a user `app` who needs no password; ended and removed when dropped.
pub(crate) struct Postgres {
    child: Child,
    pub(crate) port: u16,
    _folder: tempfile::TempDir,
}

impl Postgres {
    /// `None` when the machine has no PostgreSQL.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = postgres_programs() else {
            missing("PostgreSQL", "postgresql");
            return None;
        };
        // SAFETY: geteuid has no arguments and cannot fail.
        let root = unsafe { libc::geteuid() } == 0;
        let folder = tempfile::Builder::new().prefix("pyattach-postgres-").tempdir().unwrap();
        let data = folder.path().join("data");
        // PostgreSQL refuses to run as root.
        let command = |program: &str| {
            let mut command = Command::new("setpriv");
            if root {
                command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
            }
            command.args(["--pdeathsig", "QUIT"]).arg(programs.join(program));
            command.arg("-D").arg(&data).env("LC_ALL", "C").stdin(Stdio::null());
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        if root {
            let owner = Command::new("chown").arg("postgres").arg(folder.path()).status();
            assert!(owner.unwrap().success(), "there is no user postgres");
        }
        let made = command("initdb").args(["-U", "app", "--auth=trust", "-N"]).status().unwrap();
        assert!(made.success(), "initdb failed");
        let port = free_port();
        let mut server = command("postgres");
        server.args(["-F", "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"]);
        let child =
            server.args(["-p", &port.to_string(), "-k"]).arg(folder.path()).spawn().unwrap();
        wait_for("PostgreSQL", port);
        Some(Self { child, port, _folder: folder })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SAFETY: a plain system call; the child was not waited for, so the PID is its own.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGQUIT) };
        let _ = self.child.wait();
    }
}

fn postgres_programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let programs = versions.flatten().map(|entry| entry.path().join("bin"));
    programs.filter(|bin| bin.join("initdb").exists()).max()
}

/// A Redis of our own, which asks for a password; ended when dropped. It keeps nothing on disk.
pub(crate) struct Redis {
    child: Child,
    pub(crate) port: u16,
}

impl Redis {
    /// `None` when the machine has no Redis.
    pub(crate) fn start(password: &str) -> Option<Self> {
        let program = Path::new("/usr/bin/redis-server");
        if !program.exists() {
            missing("Redis", "redis-server");
            return None;
        }
        let port = free_port();
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--save", "", "--appendonly", "no", "--requirepass", password]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY: prctl is a plain system call and async-signal-safe; nothing is allocated between fork and exec.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
        let child = command.spawn().unwrap();
        wait_for("Redis", port);
        Some(Self { child, port })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Failing means that it ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn missing(server: &str, package: &str) {
    assert!(std::env::var_os("PYATTACH_REQUIRE_MATRIX").is_none(), "{server} is required");
    tell(&format!("not run: no {server} here (Debian: apt-get install {package})"));
}

fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

fn wait_for(server: &str, port: u16) {
    let deadline = Instant::now() + DEADLINE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "{server} does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
}
