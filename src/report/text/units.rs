//! Numbers for people.

/// A count with its digits in groups of three: `1,204,331`.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A size in binary units: `312 B`, `4.1 KiB`, `1.3 GiB`.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if value < 1024 {
        return format!("{value} B");
    }
    let mut scaled = value as f64 / 1024.0;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", UNITS[unit])
}

/// Milliseconds with the digits that matter: `0.42 ms`, `18 ms`, `1.3 s`.
pub(in crate::report) fn milliseconds(value: f64) -> String {
    match value {
        ms if ms < 10.0 => format!("{ms:.2} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!([number(7), number(1234), number(1_204_331)], ["7", "1,234", "1,204,331"]);
        assert_eq!([bytes(312), bytes(4200), bytes(1 << 30)], ["312 B", "4.1 KiB", "1.0 GiB"]);
        assert_eq!([milliseconds(0.4219), milliseconds(18.2)], ["0.42 ms", "18 ms"]);
    }
}
