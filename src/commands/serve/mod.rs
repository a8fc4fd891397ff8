//! `serve PID…`: metrics over HTTP or in a file for node_exporter.
//!
//! [`rounds`] captures on a schedule of its own and puts finished pages on the [`board`];
//! [`http`] hands out what is on it. A request never causes a capture.

mod board;
mod fleet;
mod http;
mod negotiate;
mod report;
mod rounds;
mod textfile;

use super::CommandResult;
use super::arguments::{Taking, Targets, duration};
use super::catalog_files::CatalogFiles;
use super::failure::{Code, Failure};
use super::rules::RuleOptions;
use board::Board;
use fleet::Fleet;
use rounds::{Rounds, Schedule};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use textfile::Textfile;
use tokio::signal::unix::{SignalKind, signal};

/// Serve metrics of running processes for Prometheus, from captures on a schedule
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    #[command(flatten)]
    targets: Targets,
    /// Time between two captures of a process
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = interval)]
    every: Duration,
    /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:9477]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    listen: Option<SocketAddr>,
    /// Write the metrics to this file (NAME.prom) for node_exporter's textfile collector
    ///
    /// Without --listen, nothing listens. The file is removed when the command ends.
    #[arg(long, value_name = "FILE", value_parser = textfile::path)]
    textfile: Option<PathBuf>,
    /// Capture once, write the file, and end
    #[arg(long, requires = "textfile", conflicts_with = "listen")]
    once: bool,
    /// Name the N types with the most objects; the others are one type, "(other)"
    #[arg(long, value_name = "N", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u16).range(..=200))]
    top_types: u16,
    #[command(flatten)]
    rules: RuleOptions,
    #[command(flatten)]
    catalog: CatalogFiles,
    #[command(flatten)]
    taking: Taking,
}

/// Where we listen unless told otherwise.
const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9477);

impl Serve {
    pub(super) fn run(self) -> CommandResult {
        let fleet = Fleet::new(&self.targets)?;
        let textfile = self.textfile.map(Textfile::new);
        let board = Arc::new(Board::new(self.every));
        let rounds = Rounds::new(
            fleet,
            self.catalog.load()?,
            self.rules.load()?,
            self.taking.options(),
            self.top_types.into(),
            Arc::clone(&board),
            textfile,
        );
        if self.once {
            return rounds.once();
        }
        let listener = match (self.listen, rounds.writes_a_file()) {
            (None, true) => None,
            (address, _) => Some(bind(address.unwrap_or(LISTEN))?),
        };
        // Signals are taken from here on, so that none ends us in the middle of a capture.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let _entered = runtime.enter();
        let mut stops = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
        let schedule = Schedule::start(rounds, self.every)?;
        let served = runtime.block_on(async {
            let [Ok(interrupt), Ok(terminate)] = &mut stops else {
                return Err(Failure::new("signals cannot be received", Code::Usage));
            };
            tokio::select! {
                _ = interrupt.recv() => Ok(()),
                _ = terminate.recv() => Ok(()),
                served = listen(listener, &board) => served,
            }
        });
        schedule.stop();
        served.map(|()| Code::Fine)
    }
}

/// Answers requests until the end; without a listener, only waits for it.
async fn listen(listener: Option<TcpListener>, board: &Arc<Board>) -> Result<(), Failure> {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    say(&format!("metrics at http://{address}/metrics"));
    if !address.ip().is_loopback() {
        say("whoever reaches this address can read what the processes hold");
    }
    http::serve(listener, Arc::clone(board)).await;
    Ok(())
}

fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => Some("choose another port with --listen"),
            std::io::ErrorKind::AddrNotAvailable => Some("no interface has this address"),
            _ => None,
        };
        let failure = Failure::new(format!("cannot listen on {address}: {error}"), Code::Usage);
        failure.with_hint(hint.map(str::to_owned))
    })
}

/// A line for people, on stderr.
fn say(line: &str) {
    let line = crate::report::escape::escape(line);
    // Nothing is left to do when stderr is gone.
    let _ = writeln!(anstream::stderr().lock(), "pyattach: {line}");
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || "an address and a port, as 127.0.0.1:9477".to_owned();
    text.to_socket_addrs().map_err(|_| wrong())?.next().ok_or_else(wrong)
}

fn interval(text: &str) -> Result<Duration, String> {
    let every = duration(text)?;
    match every >= Duration::from_secs(1) {
        true => Ok(every),
        false => Err("at least a second".to_owned()),
    }
}
