//! The few styles of the output.

use anstyle::{AnsiColor, Style};

/// Names and totals.
pub const BOLD: Style = Style::new().bold();
/// What can be skipped when reading.
pub const DIM: Style = Style::new().dimmed();
/// Something is right.
pub const GOOD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
/// Something to look at.
pub const WARN: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));
/// Something failed.
pub const ERROR: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red))).bold();
/// What to do next.
pub const HINT: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Cyan)));
