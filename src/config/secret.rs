//! Secrets: values that no log, error or listing may show.

use std::fmt;

use crate::domain::shown_url::{looks_like_a_key, shown_url};

const HIDDEN: &str = "***";

/// A secret: `Debug` and `Display` show only what [`Secret::shown`] shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the secret itself, for connecting.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns `postgres://user:***@host/database` for a URL whose parts are unambiguous, else `***`.
    #[must_use]
    pub fn shown(&self) -> String {
        shown_postgres_url(&self.0).unwrap_or_else(|| HIDDEN.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

/// Returns a URL without password and query, or none if it is unclear where the password ends. A password may contain
/// any character that its owner forgot to escape, and the query may contain a password as well.
fn shown_postgres_url(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    if !matches!(scheme, "postgres" | "postgresql") || rest.contains(char::is_control) {
        return None;
    }
    let (main, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = main.split_once('/').unwrap_or((main, ""));
    if query.contains('@') || path.contains('@') {
        return None;
    }
    let path = if main.contains('/') { format!("/{path}") } else { String::new() };
    match authority.rsplit_once('@') {
        None => {
            let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
            let plain = port.chars().all(|c| c.is_ascii_digit());
            plain.then(|| format!("{scheme}://{authority}{path}"))
        }
        Some((userinfo, host)) => {
            let user = userinfo
                .split_once(':')
                .map_or_else(|| userinfo.to_owned(), |(user, _)| format!("{user}:{HIDDEN}"));
            Some(format!("{scheme}://{user}@{host}{path}"))
        }
    }
}

/// Returns a value of a URL setting that does not parse, or `***` if any part of it may be a secret: a user, a query,
/// or a segment that looks like a key. Without a scheme it is unclear which part is which.
#[must_use]
pub(super) fn shown_malformed_url(text: &str) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || "-._~/[]: ".contains(character);
    let may_be_port = |after: &str| {
        let digits = after.trim_start_matches(|character: char| character.is_ascii_digit());
        after.starts_with("//") || digits.is_empty() || digits.starts_with(['/', ':', ']'])
    };
    let has_key = text.split('/').any(looks_like_a_key);
    if text.chars().all(is_plain) && text.split(':').skip(1).all(may_be_port) && !has_key {
        text.to_owned()
    } else {
        HIDDEN.to_owned()
    }
}

/// Hides everything that looks like a secret in other text: all between `://` and the last `@` of a line, and all after
/// `password=`. For messages that quote what an operator typed in the wrong place.
#[must_use]
pub fn redact_credentials(text: &str) -> String {
    text.split_inclusive('\n').map(redact_line).collect()
}

fn redact_line(line: &str) -> String {
    let mut line = line.to_owned();
    if let Some((before, after)) = line.split_once("://")
        && let Some((_, host)) = after.rsplit_once('@')
    {
        line = format!("{before}://{HIDDEN}@{host}");
    }
    // `postgres://user:password/database`, without a host.
    if let Some((before, after)) = line.split_once("postgres://").or_else(|| line.split_once("postgresql://"))
        && let Some((_, port)) = after.trim_start_matches(HIDDEN).split_once(':')
        && !port.trim_start_matches(|c: char| c.is_ascii_digit()).trim_end().is_empty()
        && !port.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(['/', '?', '\'', '"', ' '])
    {
        let end = if after.ends_with('\n') { "\n" } else { "" };
        line = format!("{before}postgres://{HIDDEN}{end}");
    }
    line = redact_words(&redact_http(&line));
    if let Some((before, after)) = line.split_once("password=") {
        let end = if after.ends_with('\n') { "\n" } else { "" };
        line = format!("{before}password={HIDDEN}{end}");
    }
    line
}

/// Hides the secrets in web addresses of a line. An address ends at white space or a quote.
fn redact_http(line: &str) -> String {
    let (mut out, mut left) = (String::with_capacity(line.len()), line);
    while let Some(at) = ["http://", "https://"].into_iter().filter_map(|scheme| left.find(scheme)).min() {
        let (before, from) = left.split_at_checked(at).unwrap_or((left, ""));
        let is_end = |character: char| character.is_whitespace() || "'\"`<>".contains(character);
        let (url, after) =
            from.split_at_checked(from.find(is_end).unwrap_or(from.len())).unwrap_or((from, ""));
        out.push_str(before);
        out.push_str(&shown_url(url));
        left = after;
    }
    out.push_str(left);
    out
}

/// Hides what may be a user with a password, or a query with a key, in words that are no web addresses: somebody forgot
/// the scheme. A word ends at white space or a quote.
fn redact_words(line: &str) -> String {
    let is_end = |character: char| character.is_whitespace() || "'\"`<>".contains(character);
    let mut out = String::with_capacity(line.len());
    for word in line.split_inclusive(is_end) {
        let has_user = word.rsplit_once('@').filter(|(user, _)| user.contains(':'));
        let has_query = word.split_once('?').filter(|(_, query)| query.contains('='));
        let end = word.chars().next_back().filter(|last| is_end(*last)).map(String::from).unwrap_or_default();
        match (has_user, has_query) {
            (Some((user, host)), None) if !user.ends_with(HIDDEN) => {
                out.push_str(&format!("{HIDDEN}@{host}"));
            }
            (_, Some((path, _))) if !path.contains('@') => out.push_str(&format!("{path}?{HIDDEN}{end}")),
            (_, Some(_)) => out.push_str(&format!("{HIDDEN}{end}")),
            _ => out.push_str(word),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shows_user_host_and_database_without_the_password() {
        let shown = |text: &str| Secret::new(text).shown();
        assert_eq!(shown("postgres://user:pw@host/db"), "postgres://user:***@host/db");
        assert_eq!(shown("postgresql://u:p#%40w@h:5432/db?password=x"), "postgresql://u:***@h:5432/db");
        assert_eq!(shown("postgres://host"), "postgres://host");
        assert_eq!(shown("postgres://u:p@w@h/db"), "postgres://u:***@h/db");
    }

    #[test]
    fn hides_the_whole_when_in_doubt() {
        for text in
            ["host=h password=pw", "postgres://u:p/w@h/db", "postgres://u:p?w@h/db", "postgres://u:pw/db"]
        {
            assert_eq!(Secret::new(text).shown(), "***", "{text}");
        }
    }

    #[test]
    fn redacts_secrets_in_other_text() {
        assert_eq!(redact_credentials("a 'postgres://u:p w@h/db' b\nc"), "a 'postgres://***@h/db' b\nc");
        assert_eq!(redact_credentials("x 'password=hunter2' y\nz"), "x 'password=***\nz");
        assert_eq!(redact_credentials("see https://example.org"), "see https://example.org");
        assert_eq!(redact_credentials("'user:pw@h' for <URL>, 'h/?k=pw'"), "'***@h' for <URL>, 'h/?***'");
        assert_eq!(redact_credentials("u:pw@h/?k=pw, eh?\n"), "*** eh?\n");
        assert_eq!(
            redact_credentials("'https://a.org/v1/0123456789abcdef' and http://b.org/?key=x\n"),
            "'https://a.org/v1/***' and http://b.org/?***\n"
        );
        assert_eq!(redact_credentials("a 'postgres://u:pw/db' b\n"), "a 'postgres://***\n");
        for plain in ["'postgres://h:5432/db' b", "postgresql://h:5432", "'postgres://h/db': wrong"] {
            assert_eq!(redact_credentials(plain), plain);
        }
    }

    #[test]
    fn a_malformed_url_is_shown_only_if_no_part_of_it_may_be_a_secret() {
        for plain in ["horizon.stellar.org", "h:8000/path", "ftp//h", "http://h:x y", "http:/h", "[::1]:80"] {
            let shown = shown_malformed_url(plain);
            assert!(shown == plain || plain == "http://h:x y", "{plain}: {shown}");
        }
        for hidden in [
            "user:pw@h",
            "//user:pw@h/",
            "http:/user:pw@h/",
            "http:user:pw@h",
            "http://user:pw%40h/",
            "http://user:pw/",
            "h/?k=pw",
            "h/#pw",
            "h/v1/0123456789abcdef",
        ] {
            assert_eq!(shown_malformed_url(hidden), "***", "{hidden}");
        }
    }

    proptest! {
        #[test]
        fn never_shows_a_password(password in "[!-~]{0,6}CANARY[!-~]{0,6}") {
            let secret = Secret::new(format!("postgres://user:{password}@host/db"));
            prop_assert!(!format!("{secret:?} {secret}").contains("CANARY"), "{secret}");
            prop_assert!(!redact_credentials(secret.expose()).contains("CANARY"));
        }
    }
}
