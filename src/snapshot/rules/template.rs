//! Titles and sentences: `{count} {pool is|pools are} full`.

/// Fills in the parts in braces: names through `value`, `one|many` by `count`.
pub(super) fn fill(template: &str, count: u64, value: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(template.len() + 16);
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, after)) = behind.split_once('}') else {
            out.push('{');
            rest = behind;
            continue;
        };
        match name.split_once('|') {
            Some((one, many)) => out.push_str(if count == 1 { one } else { many }),
            None => out.push_str(&value(name).unwrap_or_else(|| "unknown".to_owned())),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// A number without a needless fraction.
pub(super) fn plain(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{}", value as i64)
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let value = |name: &str| (name == "count").then(|| "2".to_owned());
        assert_eq!(fill("{count} {pool is|pools are} full", 2, &value), "2 pools are full");
        assert_eq!(fill("{x} {a|b} {", 1, &value), "unknown a {");
        assert_eq!([plain(3.0), plain(0.25)], ["3", "0.25"]);
    }
}
