//! How a picture is taken.

use std::fmt;
use std::str::FromStr;

/// `--capture`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CaptureMode {
    /// Whichever of the others fits; the output says which and why.
    #[default]
    Auto,
    /// Stop every thread, read on demand, resume.
    Stop,
    /// Stop every thread, copy the writable memory, resume, analyse the copy.
    Copy,
    /// Stop every thread, have the process fork a copy that never runs, resume, read the copy.
    Fork,
    /// Never stop; what is read may contradict itself.
    Live,
}

impl CaptureMode {
    /// The word on the command line and in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Stop => "stop",
            Self::Copy => "copy",
            Self::Fork => "fork",
            Self::Live => "live",
        }
    }
}

impl fmt::Display for CaptureMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CaptureMode {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let modes = [Self::Auto, Self::Stop, Self::Copy, Self::Fork, Self::Live];
        let known = modes.into_iter().find(|mode| mode.name() == word);
        known.ok_or_else(|| "one of auto, stop, copy, fork, live".to_owned())
    }
}
