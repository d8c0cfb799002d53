//! What a PostgreSQL connection string says of whom to trust. Pure.
//!
//! `sslmode` and `sslrootcert` are libpq's; tokio-postgres knows only a part of them. Both forms of a string are read by
//! its own rules: `postgres://…?name=value`, percent-encoded, and `name = 'value'` with quotes and backslashes.

/// A connection string without what tokio-postgres does not know, and what that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionString {
    /// For tokio-postgres.
    pub rest: String,
    /// The server's certificate counts: `verify-ca`, `verify-full`, or a root was named. A root that is named and not
    /// looked at would only seem to protect; libpq looks at it as well, whatever `sslmode` is.
    pub verifies: bool,
    /// The file of the roots that count.
    pub root: Option<String>,
}

/// Why a text is no connection string. It never quotes the text, which may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionStringError {
    /// Not one of libpq's modes, or one that lets the server decide (`allow`).
    #[error("sslmode must be disable, prefer, require, verify-ca or verify-full")]
    UnknownMode,
    /// Neither form.
    #[error("it is neither postgres://… nor name=value pairs")]
    Unreadable,
}

#[derive(Default)]
struct Trust {
    verifies: bool,
    root: Option<String>,
}

impl ConnectionString {
    /// Reads a connection string of either form.
    ///
    /// # Errors
    ///
    /// [`ConnectionStringError`]; what else is wrong with it, tokio-postgres tells.
    pub fn parse(text: &str) -> Result<Self, ConnectionStringError> {
        let mut trust = Trust::default();
        let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
        let rest = if is_url { trust.url(text)? } else { trust.words(text)? };
        Ok(Self { rest, verifies: trust.verifies || trust.root.is_some(), root: trust.root })
    }
}

impl Trust {
    /// What tokio-postgres is given instead of a pair; nothing where it is not to see it.
    fn keep(&mut self, name: &str, value: String) -> Result<Option<String>, ConnectionStringError> {
        match (name, value.as_str()) {
            ("sslmode", "disable" | "prefer" | "require") => Ok(Some(format!("{name}={value}"))),
            ("sslmode", "verify-ca" | "verify-full") => {
                self.verifies = true;
                Ok(Some("sslmode=require".to_owned()))
            }
            ("sslmode", _) => Err(ConnectionStringError::UnknownMode),
            _ => {
                self.root = Some(value).filter(|path| !path.is_empty());
                Ok(None)
            }
        }
    }

    fn url(&mut self, text: &str) -> Result<String, ConnectionStringError> {
        // A password may hold a question mark: what stands before the first @ is no query.
        let host = text.find('@').unwrap_or(0);
        let query = text.get(host..).and_then(|rest| rest.find('?')).map(|at| host.saturating_add(at));
        let Some((address, query)) = query.and_then(|at| text.split_at_checked(at)) else {
            return Ok(text.to_owned());
        };
        let mut kept = Vec::new();
        for pair in query.trim_start_matches('?').split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match decoded(name)?.as_str() {
                name @ ("sslmode" | "sslrootcert") => kept.extend(self.keep(name, decoded(value)?)?),
                _ => kept.push(pair.to_owned()),
            }
        }
        Ok(if kept.is_empty() { address.to_owned() } else { format!("{address}?{}", kept.join("&")) })
    }

    fn words(&mut self, text: &str) -> Result<String, ConnectionStringError> {
        let (mut kept, mut left) = (Vec::new(), text.trim_start());
        while !left.is_empty() {
            let (name, after) = left.split_once('=').ok_or(ConnectionStringError::Unreadable)?;
            let (value, after) = value(after.trim_start())?;
            match name.trim_end() {
                name @ ("sslmode" | "sslrootcert") => kept.extend(self.keep(name, value)?),
                _ => {
                    let length = left.len().saturating_sub(after.len());
                    kept.extend(left.get(..length).map(|pair| pair.trim_end().to_owned()));
                }
            }
            left = after.trim_start();
        }
        Ok(kept.join(" "))
    }
}

/// The value that a text begins with, and what comes behind it.
fn value(text: &str) -> Result<(String, &str), ConnectionStringError> {
    let (is_quoted, text) = text.strip_prefix('\'').map_or((false, text), |rest| (true, rest));
    let (mut value, mut characters) = (String::new(), text.chars());
    loop {
        let before = characters.as_str();
        match characters.next() {
            Some('\'') if is_quoted => return Ok((value, characters.as_str())),
            None if is_quoted => return Err(ConnectionStringError::Unreadable),
            None => return Ok((value, "")),
            Some(character) if !is_quoted && character.is_whitespace() => return Ok((value, before)),
            Some('\\') => value.push(characters.next().ok_or(ConnectionStringError::Unreadable)?),
            Some(character) => value.push(character),
        }
    }
}

/// A text without its percent-encoding.
fn decoded(text: &str) -> Result<String, ConnectionStringError> {
    let (mut bytes, mut left) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, rest)) = left.split_first() {
        let hex = rest.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                left = rest.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                left = rest;
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| ConnectionStringError::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> (String, bool, Option<String>) {
        let ConnectionString { rest, verifies, root } = ConnectionString::parse(text).unwrap();
        (rest, verifies, root)
    }

    #[test]
    fn libpq_modes_are_mapped_in_both_forms_of_a_connection_string() {
        for (given, rest, verifies, root) in [
            ("postgres://u:p@h/db", "postgres://u:p@h/db", false, None),
            ("postgres://u@h/db?sslmode=disable", "postgres://u@h/db?sslmode=disable", false, None),
            (
                "postgresql://u@h/db?sslmode=verify-full&sslrootcert=/r.pem&connect_timeout=3",
                "postgresql://u@h/db?sslmode=require&connect_timeout=3",
                true,
                Some("/r.pem"),
            ),
            ("postgres://u:a?b@h/db?sslmode=verify-ca", "postgres://u:a?b@h/db?sslmode=require", true, None),
            ("host=/run user=ticker", "host=/run user=ticker", false, None),
            ("host=h sslmode=verify-ca sslrootcert=/r.pem", "host=h sslmode=require", true, Some("/r.pem")),
        ] {
            assert_eq!(parsed(given), (rest.to_owned(), verifies, root.map(str::to_owned)), "{given}");
        }
        assert_eq!(
            ConnectionString::parse("postgres://h/db?sslmode=maybe"),
            Err(ConnectionStringError::UnknownMode)
        );
    }

    #[test]
    fn a_root_that_is_named_counts_whatever_the_mode() {
        for given in ["host=h sslmode=require sslrootcert=/r.pem", "host=h sslrootcert=/r.pem"] {
            let (_, verifies, root) = parsed(given);
            assert_eq!((verifies, root.as_deref()), (true, Some("/r.pem")), "{given}");
        }
    }

    #[test]
    fn encoding_and_quotes_are_understood() {
        let encoded = parsed("postgres://h/db?sslrootcert=%2Fetc%2Fmy%20ca.pem&%73slmode=verify%2Dfull");
        assert_eq!(encoded, ("postgres://h/db?sslmode=require".into(), true, Some("/etc/my ca.pem".into())));
        let quoted =
            r"host=h sslmode = 'verify-full' password='it\'s sslmode=disable' sslrootcert='/etc/my ca.pem'";
        let rest = r"host=h sslmode=require password='it\'s sslmode=disable'";
        assert_eq!(parsed(quoted), (rest.into(), true, Some("/etc/my ca.pem".into())));
        for broken in ["host", "host='h", "host=h\\"] {
            assert_eq!(ConnectionString::parse(broken), Err(ConnectionStringError::Unreadable), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*", url in any::<bool>()) {
            let prefix = if url { "postgres://" } else { "" };
            let _ = ConnectionString::parse(&format!("{prefix}{text}"));
        }
    }
}
