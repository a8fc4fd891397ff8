//! Parents and children.
//!
//! Not by `remoteprocess`, whose walk up the parents (0.5.5) does not end when numbers that
//! were read one after the other form a circle.

use std::collections::HashMap;

use super::stat::Stat;
use super::{Process, ProcessError, read_bounded};

impl Process {
    /// The numbers of its children, or of all its descendants, in ascending order.
    ///
    /// A picture taken while processes come and go: open each one and expect some to be gone.
    ///
    /// # Errors
    /// Gone, reused, or `/proc` cannot be listed.
    pub fn children(&self, recursive: bool) -> Result<Vec<i32>, ProcessError> {
        let mut by_parent: HashMap<i32, Vec<i32>> = HashMap::new();
        let entries = std::fs::read_dir("/proc").map_err(|e| self.io("listing /proc", e))?;
        for entry in entries.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok())
            else {
                continue;
            };
            let stat = read_bounded(&format!("/proc/{pid}/stat"));
            if let Some(stat) = stat.ok().and_then(|text| Stat::parse(&text)) {
                by_parent.entry(stat.ppid).or_default().push(pid);
            }
        }
        // Taking each parent's list out makes the walk end even if the numbers, read one
        // after the other, form a circle.
        let mut found = by_parent.remove(&self.pid).unwrap_or_default();
        let mut next = 0;
        while let Some(&pid) = found.get(next).filter(|_| recursive) {
            found.extend(by_parent.remove(&pid).unwrap_or_default());
            next += 1;
        }
        found.sort_unstable();
        self.check()?;
        Ok(found)
    }
}
