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
