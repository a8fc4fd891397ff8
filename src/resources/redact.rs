//! Connection strings without what may be secret.
//!
//! By what is known to be harmless, not by what is known to be secret: of `key=value` strings
//! only the keys of a short list are kept, of URLs the scheme, user, host, port and path.

/// Keys of connection strings (libpq, MySQL, ODBC) that tell where and who, not how.
const HARMLESS: [&str; 12] = [
    "host",
    "hostaddr",
    "port",
    "dbname",
    "database",
    "user",
    "application_name",
    "sslmode",
    "connect_timeout",
    "client_encoding",
    "service",
    "target_session_attrs",
];

/// The harmless part of a URL or of a `key=value` connection string; of anything else that may
/// hold more than a name, nothing.
pub(super) fn redact(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, rest)) => url(scheme, rest),
        None if text.contains('=') => pairs(text),
        None if text.contains(['@', '\'', '"', ';']) => "***".to_owned(),
        None => text.to_owned(),
    }
}

fn url(scheme: &str, rest: &str) -> String {
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let (place, query) = rest.split_at(end);
    let more = if query.is_empty() { "" } else { "?***" };
    // A password may contain unescaped characters of any kind: the host begins after the last @.
    match place.rsplit_once('@') {
        Some((user, host)) => {
            let (name, password) = user.split_once(':').map_or((user, ""), |parts| parts);
            let mask = if password.is_empty() { "" } else { ":***" };
            let name = if name.contains(['/', '@']) { "***" } else { name };
            format!("{scheme}://{name}{mask}@{host}{more}")
        }
        // No @: but what lies before it may have been in the query, so that nothing is cut off.
        None if query.contains('@') => format!("{scheme}://***"),
        None => format!("{scheme}://{place}{more}"),
    }
}

/// `host=db password='a b' user=app`: pairs between spaces or semicolons, values possibly in
/// single quotes with backslash escapes (libpq's rules).
fn pairs(text: &str) -> String {
    let mut kept = Vec::new();
    let mut characters = text.chars().peekable();
    loop {
        let separator = |c: &char| c.is_whitespace() || *c == ';';
        while characters.next_if(separator).is_some() {}
        if characters.peek().is_none() {
            break;
        }
        let mut key = String::new();
        while let Some(c) = characters.next_if(|c| *c != '=') {
            key.push(c);
        }
        characters.next();
        while characters.next_if(|c| c.is_whitespace()).is_some() {}
        let mut value = String::new();
        let quoted = characters.next_if_eq(&'\'').is_some();
        while let Some(c) = characters.next() {
            match c {
                '\\' => value.extend(characters.next()),
                '\'' if quoted => break,
                c if !quoted && separator(&c) => break,
                c => value.push(c),
            }
        }
        let key = key.trim().to_ascii_lowercase();
        if HARMLESS.contains(&key.as_str()) {
            kept.push(format!("{key}={value}"));
        }
    }
    kept.join(" ")
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn only_the_harmless_is_left() {
        for (text, expected) in [
            ("host=db port=5432 user=app password=hunter2", "host=db port=5432 user=app"),
            ("password='hunter 2 host=x' host=db", "host=db"),
            ("password = 'hun\\'ter2' dbname = shop", "dbname=shop"),
            ("sslpassword=hunter2 sslkey=/k passfile=/p", ""),
            ("postgresql://app:hunter2@db:5432/shop", "postgresql://app:***@db:5432/shop"),
            ("postgresql://app:hun@ter/2@db/shop", "postgresql://app:***@db/shop"),
            ("postgresql://db/shop?password=hunter2", "postgresql://db/shop?***"),
            ("mysql://app:hunter?2@db/shop", "mysql://***"),
            ("/var/lib/app.db", "/var/lib/app.db"),
            ("app/hunter2@db", "***"),
        ] {
            assert_eq!(redact(text), expected);
        }
    }
}
