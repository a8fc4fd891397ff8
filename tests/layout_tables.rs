//! The built-in tables against the debug information of every interpreter on the machine.
//!
//! With `PYATTACH_WRITE_TABLES=1` the tables are written instead of compared: the way to make
//! a new one (see docs/new-python-version.md).

use pyattach::binary::{Elf, Image};
use pyattach::layout::Version;
use pyattach::layout::extract::{self, ExtractError, Identity};
use pyattach::layout::table::Table;
use pyattach::layout::tables;
use std::collections::BTreeMap;
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
        .map(PathBuf::as_path)
        .chain([Path::new("/")])
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
            let mut files = vec![path];
            files.extend(debug_modules(&series));
            builds.push(Build { version: None, files });
        }
    }
    builds
}

/// Differences between patch releases of one series that `layout::drift` and the published
/// debug offsets take care of, or of which nothing is read (`ThreadExtension` before 3.14): version of the build, then
/// what differs from the table.
const KNOWN_DRIFT: &[(&str, &[&str])] = &[(
    "3.13.18",
    &[
        "RuntimeState",
        // Found again by what stands around it: src/inject/ring.rs.
        "RuntimeState.pending",
        "InterpreterState",
        "ThreadState",
        "GcState.generations",
        "ThreadExtension",
    ],
)];

fn tables_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/layout/tables")
}

fn extracted() -> Vec<(PathBuf, Table)> {
    let builds: Vec<Build> = pyenv_builds().into_iter().chain(distribution_builds()).collect();
    builds
        .into_iter()
        .filter_map(|build| {
            let first = build.files.first().cloned().unwrap_or_default();
            let identity = Identity { version: build.version, flavour: None };
            match extract::extract(&build.files, identity) {
                Ok(table) => Some((first, table)),
                // A separate debug file whose interpreter is not here: which patch release it
                // is of is not known, which is all that is missing.
                Err(ExtractError::NoVersion | ExtractError::NoDebugInformation) => {
                    println!("not compared: {}", first.display());
                    None
                }
                Err(error) => panic!("{}: {error:?}", first.display()),
            }
        })
        .collect()
}

/// The extension modules of a `Py_DEBUG` interpreter, which have their debug information inside.
fn debug_modules(series: &Path) -> Vec<PathBuf> {
    let series = series.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let tag = format!(".cpython-{}d-", series.replace('.', ""));
    folder(&store())
        .iter()
        .flat_map(|root| folder(&root.join(format!("usr/lib/python{series}/lib-dynload"))))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            EXTENSIONS.iter().any(|module| name.starts_with(&format!("{module}{tag}")))
        })
        .collect()
}

#[test]
fn tables_are_what_the_debug_information_says() {
    let extracted = extracted();
    if std::env::var_os("PYATTACH_WRITE_TABLES").is_some() {
        write_tables(&extracted);
        return;
    }
    let mut problems = Vec::new();
    for (path, found) in &extracted {
        let Some(table) = tables::named(&found.series, &found.flavour) else {
            println!("no table: {} {}", found.series, found.flavour);
            continue;
        };
        let version = &found.provenance.version;
        let known = KNOWN_DRIFT.iter().find(|(of, _)| of == version).map_or(&[][..], |(_, k)| *k);
        let differences: Vec<String> = extract::differences(&table, found)
            .into_iter()
            .filter(|difference| !known.contains(&difference.what.as_str()))
            .map(|difference| format!("  {difference}"))
            .collect();
        println!("compared: {version} {} {}", found.flavour, path.display());
        if !differences.is_empty() {
            problems.push(format!("{version} {}\n{}", path.display(), differences.join("\n")));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Writes the table of each series and flavour: from the oldest patch release here, since
/// published offsets correct towards newer ones. Builds of that release with the same structs
/// share it, by their build ids.
fn write_tables(extracted: &[(PathBuf, Table)]) {
    let mut chosen: BTreeMap<(String, String), Table> = BTreeMap::new();
    for (_, found) in extracted {
        let key = (found.series.clone(), found.flavour.clone());
        let known = chosen.entry(key).or_insert_with(|| found.clone());
        let version = |table: &Table| table.provenance.version.parse::<Version>().unwrap();
        if version(found) == version(known) && found.structs == known.structs {
            for id in &found.provenance.build_ids {
                if !known.provenance.build_ids.contains(id) {
                    known.provenance.build_ids.push(id.clone());
                }
            }
        }
    }
    // Object structs are the same in a debug build, whose extension modules may have none.
    let plain = chosen.clone();
    for ((series, flavour), table) in &mut chosen {
        if let (Some(gil), "debug") = (plain.get(&(series.clone(), "gil".to_owned())), &**flavour) {
            for (name, found) in &gil.structs {
                table.structs.entry(name.clone()).or_insert_with(|| found.clone());
            }
        }
    }
    for ((series, flavour), table) in chosen {
        std::fs::write(tables_folder().join(format!("{series}-{flavour}.json")), table.to_text())
            .unwrap();
    }
}

/// Values of the layout that were verified on running processes (CPython's own headers and
/// debug information agree): series, struct, field, offset.
const VERIFIED: &[(&str, &str, &str, u64)] = &[
    ("3.8", "RuntimeState", "interpreters_head", 32),
    ("3.8", "RuntimeState", "gc", 344),
    ("3.8", "RuntimeState", "gil", 1152),
    ("3.9", "RuntimeState", "gil", 352),
    ("3.10", "RuntimeState", "gil", 352),
    ("3.11", "RuntimeState", "gil", 360),
    ("3.12", "RuntimeState", "main_thread", 64),
    ("3.13", "RuntimeState", "initialized", 600),
    ("3.14", "RuntimeState", "finalizing", 784),
    ("3.15", "RuntimeState", "interpreters_main", 944),
    ("3.8", "InterpreterState", "modules", 56),
    ("3.9", "InterpreterState", "gc", 616),
    ("3.10", "InterpreterState", "sysdict", 872),
    ("3.11", "InterpreterState", "threads_head", 16),
    ("3.12", "InterpreterState", "modules", 944),
    ("3.13", "InterpreterState", "next", 7264),
    ("3.14", "InterpreterState", "gc", 7408),
    ("3.15", "InterpreterState", "modules", 7592),
    ("3.8", "ThreadState", "thread_id", 176),
    ("3.9", "ThreadState", "thread_id", 176),
    ("3.10", "ThreadState", "thread_id", 176),
    ("3.11", "ThreadState", "thread_id", 152),
    ("3.12", "ThreadState", "thread_id", 136),
    ("3.13", "ThreadState", "thread_id", 152),
    ("3.14", "ThreadState", "thread_id", 152),
    ("3.15", "ThreadState", "thread_id", 176),
    ("3.11", "ThreadState", "cframe", 56),
    ("3.12", "ThreadState", "cframe", 56),
    ("3.15", "ThreadState", "native_thread_id", 184),
    ("3.11", "InterpreterFrame", "owner", 69),
    ("3.13", "InterpreterFrame", "owner", 70),
    ("3.14", "InterpreterFrame", "owner", 74),
    ("3.14", "InterpreterFrame", "locals", 80),
    ("3.9", "FrameObject", "last_instruction", 104),
    ("3.10", "FrameObject", "last_instruction", 96),
    ("3.8", "CodeObject", "line_table", 120),
    ("3.11", "CodeObject", "bytecode", 184),
    ("3.15", "CodeObject", "bytecode", 208),
    ("3.12", "GcState", "generations", 24),
    ("3.12", "GcState", "permanent", 104),
    ("3.14", "GcState", "permanent", 96),
    ("3.14", "GcState", "generation0", 256),
    ("3.15", "GcState", "generations", 8),
    ("3.15", "GcState", "collecting", 112),
    ("3.13", "TupleObject", "items", 24),
    ("3.14", "TupleObject", "items", 32),
    ("3.11", "LongObject", "digits", 24),
    ("3.12", "LongObject", "tag", 16),
    ("3.9", "HeapTypeObject", "qualname", 856),
    ("3.15", "HeapTypeObject", "cached_keys", 888),
    ("3.10", "DictKeys", "usable", 24),
    ("3.11", "DictKeys", "usable", 16),
    ("3.8", "TaskObject", "coroutine", 112),
    ("3.9", "TaskObject", "coroutine", 152),
    ("3.13", "TaskObject", "state", 96),
    ("3.15", "TaskObject", "name", 136),
    ("3.9", "TaskObject", "waiter", 144),
    ("3.14", "TaskObject", "node", 152),
    ("3.14", "FutureObject", "awaited_by", 96),
    ("3.8", "FutureObject", "callbacks", 40),
    ("3.8", "FrameObject", "stack_pointer", 72),
    ("3.10", "FrameObject", "stack_depth", 80),
    ("3.12", "FunctionObject", "closure", 72),
    ("3.12", "SimpleQueue", "list", 32),
    ("3.13", "SimpleQueue", "count", 56),
    ("3.8", "SocketObject", "fd", 16),
    ("3.15", "SocketObject", "proto", 28),
];

#[test]
fn tables_have_the_verified_offsets() {
    let wrong: Vec<String> = VERIFIED
        .iter()
        .filter_map(|&(series, structure, field, offset)| {
            let table = tables::named(series, "gil").unwrap();
            let found = table.structs.get(structure).and_then(|s| s.fields.get(field)).copied();
            (found.map(|field| field.offset) != Some(offset))
                .then(|| format!("{series} {structure}.{field}: {found:?} instead of {offset}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn sizes_are_those_of_the_live_processes() {
    for (series, structure, size) in [
        ("3.8", "InterpreterState", 2720),
        ("3.9", "ThreadState", 264),
        ("3.10", "RuntimeState", 672),
        ("3.11", "CodeObject", 192),
        ("3.12", "AsciiObject", 40),
        ("3.13", "ThreadState", 304),
        ("3.14", "GcState", 264),
        ("3.15", "GcState", 176),
        ("3.15", "HeapTypeObject", 944),
        ("3.11", "CompactUnicodeObject", 72),
        ("3.12", "CompactUnicodeObject", 56),
    ] {
        let table = tables::named(series, "gil").unwrap();
        assert_eq!(table.structs[structure].size, size, "{series} {structure}");
    }
}

#[test]
fn check_tells_the_differences() {
    for build in pyenv_builds() {
        let differences = extract::check(&build.files, Identity::default()).unwrap();
        assert_eq!(differences, [], "{:?}", build.files);
    }
    // A build of another patch release, where there is one with debug files.
    let newer: Vec<Build> = distribution_builds()
        .into_iter()
        .filter(|build| build.version == Some(Version::release(3, 13, 18)))
        .collect();
    for build in newer.into_iter().take(1) {
        let identity = Identity { version: build.version, flavour: None };
        let differences = extract::check(&build.files, identity).unwrap();
        let lines: Vec<String> = differences.iter().map(ToString::to_string).collect();
        assert!(
            lines.contains(&"GcState.generations: table [24, 72], found [20, 72]".to_owned()),
            "{lines:#?}"
        );
    }
}

#[test]
fn what_is_no_interpreter_is_refused() {
    let extract = |path: &str| extract::extract(&[path.into()], Identity::default()).unwrap_err();
    assert!(matches!(extract("/no/such/file"), ExtractError::File { .. }));
    assert!(matches!(extract("/proc/self/cmdline"), ExtractError::File { .. }));
    // This test program has debug information, but not of a Python.
    match extract("/proc/self/exe") {
        error @ ExtractError::NoStruct { .. } => assert!(error.hint().is_some()),
        other => panic!("{other:?}"),
    }
}
