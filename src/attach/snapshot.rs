//! A capture to be stored: everything, and when and where it was taken.

use super::collect::holders::Extent;
use super::whole::WholeOptions;
use super::{AttachError, CaptureOptions, Target};
use crate::resources::Catalog;
use crate::snapshot::Snapshot;
use crate::snapshot::file::Circumstances;
use crate::snapshot::rules::Rules;
use nix::time::{ClockId, clock_gettime};

impl Target {
    /// Captures everything, to be stored. `full_command` keeps the arguments of the command line,
    /// `graph` the graph of references.
    pub fn snapshot(
        &self,
        options: &CaptureOptions,
        catalog: &Catalog,
        full_command: bool,
        graph: bool,
    ) -> Result<Snapshot, AttachError> {
        let mut around = Circumstances {
            unix_ms: jiff::Timestamp::now().as_millisecond(),
            since_boot_ms: since_boot_ms(),
            host: host(),
            ..Circumstances::default()
        };
        // Sources change, and lines of them are of no use when captures are compared.
        let extent = if graph { Extent::Graph } else { Extent::Types };
        let holders = if graph { u64::MAX } else { WholeOptions::MANY };
        let with = WholeOptions { source: false, holders: Some(holders), extent, samples: true };
        let whole = self.whole(options, catalog, with)?;
        let usage = self.process.memory_usage();
        (around.pss_bytes, around.swap_bytes) = (usage.proportional, usage.swap);
        let findings = Rules::builtin().judge(&whole).findings;
        Ok(Snapshot::new(whole, findings, &around, full_command))
    }
}

/// Milliseconds since the machine was booted, by the clock that nobody sets.
fn since_boot_ms() -> Option<i64> {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?;
    time.tv_sec().checked_mul(1000)?.checked_add(time.tv_nsec() / 1_000_000)
}

fn host() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}
