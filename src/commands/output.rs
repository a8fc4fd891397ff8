//! Where documents go: stdout, buffered, with styles only where they are wanted.

use crate::report::json;
use serde::Serialize;
use std::io::{self, BufWriter, Write};

/// Writes a document as JSON; on one line when it is one of `several`.
pub(super) fn print_json<T: Serialize>(document: &T, several: bool) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    json::write(&mut out, document, several)?;
    out.flush()
}

/// Writes text through `write`; styles are stripped unless stdout is a terminal that wants them
/// (`NO_COLOR`, `CLICOLOR_FORCE`, `TERM=dumb` are honoured by the stream).
pub(super) fn print_text(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(anstream::stdout().lock());
    write(&mut out)?;
    out.flush()
}
