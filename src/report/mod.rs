//! Documents as text and JSON. Sees `snapshot` data only; one file per format and subject.
//!
//! Text that came from the target is never printed raw: everything passes [`escape`].

pub mod csv;
pub mod dot;
pub mod escape;
pub mod folded;
pub mod heapsnapshot;
pub mod html;
pub mod json;
pub mod junit;
pub mod parquet;
pub mod prometheus;
pub mod rows;
pub mod sarif;
pub mod text;

#[cfg(test)]
mod sample;
