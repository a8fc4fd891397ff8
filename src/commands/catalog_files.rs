//! The catalogue that a command works with: built-in, the user's own folder, `--catalog`.

use super::failure::{Code, Failure};
use crate::resources::catalog::{Catalog, CatalogError};
use std::io::ErrorKind;
use std::path::PathBuf;

/// Which catalogue files are read beside the built-in ones.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct CatalogFiles {
    /// Read more entries from this file (may be given several times)
    ///
    /// Files in $XDG_CONFIG_HOME/pyattach/catalog.d (by default ~/.config) are read anyway.
    #[arg(long = "catalog", value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl CatalogFiles {
    /// Everything together; later files go before earlier ones.
    pub(super) fn load(&self) -> Result<Catalog, Failure> {
        let mut catalog = Catalog::builtin()?;
        for path in own_files()?.iter().chain(&self.files) {
            catalog.add_file(path)?;
        }
        Ok(catalog)
    }
}

/// The `*.toml` files of the user's own folder, by name.
fn own_files() -> Result<Vec<PathBuf>, Failure> {
    let Some(folder) = own_folder() else { return Ok(Vec::new()) };
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        // Under another user's HOME (`sudo -u`, a service) the folder is none of ours.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
            return Ok(Vec::new());
        }
        Err(source) => return Err(CatalogError::Unreadable { path: folder, source }.into()),
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    Ok(files)
}

fn own_folder() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
    Some(config.join("pyattach").join("catalog.d"))
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        Self::new(error, Code::File)
    }
}
