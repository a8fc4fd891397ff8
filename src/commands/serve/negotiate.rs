//! Which format a client wants, and whether it meant us.

/// True when the `Accept` header prefers OpenMetrics to the older text format.
pub(super) fn wants_openmetrics(accept: &str) -> bool {
    let (mut openmetrics, mut text): (f32, f32) = (0.0, 0.0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let (mut quality, mut version) = (1.0, None);
        for part in parts {
            match part.split_once('=') {
                Some(("q", value)) => quality = value.parse().unwrap_or(0.0),
                Some(("version", value)) => version = Some(value.trim_matches('"')),
                _ => {}
            }
        }
        match media.as_str() {
            "application/openmetrics-text" if matches!(version, None | Some("1.0.0")) => {
                openmetrics = openmetrics.max(quality);
            }
            "text/plain" => text = text.max(quality),
            _ => {}
        }
    }
    openmetrics > 0.0 && openmetrics >= text
}

/// True when the `Host` header names this machine's loopback: a page of the web whose name was
/// made to lead to 127.0.0.1 may not read what we serve there.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let address = name.parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
            version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert!(wants_openmetrics(prometheus) && wants_openmetrics("application/openmetrics-text"));
        for other in ["", "*/*", "text/plain", "application/openmetrics-text;version=0.0.1"] {
            assert!(!wants_openmetrics(other), "{other}");
        }
        assert!(!wants_openmetrics("application/openmetrics-text;q=0, text/plain"));
        assert!(!wants_openmetrics("application/openmetrics-text;q=0.2, text/plain;q=0.9"));
    }

    #[test]
    fn hosts() {
        for ours in ["localhost:9477", "127.0.0.1", "[::1]:9477", "LOCALHOST", "127.8.9.1:1"] {
            assert!(is_loopback(ours), "{ours}");
        }
        for foreign in ["evil.example:9477", "10.0.0.1", "", "[::2]", "localhost.evil.example"] {
            assert!(!is_loopback(foreign), "{foreign}");
        }
    }
}
