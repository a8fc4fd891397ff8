//! `why PID SELECTOR`: who holds these objects; without a selector, where things accumulate.

use super::CommandResult;
use super::arguments::Capture;
use super::catalog_files::CatalogFiles;
use super::failure::{Code, Failure};
use super::output::{print_json, print_text};
use super::pattern::Pattern;
use super::progress::Progress;
use crate::attach::{Target, Wanted, WhyOptions};
use crate::report::{dot, folded, text};
use crate::resources::Catalog;
use crate::snapshot::SnapshotFile;
use crate::snapshot::graph::answer::Show;
use crate::snapshot::why::{Asked, why};
use std::path::PathBuf;

/// Groups shown unless `--all` says otherwise.
const SHOWN: usize = 8;

/// Show who holds objects: the paths to all of them, grouped
///
/// SELECTOR is a kind of resource (socket, asyncio_task), an entry of the catalogue
/// (aiohttp.session), either with a state (socket:open, socket:close_wait), an address (0x7f…),
/// or the name of a type: the whole name, its last part, a part of it, or a pattern with * and ?.
/// Without one, the containers are shown in which resources and instances accumulate.
#[derive(Debug, clap::Args)]
pub(super) struct Why {
    /// Process id, or a snapshot file
    #[arg(value_name = "PID|FILE", value_parser = Subject::parse)]
    subject: Subject,
    /// Which objects: KIND, KIND:STATE, ENTRY, TYPE or 0xADDRESS
    #[arg(value_name = "SELECTOR")]
    selector: Option<String>,
    /// Show paths of up to N steps; the middle of longer ones is left out
    #[arg(long, value_name = "N", default_value_t = 16)]
    depth: usize,
    /// Show all groups, not only the largest
    #[arg(long)]
    all: bool,
    /// Write a drawing of the paths in the DOT language of Graphviz
    #[arg(long, conflicts_with = "json", requires = "selector")]
    dot: bool,
    /// Write the paths as folded stacks, for flame graphs, by the number of objects or by the
    /// bytes that go with them
    #[arg(
        long,
        value_name = "WEIGHT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "count",
        conflicts_with_all = ["json", "dot"],
        requires = "selector"
    )]
    folded: Option<Weight>,
    #[command(flatten)]
    catalog: CatalogFiles,
    #[command(flatten)]
    capture: Capture,
}

/// What flames measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Weight {
    /// Objects
    Count,
    /// Bytes that would be free without them
    Bytes,
}

impl From<Weight> for folded::Weight {
    fn from(weight: Weight) -> Self {
        match weight {
            Weight::Count => Self::Count,
            Weight::Bytes => Self::Bytes,
        }
    }
}

impl Why {
    pub(super) fn run(self) -> CommandResult {
        let catalog = self.catalog.load()?;
        let all = self.all || self.folded.is_some();
        let show = WhyOptions { groups: if all { usize::MAX } else { SHOWN }, depth: self.depth };
        let Some(selector) = &self.selector else { return self.overview(&catalog, show) };
        let wanted = parse(selector, &catalog)?;
        let document = match &self.subject {
            Subject::Process(pid) => {
                let progress = Progress::start(format!("reading the heap of process {pid}"));
                let target = Target::open(*pid)?;
                let options = self.capture.options();
                let document = target.why(&options, &catalog, &wanted, selector, show)?;
                drop(progress);
                document
            }
            Subject::File(path) => {
                let mut file = SnapshotFile::open(path)?;
                let show = Show { groups: show.groups, depth: show.depth };
                why(&mut file, &asked(&wanted), selector, show)?
            }
        };
        if self.capture.json {
            print_json(&document, false)?;
        } else if let Some(weight) = self.folded {
            print_text(|mut out| folded::write(&mut out, &document, weight.into()))?;
        } else if self.dot {
            print_text(|mut out| dot::write(&mut out, &document))?;
        } else {
            print_text(|mut out| text::why::write(&mut out, &document))?;
        }
        Ok(Code::of_capture(&document.capture))
    }

    /// Where things accumulate.
    fn overview(&self, catalog: &Catalog, show: WhyOptions) -> CommandResult {
        let pid = match &self.subject {
            Subject::Process(pid) => *pid,
            Subject::File(path) => {
                let cause = format!("what is asked of {}?", path.display());
                let failure = Failure::new(cause, Code::Usage);
                let hint = "of a file, why needs a SELECTOR: a kind, a type or an address";
                return Err(failure.with_hint(hint.to_owned()));
            }
        };
        let progress = Progress::start(format!("reading the heap of process {pid}"));
        let target = Target::open(pid)?;
        let document = target.why_all(&self.capture.options(), catalog, show)?;
        drop(progress);
        if self.capture.json {
            print_json(&document, false)?;
        } else {
            print_text(|mut out| text::overview::write(&mut out, &document))?;
        }
        Ok(Code::of_capture(&document.capture))
    }
}

/// What is asked about.
#[derive(Debug, Clone)]
enum Subject {
    Process(i32),
    File(PathBuf),
}

impl Subject {
    /// A number is a process; a file with such a name has a path, as `./4711`.
    fn parse(text: &str) -> Result<Self, String> {
        match text.parse::<i64>() {
            Ok(pid) => match i32::try_from(pid) {
                Ok(pid) if pid > 0 => Ok(Self::Process(pid)),
                _ => Err(format!("{pid} is no process id")),
            },
            Err(_) => Ok(Self::File(PathBuf::from(text))),
        }
    }
}

/// The same question to a file.
fn asked(wanted: &Wanted) -> Asked<'_> {
    match wanted {
        Wanted::Object(address) => Asked::Object(*address),
        Wanted::Resources { name, state } => Asked::Resources { name, state: state.as_deref() },
        Wanted::Types { exactly, roughly } => Asked::Types { exactly, roughly },
    }
}

/// Understands a selector. A name of a type is tried as it is first, then as the last part of
/// one, then as a pattern.
fn parse(selector: &str, catalog: &Catalog) -> Result<Wanted, Failure> {
    if let Some(digits) = selector.strip_prefix("0x") {
        let address = u64::from_str_radix(digits, 16)
            .map_err(|_| Failure::new(format!("'{selector}' is no address"), Code::Usage))?;
        return Ok(Wanted::Object(address));
    }
    let (name, state) = match selector.split_once(':') {
        Some((name, state)) => (name, Some(state.to_owned())),
        None => (selector, None),
    };
    let is_known =
        |name: &str| catalog.entries().iter().any(|entry| entry.kind == name || entry.id == name);
    if is_known(name) {
        return Ok(Wanted::Resources { name: name.to_owned(), state });
    }
    if state.is_some() {
        let failure = Failure::new(format!("there is no kind of resource '{name}'"), Code::Usage);
        return Err(failure.with_hint("pyattach catalog list shows all kinds".to_owned()));
    }
    let pattern = Pattern::new(selector)?;
    let whole = selector.to_owned();
    let last = format!(".{selector}");
    let is_pattern = selector.contains(['*', '?', '[', '{']);
    Ok(Wanted::Types {
        exactly: Box::new(move |name| !is_pattern && (name == whole || name.ends_with(&last))),
        roughly: Box::new(move |name| pattern.matches(name)),
    })
}
