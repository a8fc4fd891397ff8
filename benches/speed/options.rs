//! The command line of the benchmark.

use std::path::PathBuf;

const USAGE: &str = "\
usage: cargo bench [-- OPTIONS] [-- CASE…]
  CASE            only cases whose name contains the word: dump-small, dump-200, locals-200, census-1m, census-5m,
                  memory-10 … memory-4000 (MB), objects-100k … objects-5m-aged, threads-5 … threads-1000, served, exec
  --quick         few runs, none of the largest, and one interpreter for what the two do not differ in
  --python LABEL  an interpreter of the test matrix instead of 3.11.7 and 3.13.0; may be repeated
  --binary FILE   measure this pyattach instead of the one just built
  --write FILE    put the tables into this document, between its markers, and the charts beside it";

/// What to run.
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) pythons: Vec<String>,
    pub(crate) binary: PathBuf,
    pub(crate) write: Option<PathBuf>,
    filters: Vec<String>,
}

impl Options {
    /// Is the case asked for? One that has no rounds with `--quick` is left out then, whatever is asked for.
    pub(crate) fn selects(&self, name: &str, rounds: (usize, usize)) -> bool {
        let rounds = if self.quick { rounds.1 } else { rounds.0 };
        rounds > 0
            && (self.filters.is_empty()
                || self.filters.iter().any(|word| name.contains(word.as_str())))
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
