//! How a picture was taken, what it cost the target, and how much of it is whole.

use serde::{Deserialize, Serialize};

/// How a picture was taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CaptureInfo {
    /// "stop", "copy", "fork" or "live".
    pub mode: String,
    /// Why this mode, when it was chosen and not asked for.
    pub mode_reason: Option<String>,
    /// How long the target stood still, in milliseconds: of the attempt that was used. `null`
    /// in mode live, which stops nothing.
    pub pause_ms: Option<f64>,
    /// Sum over all attempts, in milliseconds.
    pub total_pause_ms: Option<f64>,
    /// From the start of the command to the end of the analysis, in milliseconds.
    pub wall_ms: f64,
    /// Bytes read from the target.
    pub bytes_read: u64,
    /// System calls that read them.
    pub reads: u64,
    /// Captures made until one was consistent, or patience ended.
    pub attempts: u32,
    /// The picture is of one instant and nothing in it contradicts itself.
    pub consistent: bool,
    /// What was and was not read.
    pub coverage: Coverage,
    /// What a reader of the numbers should know, in words.
    pub notes: Vec<String>,
}

impl CaptureInfo {
    /// The picture is as good as its mode allows: of one instant, or, in mode live, at least
    /// without visible damage.
    pub fn is_as_good_as_asked(&self) -> bool {
        let damage = self.coverage.unreadable + self.coverage.broken_lists.unwrap_or(0);
        self.consistent || (self.mode == "live" && damage == 0)
    }
}

/// What was and was not read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Coverage {
    /// Objects visited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<u64>,
    /// Objects, frames or values that could not be read.
    pub unreadable: u64,
    /// Lists of tracked objects that did not close.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken_lists: Option<u64>,
    /// A garbage collection was running: what it holds on the side was not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collecting: Option<bool>,
    /// Threads stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads_stopped: Option<u64>,
    /// Threads in uninterruptible sleep, which cannot stop and cannot run Python either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads_in_kernel: Option<u64>,
}
