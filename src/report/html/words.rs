//! Numbers and times for readers.

use crate::report::text::units::{bytes, number};

/// A value of a line.
pub(super) fn value(value: f64, is_bytes: bool) -> String {
    let sign = if value < 0.0 { "−" } else { "" };
    let size = value.abs();
    let text = match is_bytes {
        true => bytes(size as u64),
        false if size.fract() == 0.0 || size >= 100.0 => number(size.round() as u64),
        false => format!("{size:.1}"),
    };
    format!("{sign}{text}")
}

/// A slope: "+1,212/h".
pub(super) fn per_hour(slope: f64, is_bytes: bool) -> String {
    let sign = if slope > 0.0 { "+" } else { "" };
    format!("{sign}{}/h", value(slope, is_bytes))
}

/// How long: "3 h 10 min", "12 days".
pub(super) fn hours(hours: f64) -> String {
    let minutes = (hours * 60.0).round();
    match minutes {
        minutes if minutes < 1.0 => "less than a minute".to_owned(),
        minutes if minutes < 60.0 => format!("{minutes} min"),
        minutes if minutes < 48.0 * 60.0 => {
            let (hours, minutes) = ((minutes / 60.0).floor(), minutes % 60.0);
            if minutes > 0.0 { format!("{hours} h {minutes} min") } else { format!("{hours} h") }
        }
        minutes if minutes < 1000.0 * 24.0 * 60.0 => {
            format!("{} days", (minutes / 60.0 / 24.0).round())
        }
        _ => "years".to_owned(),
    }
}

/// A time: "2026-11-21 14:32:48 UTC".
pub(super) fn time(text: &str) -> String {
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => text.to_owned(),
    }
}

/// The same of milliseconds since 1970.
pub(super) fn time_of_ms(ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(ms);
    at.map_or_else(|_| String::new(), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// A long text cut in its middle.
pub(super) fn cut(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let half = most.saturating_sub(1) / 2;
    let head: String = text.chars().take(half).collect();
    let tail: String = text.chars().skip(length - half).collect();
    format!("{head}…{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_readers() {
        assert_eq!([value(1234.0, false), value(2048.0, true)], ["1,234", "2.0 KiB"]);
        assert_eq!([value(-3.25, false), per_hour(12.0, false)], ["−3.2", "+12/h"]);
        let times = [0.001, 0.5, 3.0, 3.1666, 120.0, 1e9].map(hours);
        let expected = ["less than a minute", "30 min", "3 h", "3 h 10 min", "5 days", "years"];
        assert_eq!(times, expected);
        assert_eq!(time("2026-11-21T12:00:00.5Z"), "2026-11-21 12:00:00 UTC");
        assert_eq!(cut("abcdefghij", 5), "ab…ij");
    }
}
