//! Stored captures, as text.

use super::style::{BOLD, WARN};
use super::units::{bytes, milliseconds, number};
use crate::report::escape::escape;
use crate::snapshot::file::Summary;
use std::io::{self, Write};
use std::path::Path;

/// Writes one line about a capture that was stored.
pub fn write_stored(
    out: &mut impl Write,
    summary: &Summary,
    path: &Path,
    size: u64,
) -> io::Result<()> {
    let path = path.to_string_lossy();
    write!(out, "{BOLD}{}{BOLD:#}  {}: ", escape(&path), bytes(size))?;
    writeln!(out, "{}", line(summary))?;
    if !summary.capture.is_as_good_as_asked() {
        for note in &summary.capture.notes {
            writeln!(out, "{WARN}note:{WARN:#} {}", escape(note))?;
        }
    }
    Ok(())
}

/// A capture in a few words.
pub fn line(summary: &Summary) -> String {
    let resources: u64 = summary.resources.values().map(|kind| kind.count).sum();
    let mut words = vec![
        format!("process {}", summary.same.pid),
        format!("{} objects", number(summary.objects.total)),
        format!("{} resources", number(resources)),
    ];
    words.extend(summary.figures.rss_bytes.map(|rss| format!("{} resident", bytes(rss))));
    words.extend(summary.figures.fds.map(|fds| format!("{} open files", number(fds))));
    words.push(match summary.capture.pause_ms {
        Some(pause) => format!("paused for {}", milliseconds(pause)),
        None => "never paused".to_owned(),
    });
    words.join(", ")
}
