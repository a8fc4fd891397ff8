//! The paths as folded stacks, one line for each: steps from the root, then what they weigh. Flame
//! graph viewers (flamegraph.pl, inferno, speedscope) draw them.

use super::escape::escape;
use crate::snapshot::holders::{HolderGroup, WhyDocument};
use std::io::{self, Write};

/// What the width of a flame means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Objects.
    Count,
    /// Bytes that would be free without them.
    Bytes,
}

/// Writes a line for each group; nothing for those without weight.
pub fn write(out: &mut impl Write, document: &WhyDocument, weight: Weight) -> io::Result<()> {
    write_groups(out, &document.holders.groups, weight)
}

fn write_groups(out: &mut impl Write, groups: &[HolderGroup], weight: Weight) -> io::Result<()> {
    for group in groups {
        let steps = group.steps.iter().map(|step| frame(&step.text));
        let class = group.steps.last().map(|step| frame(&step.class));
        let frames: Vec<String> = steps.chain(class).filter(|text| !text.is_empty()).collect();
        let weight = match weight {
            Weight::Count => group.count,
            Weight::Bytes => group.retained_bytes,
        };
        if weight > 0 {
            writeln!(out, "{} {weight}", frames.join(";"))?;
        }
    }
    Ok(())
}

/// A semicolon would end the frame.
fn frame(text: &str) -> String {
    escape(text).replace(';', ",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::holders::PathStep;

    #[test]
    fn a_line_is_frames_and_a_number() {
        let step = |text: &str, class: &str| PathStep {
            kind: "item".to_owned(),
            text: text.to_owned(),
            class: class.to_owned(),
        };
        let group = HolderGroup {
            count: 3,
            retained_bytes: 0,
            steps: vec![step("module a", "builtins.module"), step("['x;y']", "a.B")],
            ..HolderGroup::default()
        };
        let mut line = Vec::new();
        write_groups(&mut line, &[group], Weight::Count).unwrap();
        assert_eq!(String::from_utf8(line).unwrap(), "module a;['x,y'];a.B 3\n");
    }
}
