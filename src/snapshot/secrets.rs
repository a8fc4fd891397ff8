//! Masking of secrets in values that come from the target.
//!
//! Two ways to know one: by the name it has (a variable, a dict key, an option), and by its own
//! form (a password in a URL or a DSN, an authorization header). Masked on the way in, so that
//! no report, of whatever format, can show one.

use regex_lite::Regex;
use std::sync::LazyLock;

/// What stands in a secret's place.
pub const MASK: &str = "***";

/// Parts of which every name that [`NAME`] matches has one, in small letters: most texts have none,
/// and looking for these takes a hundredth of the time.
const NAME_PARTS: [&str; 12] = [
    "pass",
    "pwd",
    "dsn",
    "pin",
    "otp",
    "secret",
    "token",
    "key",
    "auth",
    "credential",
    "cookie",
    "session",
];

static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)(pass(word|wd|phrase|code)|(^|_)(pass|pwd|dsn|pin|otp)$|secret|token|api_?key|access_?key|private_?key|signing_?key|encryption_?key|(^|_)auth(orization|_?header|_?key|_?data)?$|credential|cookie|session_?(id|key))",
    )
    .ok()
});

/// How a secret looks.
struct Form {
    /// One of these is in every text that has one, in small letters.
    parts: &'static [&'static str],
    pattern: Regex,
    /// What to write instead.
    masked: &'static str,
}

static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    let rules: [(&[&str], &str, &str); 6] = [
        // scheme://user:password@host
        (&["://"], r"([a-zA-Z][a-zA-Z0-9+.\-]*://[^\s/:@]*):[^\s/@]+@", "$1:***@"),
        // password=..., --token ..., "api_key": "..."
        (
            &["pass", "pwd", "secret", "token", "key", "credential"],
            r#"(?i)((?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|secret[_-]?key|credentials?)["']?\s*[=:]\s*["']?)[^\s"'&;,}\]]+"#,
            "$1***",
        ),
        // Authorization: Bearer ..., Basic ...
        (
            &["bearer", "basic", "digest"],
            r"(?i)\b(bearer|basic|digest)\s+[A-Za-z0-9._~+/=\-]{6,}",
            "$1 ***",
        ),
        // Tokens that carry their own mark: JSON web tokens, AWS, GitHub, Slack, Stripe.
        (&["eyj"], r"\beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]*", "***"),
        (&["akia", "asia"], r"\b(AKIA|ASIA)[A-Z0-9]{12,}", "***"),
        (
            &["gh", "xox", "k_live_"],
            r"\b(gh[pousr]_|github_pat_|xox[abprs]-|sk_live_|rk_live_)[A-Za-z0-9_\-]{8,}",
            "***",
        ),
    ];
    rules
        .into_iter()
        .filter_map(|(parts, pattern, masked)| {
            Some(Form { parts, pattern: Regex::new(pattern).ok()?, masked })
        })
        .collect()
});

/// True when a thing of this name is a secret whatever its value.
pub fn is_secret_name(name: &str) -> bool {
    has_one_of(&name.to_ascii_lowercase(), &NAME_PARTS)
        && NAME.as_ref().is_none_or(|pattern| pattern.is_match(name))
}

/// The text with everything that looks like a secret masked.
pub fn mask_text(text: &str) -> String {
    let small = text.to_ascii_lowercase();
    let mut masked = text.to_owned();
    for form in FORMS.iter().filter(|form| has_one_of(&small, form.parts)) {
        if form.pattern.is_match(&masked) {
            masked = form.pattern.replace_all(&masked, form.masked).into_owned();
        }
    }
    masked
}

fn has_one_of(text: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| text.contains(part))
}

/// A command line with secrets masked, also where name and value are two arguments
/// (`--password hunter2`).
pub fn mask_arguments(arguments: &[String]) -> Vec<String> {
    let mut mask_next = false;
    let mut masked = Vec::with_capacity(arguments.len());
    for argument in arguments {
        if std::mem::take(&mut mask_next) && !argument.starts_with('-') {
            masked.push(MASK.to_owned());
            continue;
        }
        let name = argument.trim_start_matches('-');
        let option = argument.starts_with('-') && !argument.contains('=');
        mask_next = option && is_secret_name(&name.replace('-', "_"));
        masked.push(mask_text(argument));
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_secrets() {
        for name in [
            "password",
            "db_password",
            "api_key",
            "APIKEY",
            "auth_token",
            "client_secret",
            "passwd",
            "db_pwd",
            "DSN",
            "pin",
            "otp",
            "Authorization",
            "credentials",
            "session_key",
            "session_id",
            "Cookie",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["compass", "author", "path", "keys", "count", "passenger", "pinned"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn secrets_by_form() {
        let cases = [
            ("postgresql://app:hunter2@db:5432/x", "postgresql://app:***@db:5432/x"),
            ("redis://:hunter2@cache/0", "redis://:***@cache/0"),
            ("host=db user=app password=hunter2 port=5", "host=db user=app password=*** port=5"),
            ("Authorization: Bearer abcdef123456", "Authorization: Bearer ***"),
            ("https://h/p?token=hunter2&x=1", "https://h/p?token=***&x=1"),
            ("basic dXNlcjpodW50ZXIy", "basic ***"),
            ("eyJhbGciOiJIUzI1NiJ9.e30.abc", "***"),
            ("AKIAIOSFODNN7EXAMPLE", "***"),
            ("ghp_abcdefgh12 github_pat_abcdefgh12 xoxb-12345678-a", "*** *** ***"),
            ("sk_live_12345678 rk_live_12345678", "*** ***"),
            ("PWD: hunter2, api-key=hunter2", "PWD: ***, api-key=***"),
            ("http://example.org:8080/path", "http://example.org:8080/path"),
        ];
        for (text, expected) in cases {
            assert_eq!(mask_text(text), expected);
        }
    }

    #[test]
    fn options_and_their_values() {
        let line: Vec<String> =
            ["app.py", "--password", "hunter2", "--port", "80", "--token=hunter2"]
                .map(str::to_owned)
                .to_vec();
        assert_eq!(
            mask_arguments(&line),
            ["app.py", "--password", "***", "--port", "80", "--token=***"]
        );
    }
}
