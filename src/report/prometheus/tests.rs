use super::{Metrics, Picture, Watched};
use crate::report::sample::{diagnosis, whole};

/// The samples of a page, without comments.
fn samples(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

/// The page with the samples of each metric in order: the label sets of one come in any.
fn in_order(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut ordered = Vec::new();
    for metric in lines.chunk_by(|a, b| a.starts_with('#') == b.starts_with('#')) {
        let mut metric = metric.to_vec();
        if metric.first().is_some_and(|line| !line.starts_with('#')) {
            metric.sort_unstable();
        }
        ordered.extend(metric);
    }
    ordered.join("\n")
}

#[test]
fn one_process() {
    let metrics = Metrics::new(1);
    let (whole, diagnosis) = (whole(40), diagnosis());
    metrics.captured(4711, &whole);
    metrics.failed(4711);
    let picture = Some(Picture { whole: &whole, diagnosis: &diagnosis });
    let watched = [Watched { pid: 4711, up: true, picture }];
    let page = metrics.encode(&watched).unwrap();
    insta::assert_snapshot!("metrics", in_order(&page.text));
    assert!(page.openmetrics.ends_with("# EOF\n"));
    assert!(page.openmetrics.contains("# TYPE pyattach_captures counter\n"));
    assert!(page.openmetrics.contains("# TYPE pyattach_build info\n"));
    assert_eq!(samples(&page.openmetrics), samples(&page.text));
}

#[test]
fn no_series_twice_and_no_name_breaks_out() {
    let metrics = Metrics::new(10);
    let (whole, diagnosis) = (whole(3), diagnosis());
    let picture = Some(Picture { whole: &whole, diagnosis: &diagnosis });
    let watched = [1, 2].map(|pid| Watched { pid, up: true, picture });
    let text = metrics.encode(&watched).unwrap().text;
    let mut names: Vec<&str> =
        samples(&text).iter().map(|line| line.rsplit_once(' ').unwrap().0).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    for line in samples(&text) {
        assert!(line.starts_with("pyattach_"), "{line}");
        line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap();
    }
    // Two classes of one name are one series.
    assert!(text.contains("pyattach_type_objects{pid=\"1\",type=\"shop.Cart\"} 40\n"), "{text}");
}

#[test]
fn what_is_not_known_is_not_there() {
    let metrics = Metrics::new(10);
    let (mut whole, diagnosis) = (whole(3), diagnosis());
    whole.children = None;
    whole.process.rss_bytes = None;
    let picture = Some(Picture { whole: &whole, diagnosis: &diagnosis });
    let watched =
        [Watched { pid: 1, up: true, picture }, Watched { pid: 2, up: false, picture: None }];
    let text = metrics.encode(&watched).unwrap().text;
    for absent in ["child_processes", "resident_memory", "in_use{pid=\"1\",kind=\"cut_pool\""] {
        assert!(!text.contains(absent), "{absent}");
    }
    assert!(text.contains("pyattach_target_up{pid=\"2\"} 0\n"));
    let of_the_other: Vec<&str> =
        samples(&text).into_iter().filter(|line| line.contains("pid=\"2\"")).collect();
    assert_eq!(of_the_other.len(), 1, "{of_the_other:?}");
}

#[test]
fn a_process_that_went_leaves_nothing() {
    let metrics = Metrics::new(10);
    metrics.captured(7, &whole(1));
    metrics.failed(7);
    metrics.forget(7);
    let text = metrics.encode(&[]).unwrap().text;
    assert!(!text.contains("pid="), "{text}");
}
