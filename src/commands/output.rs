//! Where documents go: stdout, in few writes, with styles only where they are wanted.

use crate::report::json;
use anstream::adapter::strip_bytes;
use anstream::{AutoStream, ColorChoice};
use serde::Serialize;
use std::io::{self, BufWriter, Write};

/// Writes a document as JSON; on one line when it is one of `several`.
pub(super) fn print_json<T: Serialize>(document: &T, several: bool) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    json::write(&mut out, document, several)?;
    out.flush()
}

/// Columns of text where there is no terminal to ask.
const WIDTH: u16 = 100;

/// How wide lines of prose may be: the terminal's width within reason.
pub(super) fn width() -> usize {
    usize::from(comfy_table::Table::new().width().unwrap_or(WIDTH).clamp(60, 120))
}

/// Writes text through `write`; styles are stripped unless stdout is a terminal that wants them
/// (`NO_COLOR`, `CLICOLOR_FORCE`, `TERM=dumb` are honoured). Stripped here and not by the stream,
/// which would make a system call of every piece between two styles.
pub(super) fn print_text(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut text = Vec::new();
    write(&mut text)?;
    let stdout = io::stdout();
    if AutoStream::choice(&stdout) == ColorChoice::Never {
        text = strip_bytes(&text).into_vec();
    }
    let mut out = stdout.lock();
    out.write_all(&text)?;
    out.flush()
}
