//! Limits of the process that would turn our memory files into harm.

use super::super::stat::status_field;

/// What a memory file must be allowed to grow to.
const LEAST: u64 = 256 << 20;

/// The process's limit of the size of files, when a write beyond it would end the process: the
/// kernel then sends SIGXFSZ, which CPython ignores, but not when it is embedded.
pub(super) fn deadly_file_limit(limits: &[u8], status: &[u8]) -> Option<u64> {
    let line = limits.split(|&byte| byte == b'\n').find(|line| line.starts_with(b"Max file size"));
    let soft = std::str::from_utf8(line?).ok()?.split_ascii_whitespace().nth(3)?;
    let limit: u64 = soft.parse().ok()?;
    let mask = status_field(status, "SigIgn").and_then(|mask| u64::from_str_radix(mask, 16).ok());
    let ignored = mask.is_some_and(|mask| mask & 1 << (libc::SIGXFSZ - 1) != 0);
    (limit < LEAST && !ignored).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::deadly_file_limit;

    #[test]
    fn a_small_limit_is_deadly_unless_its_signal_is_ignored() {
        let limits = b"Limit                     Soft Limit           Hard Limit           Units\n\
            Max cpu time              unlimited            unlimited            seconds\n\
            Max file size             4096                 unlimited            bytes\n";
        let ignored = b"SigBlk:\t0000000000000000\nSigIgn:\t0000000001001000\n";
        assert_eq!(deadly_file_limit(limits, ignored), None);
        assert_eq!(deadly_file_limit(limits, b"SigIgn:\t0000000000001000\n"), Some(4096));
        assert_eq!(deadly_file_limit(b"Max file size  unlimited  unlimited  bytes\n", b""), None);
    }
}
