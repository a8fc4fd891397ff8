//! `sockets PID`: sockets joined with the kernel's tables.

use super::CommandResult;
use super::arguments::{Capture, Targets};
use super::failure::Code;
use super::output::{print_json, print_text};
use super::progress::Progress;
use crate::attach::Target;
use crate::report::text;
use crate::snapshot::sockets::{GroupBy, SocketRow, group, listening_ports};

/// Rows or groups shown as text unless `--top` says otherwise.
const SHOWN: usize = 100;

/// Show the sockets of the process: state, addresses, queues, and who owns them
#[derive(Debug, clap::Args)]
pub(super) struct Sockets {
    #[command(flatten)]
    targets: Targets,
    /// Count instead of list: by state, peer or owner
    #[arg(long, value_name = "WHAT")]
    by: Option<By>,
    /// Only sockets in this state: established, close_wait, listen, closed, …
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Show the first N rows or groups; 0 shows all [default: 100, with --json all]
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    #[command(flatten)]
    capture: Capture,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum By {
    /// TCP's state, or what became of the descriptor
    State,
    /// The other end
    Peer,
    /// The type of the object that uses the socket
    Owner,
}

impl From<By> for GroupBy {
    fn from(by: By) -> Self {
        match by {
            By::State => Self::State,
            By::Peer => Self::Peer,
            By::Owner => Self::Owner,
        }
    }
}

impl Sockets {
    pub(super) fn run(self) -> CommandResult {
        let wanted = self.state.as_deref().map(plain);
        let shown = self.top.unwrap_or(if self.capture.json { 0 } else { SHOWN });
        self.targets.for_each(|pid, several| {
            let progress = Progress::start(format!("reading the sockets of process {pid}"));
            let mut document = Target::open(pid)?.sockets(&self.capture.options())?;
            drop(progress);
            let listening = listening_ports(&document.sockets);
            if let Some(wanted) = &wanted {
                let matches = |row: &SocketRow| {
                    plain(row.state_text()) == *wanted || plain(row.descriptor.name()) == *wanted
                };
                document.sockets.retain(matches);
                document.by_address.retain(|row| plain(&row.state) == *wanted);
            }
            document.groups = self.by.map(|by| group(&document.sockets, by.into(), &listening));
            if self.capture.json {
                if shown > 0 {
                    document.sockets.truncate(shown);
                }
                print_json(&document, several)?;
            } else {
                print_text(|mut out| text::sockets::write(&mut out, &document, shown))?;
            }
            Ok(Code::of_capture(&document.capture))
        })
    }
}

/// `close-wait`, `CloseWait` and `CLOSE_WAIT` are the same.
fn plain(state: &str) -> String {
    state.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()
}
