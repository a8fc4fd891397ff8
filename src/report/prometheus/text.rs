//! OpenMetrics as Prometheus' older text format (0.0.4): the same samples, other comments.
//!
//! A counter's and an info's comments name the samples themselves, there is no type `info`, no
//! unit and no end.

use std::collections::BTreeMap;

/// The same in the older format. Relies on what our encoder writes: no timestamps, no exemplars.
pub(super) fn of_openmetrics(openmetrics: &str) -> String {
    let types: BTreeMap<&str, &str> = openmetrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let mut text = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines() {
        let comment = line.strip_prefix("# ").and_then(|rest| rest.split_once(' '));
        match comment {
            Some(("UNIT", _)) => continue,
            Some((keyword @ ("HELP" | "TYPE"), rest)) => {
                let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
                let (suffix, kind) = match types.get(name) {
                    Some(&"counter") => ("_total", "counter"),
                    Some(&"info") => ("_info", "gauge"),
                    Some(&kind) => ("", kind),
                    None => ("", "untyped"),
                };
                let rest = if keyword == "TYPE" { kind } else { rest };
                text.extend(["# ", keyword, " ", name, suffix, " ", rest]);
            }
            None if line == "# EOF" => continue,
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}
