//! The rules that a command judges by: built-in, with the user's settings.

use super::failure::{Code, Failure};
use crate::snapshot::rules::{RuleError, Rules};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Largest file of settings, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// How the rules are set.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RuleOptions {
    /// Set a rule's threshold or severity, as tasks-piling-up.least=100 or zombies.severity=off
    /// (may be given several times)
    #[arg(long = "rule", value_name = "RULE.NAME=VALUE")]
    settings: Vec<String>,
    /// Set what the tables [rules.RULE] of this file set
    #[arg(long = "rules", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl RuleOptions {
    /// The rules as they are set.
    pub(super) fn load(&self) -> Result<Rules, Failure> {
        let mut rules = Rules::builtin();
        if let Some(path) = &self.file {
            let text = read(path)
                .map_err(|source| RuleError::Unreadable { path: path.clone(), source })
                .map_err(|error| Failure::new(error, Code::File))?;
            rules.set_all(&text).map_err(|mistakes| {
                let error = RuleError::Mistakes { path: path.clone(), mistakes };
                Failure::new(error, Code::File)
            })?;
        }
        for setting in &self.settings {
            rules.set(setting).map_err(|error| Failure::new(error, Code::Usage))?;
        }
        Ok(rules)
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(std::io::Error::other("larger than 1 MiB"));
    }
    Ok(text)
}
