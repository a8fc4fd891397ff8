//! `snapshot PID -o FILE`: one capture to a file.

use super::CommandResult;
use super::arguments::{Capture, Targets};
use super::catalog_files::CatalogFiles;
use super::failure::{Code, Failure};
use super::output::{print_json, print_text};
use super::progress::Progress;
use crate::attach::Target;
use crate::report::text;
use crate::snapshot::{FileError, Snapshot};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Files of one process with times of the same second.
const MOST_IN_A_SECOND: u32 = 10_000;

/// Store one capture in a file, to be compared with later ones
#[derive(Debug, clap::Args)]
pub(super) struct Store {
    #[command(flatten)]
    targets: Targets,
    /// The file to write; - is standard output
    #[arg(short, long, value_name = "FILE", required_unless_present = "dir")]
    output: Option<PathBuf>,
    /// A folder to write to, a file for each process, named by its id and the time
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    dir: Option<PathBuf>,
    /// Replace the file if there is one
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    contents: Contents,
    #[command(flatten)]
    catalog: CatalogFiles,
    #[command(flatten)]
    capture: Capture,
}

/// What goes into a file.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Contents {
    /// Keep the arguments of the command line (secrets are masked all the same)
    #[arg(long)]
    pub(super) full_command: bool,
    /// Also keep the graph of references, for why FILE and diff --graph: 1 to 7 bytes an object
    #[arg(long)]
    pub(super) graph: bool,
}

impl Contents {
    /// The code for a file without the graph that was asked for; says so.
    pub(super) fn check(self, snapshot: &Snapshot) -> Code {
        if !self.graph || snapshot.whole.graph.is_some() {
            return Code::Fine;
        }
        let cause = "the file has no graph of references: it is not read while the process stands \
                     still for it, and not where too much cannot be read";
        let failure = Failure::new(cause, Code::Incomplete);
        failure.with_hint("capture by --mode copy or fork".to_owned()).print_as_note();
        Code::Incomplete
    }
}

impl Store {
    pub(super) fn run(self) -> CommandResult {
        let catalog = self.catalog.load()?;
        let options = self.capture.options();
        self.targets.for_each(|pid, several| {
            if several && self.output.is_some() {
                let failure = Failure::new("one file cannot hold several processes", Code::Usage);
                return Err(failure.with_hint("give a folder with --dir".to_owned()));
            }
            let progress = Progress::start(format!("capturing process {pid}"));
            let Contents { full_command, graph } = self.contents;
            let target = Target::open(pid)?;
            let snapshot = target.snapshot(&options, &catalog, full_command, graph)?;
            drop(progress);
            let code = Code::of_capture(&snapshot.summary.capture);
            let code = code.max(self.contents.check(&snapshot));
            let (path, size) = match (&self.output, &self.dir) {
                (Some(path), _) if path.as_os_str() == "-" => {
                    let mut out = io::stdout().lock();
                    out.write_all(&snapshot.to_bytes()?)?;
                    out.flush()?;
                    return Ok(code);
                }
                (Some(path), _) => (path.clone(), snapshot.save(path, self.force)?),
                (None, Some(folder)) => store_in(folder, &snapshot)?,
                (None, None) => return Ok(Code::Usage),
            };
            if self.capture.json {
                print_json(&snapshot.summary, several)?;
            } else {
                print_text(|mut out| {
                    text::snapshot::write_stored(&mut out, &snapshot.summary, &path, size)
                })?;
            }
            Ok(code)
        })
    }
}

/// Stores a snapshot in a folder, under a name that says whose and of when it is and that is not
/// in use. Gives the name and the size.
pub(super) fn store_in(folder: &Path, snapshot: &Snapshot) -> Result<(PathBuf, u64), FileError> {
    let summary = &snapshot.summary;
    let digits = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let seconds = summary.taken.at.split('.').next().unwrap_or_default();
    let stem = format!("{}-{}Z", summary.same.pid, digits(seconds.trim_end_matches('Z')));
    let mut number = 1;
    loop {
        let name = match number {
            1 => format!("{stem}.pysnap"),
            number => format!("{stem}-{number}.pysnap"),
        };
        let path = folder.join(name);
        if number < MOST_IN_A_SECOND && path.symlink_metadata().is_ok() {
            number += 1;
            continue;
        }
        match snapshot.save(&path, false) {
            Err(FileError::Exists { .. }) if number < MOST_IN_A_SECOND => number += 1,
            saved => return saved.map(|size| (path, size)),
        }
    }
}
