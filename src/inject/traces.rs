//! What we have put into the target: memory files, memory, the request; and its removal.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{Duration, Instant};

use super::ExecError;
use super::payload::{MemoryFile, Setting};
use super::records::{Reader, Record};
use super::request::Request;
use super::ring::{Ring, Ticket};
use super::session::{Prepared, Session};
use crate::process::{Away, Held, RemoteCall, reached};

/// How long a wrapper that has finished may take to close its files: on a busy machine with busy
/// threads its turn may be late.
const CLOSES_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_micros(200);
const PAGE: u64 = 4096;

/// What is in the target.
#[derive(Debug, Default)]
pub(super) struct Traces {
    output: Option<(MemoryFile, File)>,
    source: Option<(MemoryFile, File)>,
    /// Address and length.
    pub(super) page: Option<(u64, u64)>,
    pub(super) placed: Option<Placed>,
    /// Where the records begin in the output.
    records: u64,
    /// The class of the exception that the script was asked to end with, once.
    pub(super) exception: Option<u64>,
}

/// A request that waits to be taken up.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::large_enum_variant, reason = "there is one of it")]
pub(super) enum Placed {
    Queued(Ring, Ticket),
    Requested(Request),
    Borrowed(Away),
}

impl Traces {
    /// Reads the records from their beginning.
    pub(super) fn reader(&self) -> Option<Reader> {
        let file = self.output.as_ref()?.1.try_clone().ok()?;
        Some(Reader::new(file, self.records))
    }

    /// What is recorded so far.
    pub(super) fn records(&self) -> Option<Vec<Record>> {
        self.reader()?.read().ok()
    }

    /// Whether the target has the output open: the wrapper can still write.
    pub(super) fn is_open(&self, pid: i32) -> bool {
        self.output.as_ref().is_some_and(|(file, _)| is_open(pid, file))
    }

    /// The wrapper has run to its end.
    fn is_over(&self) -> bool {
        self.records().is_some_and(|records| records.contains(&Record::Finished))
    }

    /// The wrapper as a memory file; the path by which the target finds it.
    pub(super) fn source_file(
        &mut self,
        held: &mut Held<'_>,
        prepared: &Prepared,
    ) -> Result<String, ExecError> {
        let output = self.output_file(held, prepared)?;
        let (file, ours) = match self.source.take() {
            Some(source) => source,
            None => memory_file(held, prepared)?,
        };
        let text = prepared.texts.statement(&setting(prepared, output, Some(file)));
        let written = ours.write_all_at(text.as_bytes(), 0);
        self.source = Some((file, ours));
        written.map_err(|source| ExecError::File { pid: held.pid(), source })?;
        Ok(path_of(&file))
    }

    /// The statement in memory of its own; its address.
    pub(super) fn page(
        &mut self,
        held: &mut Held<'_>,
        prepared: &Prepared,
    ) -> Result<u64, ExecError> {
        let pid = held.pid();
        // With the NUL behind it.
        let needed = (prepared.texts.longest_statement() + 1).next_multiple_of(PAGE);
        if self.output.is_none() && self.page.is_none() {
            // Both at once, while the target waits.
            let (results, problem) = held.call_all(&[make_file(prepared), map_memory(needed)]);
            // Noted before anything can go wrong, so that it is removed.
            self.page = results.get(1).map(|at| (at.cast_unsigned(), needed));
            if let Some(&fd) = results.first() {
                self.output = Some(open_file(held, fd)?);
                self.begin_file(held, prepared)?;
            }
            if let Some(problem) = problem {
                return Err(problem.into());
            }
        }
        let text = self.statement(held, prepared)?;
        let at = match self.page {
            Some((at, _)) => at,
            None => {
                let at = held.call(map_memory(needed))?.cast_unsigned();
                self.page = Some((at, needed));
                at
            }
        };
        if text.len() as u64 > needed {
            let source = io::ErrorKind::FileTooLarge.into();
            return Err(ExecError::File { pid, source });
        }
        held.write(at, &text)?;
        Ok(at)
    }

    /// The statement that calls the wrapper, as a C string.
    pub(super) fn statement(
        &mut self,
        held: &mut Held<'_>,
        prepared: &Prepared,
    ) -> Result<Vec<u8>, ExecError> {
        let output = self.output_file(held, prepared)?;
        let spare = self.source.as_ref().map(|(file, _)| *file);
        let mut text = prepared.texts.statement(&setting(prepared, output, spare)).into_bytes();
        text.push(0);
        Ok(text)
    }

    /// The file for the records, which begins with what the wrapper reads.
    fn output_file(
        &mut self,
        held: &mut Held<'_>,
        prepared: &Prepared,
    ) -> Result<MemoryFile, ExecError> {
        if let Some((file, _)) = &self.output {
            return Ok(*file);
        }
        self.output = Some(memory_file(held, prepared)?);
        self.begin_file(held, prepared)
    }

    fn begin_file(
        &mut self,
        held: &Held<'_>,
        prepared: &Prepared,
    ) -> Result<MemoryFile, ExecError> {
        let pid = held.pid();
        let broken = |source| ExecError::File { pid, source };
        let (file, ours) =
            self.output.as_ref().ok_or_else(|| broken(io::ErrorKind::NotFound.into()))?;
        self.records = prepared.texts.records();
        ours.write_all_at(prepared.texts.file(), 0).map_err(broken)?;
        Ok(*file)
    }

    /// Unmaps and closes everything while the target is held.
    pub(super) fn remove_all(&mut self, held: &mut Held<'_>) {
        // What cannot be removed now stays noted, and is tried again in the end.
        if let Some(page) = self.page
            && held.call(unmap_memory(page)).is_ok()
        {
            self.page = None;
        }
        for file in [&mut self.output, &mut self.source] {
            if let Some((found, _)) = file
                && is_open(held.pid(), found)
                && held.call(close(found)).is_ok()
            {
                *file = None;
            }
        }
    }
}

impl Session<'_> {
    /// Waits until the wrapper has closed its files. It says that it has finished before, may wait for
    /// the GIL then, and would close whatever had the number next if we were faster.
    fn let_it_close(&self, traces: &Traces) {
        let until = Instant::now() + CLOSES_WITHIN;
        let files = || [traces.output.as_ref(), traces.source.as_ref()].into_iter().flatten();
        while files().any(|(file, _)| is_open(self.process.pid(), file)) && Instant::now() < until {
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Removes what is left in the target; what cannot be removed is the answer.
    pub(super) fn clean(&mut self) -> Vec<String> {
        let traces = std::mem::take(&mut self.traces);
        let mut left = Vec::new();
        if traces.output.is_none() && traces.page.is_none() {
            return left;
        }
        let running = traces.placed.is_some() && !traces.is_over();
        if traces.placed.is_some() && !running {
            self.let_it_close(&traces);
        }
        let mut calls = Vec::new();
        if let Some((at, length)) = traces.page {
            if running {
                left.push(format!("{length} bytes of memory at {at:#x}"));
            } else {
                calls.push(unmap_memory((at, length)));
            }
        }
        for (file, _) in [traces.output.as_ref(), traces.source.as_ref()].into_iter().flatten() {
            // The wrapper has closed them.
            if !is_open(self.process.pid(), file) {
                continue;
            }
            if running {
                left.push(format!("descriptor {} (a memory file)", file.fd));
            } else {
                calls.push(close(file));
            }
        }
        if !calls.is_empty() {
            match self.process.run_calls(self.prepared.plan, &calls) {
                Ok(pause) => self.pause += pause,
                Err(_) => left.extend(calls.iter().map(|call| format!("({} failed)", call.what))),
            }
        }
        if let (Some(Placed::Requested(request)), Some((file, _))) = (traces.placed, &traces.source)
        {
            let mut path = path_of(file).into_bytes();
            path.push(0);
            let zeros = vec![0; path.len()];
            self.process.replace_memory(request.path(), &path, &zeros);
        }
        reached("cleaned");
        left
    }
}

/// Has the target make a memory file, and opens it.
fn memory_file(held: &mut Held<'_>, prepared: &Prepared) -> Result<(MemoryFile, File), ExecError> {
    let fd = held.call(make_file(prepared))?;
    open_file(held, fd)
}

/// Opens a memory file that the target has made.
fn open_file(held: &mut Held<'_>, fd: i64) -> Result<(MemoryFile, File), ExecError> {
    let pid = held.pid();
    let open = || -> io::Result<(MemoryFile, File)> {
        let fd = i32::try_from(fd).map_err(io::Error::other)?;
        let file = File::options().read(true).write(true).open(format!("/proc/{pid}/fd/{fd}"))?;
        let inode = file.metadata()?.ino();
        Ok((MemoryFile { fd, inode }, file))
    };
    open().map_err(|source| {
        let args = [fd.cast_unsigned(), 0, 0, 0, 0, 0];
        let call = RemoteCall { what: "close a memory file", number: libc::SYS_close, args };
        let _ = held.call(call);
        ExecError::File { pid, source }
    })
}

fn make_file(prepared: &Prepared) -> RemoteCall {
    let flags = u64::from(libc::MFD_CLOEXEC);
    let args = [prepared.functions.empty_text, flags, 0, 0, 0, 0];
    RemoteCall { what: "make a memory file", number: libc::SYS_memfd_create, args }
}

fn map_memory(length: u64) -> RemoteCall {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let [protection, flags] = [protection, flags].map(|bits| u64::from(bits.unsigned_abs()));
    let args = [0, length, protection, flags, u64::MAX, 0];
    RemoteCall { what: "map memory", number: libc::SYS_mmap, args }
}

fn unmap_memory((at, length): (u64, u64)) -> RemoteCall {
    let args = [at, length, 0, 0, 0, 0];
    RemoteCall { what: "unmap memory", number: libc::SYS_munmap, args }
}

fn setting(prepared: &Prepared, output: MemoryFile, source: Option<MemoryFile>) -> Setting {
    Setting { output, source, pid: prepared.pid_inside, room: prepared.options.room }
}

fn path_of(file: &MemoryFile) -> String {
    format!("/proc/self/fd/{}", file.fd)
}

/// Whether the target still has the file open by that number.
fn is_open(pid: i32, file: &MemoryFile) -> bool {
    let found = std::fs::metadata(format!("/proc/{pid}/fd/{}", file.fd));
    found.is_ok_and(|found| found.ino() == file.inode)
}

fn close(file: &MemoryFile) -> RemoteCall {
    let args = [u64::from(file.fd.unsigned_abs()), 0, 0, 0, 0, 0];
    RemoteCall { what: "close a memory file", number: libc::SYS_close, args }
}
