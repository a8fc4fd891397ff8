//! The command line of the benchmark.

use std::path::PathBuf;

const USAGE: &str = "\
usage: cargo bench [-- OPTIONS] [-- CASE…]
  CASE            only cases whose name contains the word (dump-small, dump-200, locals-200, census-1m, census-5m)
  --quick         few runs, and no census-5m: to see that it works, not to quote
  --python LABEL  an interpreter of the test matrix instead of 3.11.7 and 3.13.0; may be repeated
  --binary FILE   measure this pyattach instead of the one just built
  --write FILE    put the tables into this document, between its markers";

/// What to run.
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) pythons: Vec<String>,
    pub(crate) binary: PathBuf,
    pub(crate) write: Option<PathBuf>,
    filters: Vec<String>,
}

impl Options {
    /// Is the case asked for?
    pub(crate) fn selects(&self, name: &str) -> bool {
        let named = self.filters.iter().any(|word| name.contains(word.as_str()));
        // The largest is for whoever has the time.
        named || (self.filters.is_empty() && !(self.quick && name == "census-5m"))
    }
}

/// Reads the arguments; the error is what to print.
pub(crate) fn parse(words: &[String]) -> Result<Options, String> {
    let mut options = Options {
        quick: false,
        pythons: Vec::new(),
        binary: PathBuf::from(env!("CARGO_BIN_EXE_pyattach")),
        write: None,
        filters: Vec::new(),
    };
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{word} needs a value\n{USAGE}"));
        match word.as_str() {
            // What cargo itself adds.
            "--bench" => {}
            "--quick" => options.quick = true,
            "--python" => options.pythons.push(value()?.clone()),
            "--binary" => options.binary = PathBuf::from(value()?),
            "--write" => options.write = Some(PathBuf::from(value()?)),
            _ if word.starts_with('-') => return Err(USAGE.to_owned()),
            _ => options.filters.push(word.clone()),
        }
    }
    if options.pythons.is_empty() {
        options.pythons = ["3.11.7", "3.13.0"].map(str::to_owned).to_vec();
    }
    Ok(options)
}
