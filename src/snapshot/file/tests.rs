//! Files that are whole, cut, bent and foreign.

use super::sample;
use super::{FileError, KnownNames, Snapshot, SnapshotFile};
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn small() -> Snapshot {
    let mut whole = sample::whole(0);
    sample::add_type(&mut whole, "builtins.dict", 1000);
    sample::add_type(&mut whole, "shop.Order", 7);
    sample::add_resources(&mut whole, "socket", &[0x7f00, 0x7f10]);
    sample::snapshot(whole, 0)
}

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pysnap");
    (folder, path)
}

/// Reads whatever can be read of these bytes; the number of rows found.
fn read_anything(path: &Path, bytes: &[u8]) -> Result<usize, FileError> {
    fs::write(path, bytes).unwrap();
    let mut file = SnapshotFile::open(path)?;
    let types = file.types(&mut KnownNames::default()).map_or(0, |types| types.len());
    let all = file.read_all();
    let rows = all.map_or(0, |all| all.whole.resources.len());
    assert!(!file.damage().is_empty() || types + rows == 4);
    Ok(types + rows)
}

#[test]
fn a_snapshot_reads_back_as_it_was() {
    let (_folder, path) = place();
    let written = small();
    written.save(&path, false).unwrap();
    let mut file = SnapshotFile::open(&path).unwrap();
    let read = file.read_all().unwrap();
    assert!(file.damage().is_empty());
    assert_eq!(read.to_bytes().unwrap(), written.to_bytes().unwrap());
    assert_eq!(read.summary.process.cmdline, ["python3", "shop.py", "***", "***"]);
    assert!(!format!("{read:?}").contains("hunter2"));
}

#[test]
fn a_file_of_version_one_stays_readable() {
    // Made by the first version that wrote such files; not to be made again.
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/format-1.0.pysnap");
    let mut file = SnapshotFile::open(&path).unwrap();
    let read = file.read_all().unwrap();
    assert!(file.damage().is_empty());
    assert_eq!(read.whole.resources.len(), 2);
    assert_eq!(read.whole.objects.types[1].count, 7);
}

#[test]
fn what_a_later_version_adds_is_passed_over() {
    use super::container::pack;
    let (_folder, path) = place();
    let mut value = serde_json::to_value(&small().summary).unwrap();
    value["format"] = "1.7".into();
    value["section"] = "summary".into();
    value["novelty"] = serde_json::json!({"deep": [1, 2]});
    let mut bytes = pack("summary", format!("{value}\n").as_bytes()).unwrap();
    bytes.extend(pack("graph.edges", &[0, 159, 146, 150]).unwrap());
    bytes.extend(pack("end", b"{}\n").unwrap());
    fs::write(&path, &bytes).unwrap();
    let file = SnapshotFile::open(&path).unwrap();
    assert!(file.damage().is_empty());

    value["format"] = "2.0".into();
    fs::write(&path, pack("summary", format!("{value}\n").as_bytes()).unwrap()).unwrap();
    assert!(matches!(SnapshotFile::open(&path), Err(FileError::TooNew { .. })));
}

#[test]
fn the_summary_is_the_first_line_for_any_gzip_reader() {
    let bytes = small().to_bytes().unwrap();
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(first["schema"], "pyattach.snapshot/1");
    assert_eq!(first["process"]["pid"], 4711);
    for line in text.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[test]
fn every_truncation_gives_what_is_whole_or_an_error() {
    let (_folder, path) = place();
    let bytes = small().to_bytes().unwrap();
    let mut answers = 0;
    for length in 0..bytes.len() {
        match read_anything(&path, &bytes[..length]) {
            Ok(_) => answers += 1,
            Err(error) => assert!(error.is_damage(), "{length}: {error}"),
        }
    }
    assert!(answers > 0);
    assert_eq!(read_anything(&path, &bytes).unwrap(), 4);
}

#[test]
fn flipped_bits_are_noticed() {
    let (_folder, path) = place();
    let bytes = small().to_bytes().unwrap();
    fs::write(&path, &bytes).unwrap();
    let whole = format!("{:?}", SnapshotFile::open(&path).unwrap().read_all().unwrap());
    for at in 0..bytes.len() {
        let mut bent = bytes.clone();
        bent[at] ^= 1 << (at % 8);
        fs::write(&path, &bent).unwrap();
        match SnapshotFile::open(&path) {
            Ok(mut file) => {
                // Gzip's own checksum and length behind a section are there for others.
                if let Ok(read) = file.read_all() {
                    let noticed = !file.damage().is_empty();
                    assert!(noticed || format!("{read:?}") == whole, "byte {at}");
                }
            }
            Err(error) => assert!(error.is_damage(), "byte {at}: {error}"),
        }
    }
}

#[test]
fn foreign_files_are_told_apart() {
    let (folder, path) = place();
    for bytes in [&b""[..], b"hello", b"\x1f\x8b\x08\x00 some other gzip file"] {
        fs::write(&path, bytes).unwrap();
        assert!(matches!(SnapshotFile::open(&path), Err(FileError::Foreign { .. })));
    }
    assert!(matches!(SnapshotFile::open(folder.path()), Err(FileError::Foreign { .. })));
    let missing = SnapshotFile::open(&folder.path().join("no")).unwrap_err();
    assert!(!missing.is_damage());
}

#[test]
fn writing_keeps_to_the_folder_and_replaces_nothing_unasked() {
    let (folder, path) = place();
    let snapshot = small();
    snapshot.save(&path, false).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(snapshot.save(&path, false), Err(FileError::Exists { .. })));
    snapshot.save(&path, true).unwrap();

    let elsewhere = folder.path().join("precious");
    fs::write(&elsewhere, "precious").unwrap();
    let link = folder.path().join("b.pysnap");
    symlink(&elsewhere, &link).unwrap();
    assert!(matches!(snapshot.save(&link, false), Err(FileError::Exists { .. })));
    snapshot.save(&link, true).unwrap();
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "precious");
    assert!(fs::symlink_metadata(&link).unwrap().is_file());
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 3);
}
