//! The catalogue: which types are resources, and how to read them.
//!
//! Entries are TOML: the built-in ones under `entries/`, compiled in, and the user's. A later
//! entry replaces an earlier one of the same id, and of two entries that fit a class the later
//! one is used, so that a user can refine what is built in. `docs/reference/catalog.md` has
//! the format.

mod builtin;
mod entry;
mod error;
mod file;
mod load;

pub use entry::{Entry, Limits, Named};
pub use error::{CatalogError, Mistake};
pub use load::STANDARD_METRICS;

use super::evaluate::Structs;
use std::path::Path;
use std::sync::LazyLock;

/// Largest catalogue file, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// Entries and structs from all files.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    entries: Vec<Entry>,
    pub(super) structs: Structs,
}

impl Catalog {
    /// What is compiled in.
    pub fn builtin() -> Result<Self, CatalogError> {
        let mut catalog = Self::default();
        for (name, text) in builtin::FILES {
            catalog.add_text(text, Path::new(name), "built-in")?;
        }
        Ok(catalog)
    }

    /// What is compiled in, read once. A test makes sure that it can be read.
    pub fn shared_builtin() -> &'static Self {
        static BUILTIN: LazyLock<Catalog> =
            LazyLock::new(|| Catalog::builtin().unwrap_or_default());
        &BUILTIN
    }

    /// Adds the entries of a file.
    pub fn add_file(&mut self, path: &Path) -> Result<(), CatalogError> {
        let text = read(path)
            .map_err(|source| CatalogError::Unreadable { path: path.to_owned(), source })?;
        let source = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        self.add_text(&text, path, &source)
    }

    fn add_text(&mut self, text: &str, path: &Path, source: &str) -> Result<(), CatalogError> {
        let loaded = load::load(text, source)
            .map_err(|mistakes| CatalogError::Mistakes { path: path.to_owned(), mistakes })?;
        for entry in loaded.entries {
            self.entries.retain(|known| known.id != entry.id);
            self.entries.push(entry);
        }
        // The first struct that fits is used: the user's before the built-in ones.
        self.structs.0.splice(0..0, loaded.structs);
        Ok(())
    }

    /// All entries, in the order they were read.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry with this id.
    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id == id)
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(std::io::Error::other("larger than 4 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<(usize, usize, String)> {
        let mut catalog = Catalog::default();
        match catalog.add_text(text, Path::new("test.toml"), "test") {
            Err(CatalogError::Mistakes { mistakes, .. }) => {
                mistakes.into_iter().map(|m| (m.line, m.column, m.message)).collect()
            }
            Err(other) => panic!("{other}"),
            Ok(()) => Vec::new(),
        }
    }

    const HEAD: &str = "[[resource]]\nid = \"a\"\nkind = \"a\"\ntypes = [\"m.A\"]\n";

    #[test]
    fn the_built_in_entries_load() {
        let catalog = Catalog::builtin().unwrap();
        assert!(catalog.entries().len() > 20);
        for entry in catalog.entries() {
            assert!(!entry.about.is_empty(), "{} says nothing about itself", entry.id);
        }
    }

    #[test]
    fn mistakes_have_a_place() {
        for (more, line, column, part) in [
            ("[resource.metrics]\nx = \"a +\"\n", 6, 9, "expected a value"),
            ("[resource.metrics]\nkind = \"a\"\n", 6, 1, "belongs under [[resource]]"),
            ("in_use = \"a\"\n", 5, 1, "belongs under [resource.metrics]"),
            ("colour = \"a\"\n", 5, 1, "unknown field `colour`"),
            ("[resource.limits]\nwarm = \"a\"\n", 6, 1, "unknown field `warm`"),
            ("[resource.limits]\nwarn = \"x > 3\"\n", 6, 8, "no metric 'x'"),
            ("since = \"2\"\n", 5, 9, "need 'module'"),
            ("[resource.metrics]\nX = \"a\"\n", 6, 1, "small letters"),
            (
                "[struct.s]\ntypes = [\"m.A\"]\n[struct.s.fields]\nx = \"i32\"\n",
                8,
                1,
                "KIND@OFFSET",
            ),
            ("[[resource]]\nid = \"a\"\nkind = \"b\"\ntypes = [\"B\"]\n", 6, 6, "a second entry"),
        ] {
            let found = mistakes(&format!("{HEAD}{more}"));
            let first = found.first().unwrap_or_else(|| panic!("no mistake in {more}"));
            assert_eq!((first.0, first.1), (line, column), "{more}: {found:?}");
            assert!(first.2.contains(part), "{more}: {found:?}");
        }
        assert!(mistakes(HEAD).is_empty());
        assert_eq!(mistakes("[[resource]]\nid = \"a\n").len(), 1);
    }

    #[test]
    fn states_keep_their_order() {
        let mut catalog = Catalog::default();
        let text = format!("{HEAD}[resource.state]\nz = \"x\"\na = \"y\"\nm = \"true\"\n");
        catalog.add_text(&text, Path::new("t"), "t").unwrap();
        let entry = catalog.entry("a").unwrap();
        let names: Vec<&str> = entry.state.iter().map(|state| state.name.as_str()).collect();
        assert_eq!(names, ["z", "a", "m"]);
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_it(text: String) {
            let _ = mistakes(&text);
        }
    }
}
