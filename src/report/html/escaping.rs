//! What every text passes on its way into the page: first what acts on readers and terminals
//! becomes visible, then what acts on HTML becomes text.

use crate::report::escape::escape;
use askama::filters::{Escaper, Html};
use std::fmt;

/// The templates' escaper (`askama.toml` names it).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Page;

impl Escaper for Page {
    fn write_escaped_str<W: fmt::Write>(&self, dest: W, text: &str) -> fmt::Result {
        Html.write_escaped_str(dest, &escape(text))
    }
}
