use super::page;
use super::series::{Line, Series};
use crate::report::escape::is_unsafe;
use crate::report::sample::{HOSTILE, diagnosis, whole};
use crate::snapshot::findings::Diagnosis;

/// A series of so many captures, a minute apart, with a line of each family.
fn series(captures: i64) -> Series {
    let times: Vec<i64> = (0..captures).map(|i| 1_700_000_000_000 + i * 60_000).collect();
    let line = |family: &str, name: &str, rate: f64, verdict: &str| Line {
        family: family.to_owned(),
        name: name.to_owned(),
        bytes: family == "memory",
        verdict: verdict.to_owned(),
        slope: Some([rate * 60.0, rate * 50.0, rate * 70.0]),
        p: Some(0.0001),
        limit: (family == "process").then_some(1024.0),
        exhaustion: (family == "process").then_some((3.2, 2.9, None)),
        values: (0..captures).map(|i| Some(100.0 + (rate * i as f64).round())).collect(),
        ..Line::default()
    };
    let mut lines = vec![
        line("process", "open files", 1.5, "growing"),
        line("type", HOSTILE, 2.0, "growing"),
        line("resource", HOSTILE, 0.0, "stable"),
        line("memory", "resident memory", 1e5, "settling"),
    ];
    lines.push(Line { apart: Some(HOSTILE.to_owned()), ..line("type", "x", 1.0, "suspected") });
    Series {
        times,
        lines,
        changes: vec![(Some(1_700_000_060_000), HOSTILE.to_owned())],
        notes: vec![HOSTILE.to_owned()],
        facts: vec![("Captures".to_owned(), HOSTILE.to_owned())],
    }
}

/// The page without what is ours and may hold anything: style and script.
fn without_ours(page: &str) -> String {
    page.replace(super::STYLE, "").replace(super::SCRIPT, "")
}

#[test]
fn names_that_mean_harm_stay_text() {
    let (whole, diagnosis, series) = (whole(40), diagnosis(), series(20));
    for series in [None, Some(&series)] {
        let page = page(&whole, &diagnosis, series).unwrap();
        let rest = without_ours(&page);
        assert_eq!(rest.matches("<script>").count(), 1);
        assert_eq!(rest.matches("</title>").count(), 1);
        assert_eq!(rest.matches("<style>").count(), 1);
        assert!(!rest.contains(|c| is_unsafe(c) && c != '\n'));
        // Seen, as text.
        assert!(rest.contains("&#60;script&#62;alert(1)"));
        assert!(rest.contains("\\x1b[2J\\u202e"));
    }
}

#[test]
fn every_element_closes() {
    let (whole, diagnosis, series) = (whole(40), diagnosis(), series(20));
    let page = page(&whole, &diagnosis, Some(&series)).unwrap();
    let mut open: Vec<&str> = Vec::new();
    for part in without_ours(&page).split('<').skip(1) {
        let tag = part.split(['>', ' ', '\n']).next().unwrap();
        let text = part.split('>').next().unwrap();
        match tag.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(names(closed)), "{part}"),
            None if text.ends_with('/') || matches!(tag, "!DOCTYPE" | "meta" | "input") => {}
            None => open.push(names(tag)),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

/// The name of an element, for longer than the text it was found in.
fn names(tag: &str) -> &'static str {
    const ALL: [&str; 41] = [
        "html",
        "head",
        "title",
        "style",
        "body",
        "header",
        "p",
        "h1",
        "h2",
        "h3",
        "h4",
        "code",
        "main",
        "section",
        "ul",
        "ol",
        "li",
        "dl",
        "div",
        "dt",
        "dd",
        "span",
        "b",
        "small",
        "article",
        "svg",
        "path",
        "figure",
        "figcaption",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "label",
        "output",
        "details",
        "summary",
        "footer",
        "script",
    ];
    ALL.into_iter().find(|&name| name == tag).unwrap_or_else(|| panic!("element {tag:?}"))
}

#[test]
fn the_verdict_says_what_matters() {
    let healthy = page(&whole(4), &Diagnosis::default(), None).unwrap();
    assert!(healthy.contains("<h2>Nothing was found</h2>"));
    assert!(healthy.contains("verdict good"));
    let series = series(20);
    let leaking = page(&whole(4), &diagnosis(), Some(&series)).unwrap();
    assert!(leaking.contains("<h2>2 growing, 1 critical, 1 warning</h2>"), "{leaking}");
    assert!(leaking.contains("open files reach their limit of 1,024 in 3 h 12 min"));
    assert!(leaking.contains("verdict bad"));
}

#[test]
fn five_hundred_captures_of_five_thousand_types_stay_below_a_megabyte() {
    let mut whole = whole(40);
    let mut series = series(500);
    let typical = whole.objects.types.pop().unwrap();
    whole.objects.types.clear();
    for index in 0..5_000u64 {
        let name = format!("shop.payments.providers.module_{index}.SomethingRatherLong");
        let mut row = typical.clone();
        (row.name, row.count) = (name.clone(), 10_000 - index);
        whole.objects.types.push(row);
        let values = (0..500).map(|at| Some(((at * (index + 3)) % 977) as f64)).collect();
        let verdict = if index < 100 { "growing" } else { "stable" }.to_owned();
        series.lines.push(Line {
            family: "type".to_owned(),
            name,
            verdict,
            values,
            slope: Some([1.0, 0.5, 2.0]),
            ..Line::default()
        });
    }
    for (family, count) in [("resource", 60), ("task", 100), ("thread", 50), ("process", 20)] {
        for index in 0..count {
            let values = (0..500).map(|at| Some(((at * (index + 3)) % 977) as f64)).collect();
            let name = format!("{family} number {index} at /srv/shop/app/module.py:17 in fetch");
            let family = family.to_owned();
            series.lines.push(Line { family, name, values, ..Line::default() });
        }
    }
    let page = page(&whole, &diagnosis(), Some(&series)).unwrap();
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    assert!(page.contains("4,000 types") || page.contains("4000 types"));
}
