//! Where the separate debug file of a stripped module is (GDB manual, "Separate Debug Files").

use super::Image;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What a module says about its debug file. All of it may be missing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// GNU build id, in hex.
    pub build_id: Option<&'a str>,
    /// The name in `.gnu_debuglink`.
    pub link: Option<&'a [u8]>,
    /// Where the module is mapped from.
    pub path: Option<&'a Path>,
}

/// The debug file of a module. Looked for under each of `roots` (the target's own root first,
/// then ours): by build id, then by `.gnu_debuglink` beside the module and under
/// `/usr/lib/debug`. Only a file with DWARF and, where both have one, the same build id is
/// taken.
pub fn find(wanted: Wanted<'_>, roots: &[PathBuf]) -> Option<(PathBuf, Image)> {
    let mut names: Vec<PathBuf> = Vec::new();
    if let Some((head, tail)) = wanted.build_id.and_then(|id| id.split_at_checked(2)) {
        names.push(format!("usr/lib/debug/.build-id/{head}/{tail}.debug").into());
    }
    if let (Some(link), Some(path)) = (wanted.link, wanted.path) {
        let link = Path::new(std::ffi::OsStr::from_bytes(link));
        let folder = relative(path.parent().unwrap_or(Path::new("/")));
        // A name with a folder in it would lead anywhere; the format has bare names.
        if link.file_name() == Some(link.as_os_str()) {
            names.push(folder.join(link));
            names.push(folder.join(".debug").join(link));
            names.push(Path::new("usr/lib/debug").join(folder).join(link));
        }
    }
    roots.iter().flat_map(|root| names.iter().map(|name| root.join(name))).find_map(|candidate| {
        let image = Image::from_file(open(&candidate)?);
        let fits = image
            .parse()
            .is_ok_and(|debug| debug.has_dwarf() && same(wanted.build_id, debug.build_id()));
        fits.then_some((candidate, image))
    })
}

/// Opens a regular file. What lies in the target's root may be a pipe that nobody writes to.
fn open(path: &Path) -> Option<File> {
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
    file.metadata().ok()?.is_file().then_some(file)
}

fn same(ours: Option<&str>, theirs: Option<String>) -> bool {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => ours == theirs,
        _ => true,
    }
}

fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}
