//! Reading `/proc/PID/stat` and `/proc/PID/status`, which come from the kernel but carry
//! names that any program can choose: bounded, never a panic.

/// `PF_KTHREAD` of the kernel's include/linux/sched.h.
const PF_KTHREAD: u64 = 0x0020_0000;
/// `PF_IO_WORKER`: a thread that io_uring made inside the process.
const PF_IO_WORKER: u64 = 0x0000_0010;
/// `PF_USER_WORKER` (6.4 and later): any such thread, vhost's too.
const PF_USER_WORKER: u64 = 0x0000_4000;

/// The fields of a `stat` file that we use (proc_pid_stat(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stat {
    /// The command name of the task, at most 15 bytes.
    pub(crate) comm: String,
    /// `R`, `S`, `D`, `T` (stopped), `t` (stopped by a tracer), `Z`, `X`, `I`.
    pub(crate) state: char,
    /// Parent.
    pub(crate) ppid: i32,
    /// `PF_*` flags of the kernel.
    flags: u64,
    /// Start, in clock ticks since boot.
    pub(crate) start_ticks: u64,
}

impl Stat {
    /// `None` when the text has not the kernel's form.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let open = text.iter().position(|&byte| byte == b'(')?;
        // The name may hold anything, a ')' too; nothing behind it does.
        let close = text.iter().rposition(|&byte| byte == b')')?;
        let comm = String::from_utf8_lossy(text.get(open + 1..close)?).into_owned();
        let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let ppid = fields.next()?.parse().ok()?;
        let flags = fields.nth(4)?.parse().ok()?;
        let start_ticks = fields.nth(12)?.parse().ok()?;
        Some(Self { comm, state, ppid, flags, start_ticks })
    }

    /// True for a thread of the kernel itself.
    pub(crate) fn is_kernel_thread(&self) -> bool {
        self.flags & PF_KTHREAD != 0
    }

    /// True for a thread that runs kernel code only, inside a user's process.
    pub(crate) fn is_kernel_worker(&self) -> bool {
        self.is_kernel_thread()
            || self.flags & PF_IO_WORKER != 0
            // Before 6.4 this bit said "has used the FPU asynchronously" or nothing, so the
            // name has to agree.
            || (self.flags & PF_USER_WORKER != 0
                && (self.comm.starts_with("iou-") || self.comm.starts_with("vhost-")))
    }

    /// True when the task has ended and only its entry is left.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// A field of a `status` file, without the blanks around it.
pub(crate) fn status_field<'a>(status: &'a [u8], name: &str) -> Option<&'a str> {
    status.split(|&byte| byte == b'\n').find_map(|line| {
        let value = line.strip_prefix(name.as_bytes())?.strip_prefix(b":")?;
        std::str::from_utf8(value).ok().map(str::trim)
    })
}

/// The `index`th number of a field.
pub(crate) fn status_number<T: std::str::FromStr>(
    status: &[u8],
    name: &str,
    index: usize,
) -> Option<T> {
    status_field(status, name)?.split_ascii_whitespace().nth(index)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let text = b"12 (a) S 1 (b)) t 7 12 12 0 -1 4194304 1 0 0 0 5 6 0 0 20 0 3 0 998877 1 2";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(stat.comm, "a) S 1 (b)");
        assert_eq!((stat.state, stat.ppid, stat.start_ticks), ('t', 7, 998_877));
        assert!(!stat.is_kernel_thread() && !stat.has_ended());
    }

    #[test]
    fn cut_off_texts_are_refused() {
        for text in
            [&b""[..], b"12", b"12 (", b")(", b"12 (a)", b"12 (a) S 1 2 3", b"12 (\xff) S x"]
        {
            assert_eq!(Stat::parse(text), None);
        }
    }

    #[test]
    fn status_fields() {
        let status = b"Name:\tx\nUid:\t1\t2\t3\t4\nTracerPid:\t0\n";
        assert_eq!(status_field(status, "Name"), Some("x"));
        assert_eq!(status_number::<u32>(status, "Uid", 1), Some(2));
        assert_eq!(status_field(status, "Tracer"), None);
    }

    proptest! {
        #[test]
        fn any_name_keeps_its_fields(name in "[^\0]{0,15}", ppid in 0..i32::MAX, start: u64) {
            let text = format!("7 ({name}) S {ppid} 7 7 0 -1 4194304 1 0 0 0 5 6 0 0 20 0 3 0 {start} 1 2\n");
            let stat = Stat::parse(text.as_bytes()).unwrap();
            prop_assert_eq!((stat.comm, stat.ppid, stat.start_ticks), (name, ppid, start));
            for cut in 0..text.len().min(60) {
                Stat::parse(&text.as_bytes()[..cut]);
            }
        }

        #[test]
        fn any_text_is_an_answer(text: Vec<u8>, lines in "(Uid|Tgid|x)?[:\t 0-9a-z\n-]{0,80}") {
            for text in [text, lines.into_bytes()] {
                Stat::parse(&text);
                status_number::<i32>(&text, "Tgid", 0);
                status_number::<u8>(&text, "Uid", 3);
                super::super::identity::tracer_of(&text);
            }
        }
    }
}
