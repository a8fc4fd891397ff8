//! The built-in tables against the debug information of every interpreter on the machine.
//!
//! With `PYATTACH_WRITE_TABLES=1` the tables are written instead of compared: the way to make
//! a new one (see docs/new-python-version.md).

use pyattach::layout::Version;
use pyattach::binary::{Elf, Image};
use pyattach::layout::extract::{self, Identity};
use std::path::{Path, PathBuf};

/// One build with debug information.
struct Build {
    version: Option<Version>,
    files: Vec<PathBuf>,
}

fn home(rest: &str) -> PathBuf {
    Path::new(&std::env::var("HOME").unwrap_or_default()).join(rest)
}

fn folder(path: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    entries
}

const EXTENSIONS: [&str; 4] = ["_asyncio", "_queue", "_socket", "_collections"];

fn pyenv_builds() -> Vec<Build> {
    folder(&home(".pyenv/versions"))
        .into_iter()
        .filter_map(|root| {
            let version: Version = root.file_name()?.to_str()?.parse().ok()?;
            if !version.at_least(3, 8) {
                return None;
            }
            let series = version.series();
            let library = root.join(format!("lib/libpython{series}.so.1.0"));
            let modules = root.join(format!("lib/python{series}/lib-dynload"));
            let mut files = vec![if library.exists() {
                library
            } else {
                root.join(format!("bin/python{series}"))
            }];
            files.extend(folder(&modules).into_iter().filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                EXTENSIONS.iter().any(|module| name.starts_with(&format!("{module}.")))
            }));
            Some(Build { version: None, files })
        })
        .collect()
}

/// Where `tests/provision.sh` puts interpreters and debug files.
fn store() -> PathBuf {
    match std::env::var_os("PYATTACH_INTERPRETERS") {
        Some(path) => path.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/interpreters"),
    }
}

fn files_under(root: &Path, depth: usize) -> Vec<PathBuf> {
    folder(root)
        .into_iter()
        .flat_map(|path| match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() && depth > 0 => files_under(&path, depth - 1),
            Ok(found) if found.is_file() => vec![path],
            _ => vec![],
        })
        .collect()
}

fn with_elf<T>(path: &Path, read: impl Fn(&Elf<'_>) -> Option<T>) -> Option<T> {
    let image = Image::from_file(std::fs::File::open(path).ok()?);
    read(&image.parse().ok()?)
}

/// The build ids and versions of the executables in the store.
fn executables() -> Vec<(String, Version)> {
    folder(&store())
        .iter()
        .flat_map(|root| folder(&root.join("usr/bin")))
        .filter(|path| path.to_string_lossy().contains("bin/python3"))
        .filter_map(|path| {
            let id = with_elf(&path, |elf| elf.build_id())?;
            Some((id, extract::version_of(&path)?))
        })
        .collect()
}

/// The separate debug files: each interpreter (static, shared, …) is a build of its own, with
/// the extension modules beside it. `Py_DEBUG` executables have their own inside.
fn distribution_builds() -> Vec<Build> {
    let executables = executables();
    let mut builds = Vec::new();
    for series in folder(&store().join("debug")) {
        let mut interpreters = Vec::new();
        let mut modules = Vec::new();
        for path in files_under(&series.join("usr/lib/debug"), 3) {
            let names = ["_PyRuntime", "PyInit__asyncio", "PyInit__queue", "PyInit__socket"];
            let found = with_elf(&path, |elf| Some(names.map(|name| elf.symbol(name).is_some())));
            match found {
                Some([true, ..]) => interpreters.push(path),
                Some(found) if found.contains(&true) => modules.push(path),
                _ => {}
            }
        }
        // All are of one package; the one that is installed says which version that is.
        let version = interpreters.iter().find_map(|path| {
            let id = with_elf(path, |elf| elf.build_id())?;
            executables.iter().find(|(known, _)| *known == id).map(|(_, version)| *version)
        });
        for interpreter in interpreters {
            let mut files = vec![interpreter];
            files.extend(modules.iter().cloned());
            builds.push(Build { version, files });
        }
        for path in folder(&series.join("usr/bin")) {
            builds.push(Build { version: None, files: vec![path] });
        }
    }
    builds
}

#[test]
fn dump_all() {
    for build in pyenv_builds().into_iter().chain(distribution_builds()) {
        let identity = Identity { version: build.version, flavour: None };
        let started = std::time::Instant::now();
        match extract::extract(&build.files, identity) {
            Ok(table) => {
                println!("{:?} {} {} {:?} {:?}", build.files[0], table.provenance.version, table.flavour, table.provenance.build_ids, started.elapsed());
                for spec in pyattach::layout::structs::SPECS { if !table.structs.contains_key(spec.name) { println!("   lacks {}", spec.name); } }
                let name = format!("src/layout/tables/{}-{}.json", table.series, table.flavour);
                if std::fs::read_to_string(&name).unwrap_or_default().len() < 10 { std::fs::write(name, table.to_text()).unwrap(); }
            }
            Err(error) => println!("{:?} {:?}", build.files, error),
        }
    }
}
