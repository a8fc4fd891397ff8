//! The command line of each contender, and whether it did its work.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cases::{Contender, Room};
use crate::options::Options;
use crate::peers::Peers;
use crate::support::scratch;
use crate::{bare_copy, bare_stop};

/// What is run inside the target by the classic recipe: four scans of all objects, each for one kind of resource. By name,
/// which is faster than `isinstance` and needs no import in the target.
pub(crate) const SCANS: &str = concat!(
    r"import gc\nout = open('RESULT', 'w')\n",
    r"for name in 'socket', 'ThreadPoolExecutor', 'ClientSession', 'Task': ",
    r"out.write('%s %d ' % (name, sum(1 for one in gc.get_objects() if type(one).__name__ == name)))\n",
    r"out.close()\n",
);

/// The command; `None` for a tool that this machine does not have.
pub(crate) fn command(
    contender: Contender,
    pid: &str,
    peers: &Peers,
    options: &Options,
) -> Option<Command> {
    let with = |program: &Path, words: &[&str], last: &[&str]| {
        let mut command = Command::new(program);
        command.args(words).args(last);
        Some(command)
    };
    match contender {
        Contender::Ours(words) => with(&options.binary, words, &[pid]),
        Contender::Why(selector) => with(&options.binary, &["why"], &[pid, selector]),
        Contender::PySpy(words) => with(peers.program(contender)?, words, &["--pid", pid]),
        Contender::Pystack(words) => with(peers.program(contender)?, words, &[pid]),
        Contender::Gdb => {
            let scans = SCANS.replace("RESULT", &gdb_result().to_string_lossy());
            let run = format!("call (int)PyRun_SimpleString(\"{scans}\")");
            let mut command = with(peers.program(contender)?, &["-nx", "-batch"], &["-p", pid])?;
            command.args(["-iex", "set debuginfod enabled off"]);
            command.args(["-ex", "set $gil = (int)PyGILState_Ensure()", "-ex", &run]);
            command.args(["-ex", "call (void)PyGILState_Release($gil)", "-ex", "detach"]);
            Some(command)
        }
        Contender::BareCopy(room) => {
            let room = if room == Room::Touched { "touched" } else { "fresh" };
            with(&std::env::current_exe().ok()?, &[bare_copy::WORD], &[pid, room])
        }
        Contender::Stop => with(&std::env::current_exe().ok()?, &[bare_stop::OURS], &[pid]),
        Contender::BareStop => with(&std::env::current_exe().ok()?, &[bare_stop::WORD], &[pid]),
        // The target does it.
        Contender::BareFork => None,
    }
}

/// Says what is wrong with a contender's output, if anything is: a tool that fails fast must not win.
pub(crate) fn problem(contender: Contender, output: &str, target: &[&str]) -> Option<String> {
    let (word, least) = match contender {
        Contender::Ours(["census", ..]) => ("__main__.Record", 1),
        Contender::Ours(["report", ..]) => ("FINDINGS", 1),
        Contender::Why(_) => ("module __main__", 1),
        // Every thread by its name; our text names eight of those that do the same, pystack none.
        Contender::Ours(["dump"]) => ("\"worker ", threads(target).min(8)),
        Contender::Ours(_) | Contender::PySpy(_) => ("\"worker ", threads(target)),
        Contender::Pystack(_) => ("Traceback for thread", threads(target)),
        Contender::Gdb => {
            let written = std::fs::read_to_string(gdb_result()).unwrap_or_default();
            let _ = std::fs::remove_file(gdb_result());
            return (!written.contains("Task ")).then(|| "it did not count".to_owned());
        }
        Contender::BareCopy(_) | Contender::Stop | Contender::BareStop => (" ns for ", 1),
        Contender::BareFork => return None,
    };
    let found = output.matches(word).count();
    (found < least).then(|| format!("{found} times {word:?}, {least} expected"))
}

/// How many threads a target has beside its main thread.
fn threads(target: &[&str]) -> usize {
    let count = target.iter().skip_while(|word| **word != "--threads").nth(1);
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn gdb_result() -> PathBuf {
    scratch().join("bench-gdb-result")
}
