//! What a user sees when a command fails: `error:`, the causes, a blank line, `hint:`.

use crate::attach::{AttachError, Trouble};
use crate::layout::discover::DiscoverError;
use crate::process::ProcessError;
use crate::report::escape::escape;
use crate::report::text::{ERROR, HINT};
use crate::snapshot::{CaptureInfo, FileError};
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

/// Exit codes (`docs/reference/exit-codes.md` has the list).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Code {
    /// Everything went well.
    Fine = 0,
    /// Findings at or above what `--fail-on` names.
    Findings = 1,
    /// Wrong usage, or an error of our own surroundings (stdout gone, no python3).
    Usage = 2,
    /// Cannot attach: gone, permission, another tracer.
    Attach = 3,
    /// Not CPython, or a version or layout we do not know.
    Unknown = 4,
    /// The capture is incomplete, or over its pause budget.
    Incomplete = 5,
    /// A damaged or foreign file.
    File = 6,
}

impl Code {
    /// The code for a document that was printed.
    pub(super) fn of_capture(capture: &CaptureInfo) -> Self {
        if capture.is_as_good_as_asked() { Self::Fine } else { Self::Incomplete }
    }
}

impl From<Trouble> for Code {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::CannotAttach => Self::Attach,
            Trouble::UnknownInterpreter => Self::Unknown,
            Trouble::Incomplete => Self::Incomplete,
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(super) struct Failure {
    error: Box<dyn Error>,
    hint: Option<String>,
    code: Code,
}

impl Failure {
    /// A failure with its cause.
    pub(super) fn new(error: impl Into<Box<dyn Error>>, code: Code) -> Self {
        Self { error: error.into(), hint: None, code }
    }

    /// The same with what to do about it.
    pub(super) fn with_hint(self, hint: impl Into<Option<String>>) -> Self {
        Self { hint: hint.into(), ..self }
    }

    /// The exit code.
    pub(super) fn code(&self) -> Code {
        self.code
    }

    /// Nobody reads our output any more: not an error.
    pub(super) fn is_broken_pipe(&self) -> bool {
        let io = self.error.downcast_ref::<io::Error>();
        io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The process has ended, or its number is another's now.
    pub(super) fn is_gone(&self) -> bool {
        matches!(
            self.error.downcast_ref(),
            Some(AttachError::Process(
                ProcessError::NoSuchProcess { .. }
                    | ProcessError::Gone { .. }
                    | ProcessError::Zombie { .. }
                    | ProcessError::Reused { .. }
            ))
        )
    }

    /// There is no Python to look at: the process is another program, or has ended.
    pub(super) fn is_no_python(&self) -> bool {
        matches!(
            self.error.downcast_ref(),
            Some(
                AttachError::Discover(DiscoverError::NotPython { .. } | DiscoverError::NoProgram)
                    | AttachError::Process(
                        ProcessError::NoSuchProcess { .. }
                            | ProcessError::Gone { .. }
                            | ProcessError::Zombie { .. }
                    )
            )
        )
    }

    /// What went wrong, on one line.
    pub(super) fn message(&self) -> String {
        self.error.to_string()
    }

    /// Writes to stderr that this was passed over.
    pub(super) fn print_as_note(&self) {
        let mut out = anstream::stderr().lock();
        // Nothing is left to do when stderr is gone.
        let _ = writeln!(out, "{HINT}note:{HINT:#} {}", escape(&self.error.to_string()));
    }

    /// Writes the failure to stderr.
    pub(super) fn print(&self) {
        // Nothing is left to do when stderr is gone.
        let _ = self.write(&mut anstream::stderr().lock());
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let message = self.error.to_string();
        writeln!(out, "{ERROR}error:{ERROR:#} {}", escape(&message))?;
        let mut last = message;
        let mut cause = self.error.source();
        while let Some(error) = cause {
            let message = error.to_string();
            // Transparent errors repeat the message of their cause.
            if message != last {
                writeln!(out, "  caused by: {}", escape(&message))?;
            }
            last = message;
            cause = error.source();
        }
        match &self.hint {
            Some(hint) => writeln!(out, "\n{HINT}hint:{HINT:#} {}", escape(hint)),
            None => Ok(()),
        }
    }
}

impl From<AttachError> for Failure {
    fn from(error: AttachError) -> Self {
        let hint = error.hint();
        let code = error.trouble().into();
        Self::new(error, code).with_hint(hint)
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        let hint = error.hint();
        let code = if error.is_damage() { Code::File } else { Code::Usage };
        Self::new(error, code).with_hint(hint)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(error, Code::Usage)
    }
}
