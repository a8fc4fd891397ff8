//! The catalogue's entries, as `catalog list` shows them.

use serde::Serialize;

/// One entry.
#[derive(Debug, Clone, Serialize)]
pub struct EntryRow {
    /// Unique: "aiohttp.session".
    pub id: String,
    /// What its instances count as.
    pub kind: String,
    /// What it is, in words.
    pub about: String,
    /// Names of classes; subclasses match too.
    pub types: Vec<String>,
    /// The module whose version `since` and `until` mean.
    pub module: Option<String>,
    /// The first version it is for.
    pub since: Option<String>,
    /// The first version it is no longer for.
    pub until: Option<String>,
    /// "built-in", or a file's name.
    pub source: String,
    /// States with their conditions, in order.
    pub state: Vec<ExpressionRow>,
    /// Numbers.
    pub metrics: Vec<ExpressionRow>,
    /// Texts.
    pub show: Vec<ExpressionRow>,
    /// Other objects.
    pub links: Vec<ExpressionRow>,
    /// Limits.
    pub limits: Vec<ExpressionRow>,
}

/// A named expression.
#[derive(Debug, Clone, Serialize)]
pub struct ExpressionRow {
    /// The name.
    pub name: String,
    /// The expression, as written.
    pub text: String,
}
