//! The process part of a document.

use super::Target;
use crate::layout::Flavour;
use crate::process::Identity;
use crate::snapshot::secrets::mask_arguments;
use crate::snapshot::{LayoutInfo, ProcessInfo, PythonInfo};

/// Identity and figures, with secrets in the command line masked.
pub(super) fn process_info(target: &Target, identity: &Identity) -> ProcessInfo {
    let text = |path: &std::path::PathBuf| path.to_string_lossy().into_owned();
    ProcessInfo {
        pid: identity.pid,
        start_time: identity.start_time.map(|time| time.to_string()),
        cmdline: mask_arguments(&identity.cmdline),
        exe: identity.exe.as_ref().map(text),
        cwd: identity.cwd.as_ref().map(text),
        uid: Some(identity.uid).filter(|&uid| uid != u32::MAX),
        user: identity.user.clone(),
        rss_bytes: identity.rss_bytes,
        os_threads: Some(identity.os_threads as u64).filter(|&threads| threads > 0),
        fds: identity.fds.map(|fds| fds as u64),
        python: python_info(target),
    }
}

/// The interpreter part of a document.
pub(super) fn python_info(target: &Target) -> PythonInfo {
    let layout = &target.layout;
    let mut build = vec!["gil".to_owned()];
    if layout.flavour == Flavour::Debug {
        build.push("debug".to_owned());
    }
    PythonInfo {
        version: layout.version.to_string(),
        build,
        executable: target.module.clone(),
        layout: LayoutInfo {
            origin: layout.origin.sources.clone(),
            table: layout.origin.table.clone(),
        },
    }
}
