//! PostgreSQL connection strings with the options of libpq, translated for tokio-postgres, which knows only some. Pure.
//!
//! Both forms follow the rules of libpq: `postgres://…?name=value` with percent-encoding, and `name = 'value'` with
//! quotes and backslashes.

mod hosts;
mod options;

pub use hosts::{has_stray_at, is_plain};
use options::{Treatment, treat};

/// A connection string, split into the part for tokio-postgres and the options that it does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionString {
    /// Connection string for tokio-postgres.
    pub rest: String,
    /// True if the server's certificate must be verified: `sslmode` is `verify-ca` or `verify-full`, or a root is
    /// named. As in libpq, a named root counts whatever `sslmode` is, since ignoring it would give a false sense of
    /// security.
    pub verifies_server: bool,
    /// Path of the file with the trusted root certificates.
    pub root: Option<String>,
    /// Names of all given options.
    pub options: Vec<String>,
}

/// Error of parsing a connection string. It never quotes the string, which may contain a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionStringError {
    /// An option has an invalid value.
    #[error("the option {option} must be {allowed}")]
    Value {
        /// Name of the option.
        option: &'static str,
        /// Description of the allowed values.
        allowed: &'static str,
    },
    /// An option or a value of libpq is not supported.
    #[error("the option {option} is not supported, or not with that value: {instead}")]
    Unsupported {
        /// Name of the option.
        option: &'static str,
        /// Alternative.
        instead: &'static str,
    },
    /// libpq has no such option.
    #[error("option {place} is unknown{}", .suggestion.map(|name| format!("; did you mean {name}?")).unwrap_or_default())]
    Unknown {
        /// Position among the options, from 1. The name may be a part of a password, so it is not quoted.
        place: usize,
        /// A similar option.
        suggestion: Option<&'static str>,
    },
    /// The text has neither form of a connection string.
    #[error("it is neither postgres://… nor name=value pairs")]
    Unreadable,
}

impl ConnectionStringError {
    /// Returns true if the text is a valid connection string with an unsupported option or value.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Unsupported { .. })
    }
}

/// Result of the pairs that were read so far.
#[derive(Default)]
struct Reading {
    verifies_server: bool,
    root: Option<String>,
    options: Vec<String>,
}

impl ConnectionString {
    /// Parses a connection string of either form.
    ///
    /// # Errors
    ///
    /// [`ConnectionStringError`]. Other errors are found by tokio-postgres when it parses `rest`.
    pub fn parse(text: &str) -> Result<Self, ConnectionStringError> {
        let mut reading = Reading::default();
        let rest = if is_url(text) { reading.url(text)? } else { reading.words(text)? };
        let verifies_server = reading.verifies_server || reading.root.is_some();
        Ok(Self { rest, verifies_server, root: reading.root, options: reading.options })
    }

    /// Returns true if the string sets an option.
    #[must_use]
    pub fn sets(&self, name: &str) -> bool {
        self.options.iter().any(|option| option == name)
    }
}

fn is_url(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

impl Reading {
    /// Returns the form in which tokio-postgres receives a pair written as `pair`, or none if it must not see the pair.
    fn keep(
        &mut self,
        name: &str,
        value: String,
        pair: &str,
    ) -> Result<Option<String>, ConnectionStringError> {
        let treatment = treat(name, &value, self.options.len().saturating_add(1))?;
        self.options.push(name.to_owned());
        Ok(match treatment {
            Treatment::Kept => Some(pair.to_owned()),
            Treatment::Rewritten(name, value) => Some(format!("{name}={value}")),
            Treatment::Dropped => None,
            Treatment::Trust => self.trust(name, value),
        })
    }

    fn trust(&mut self, name: &str, value: String) -> Option<String> {
        match (name, value.as_str()) {
            ("sslmode", "verify-ca" | "verify-full") => {
                self.verifies_server = true;
                Some("sslmode=require".to_owned())
            }
            ("sslmode", _) => Some(format!("{name}={value}")),
            // As in libpq, `system` stands for the public authorities. Here those are the built-in ones.
            (_, "system") => {
                self.verifies_server = true;
                None
            }
            _ => {
                self.root = Some(value).filter(|path| !path.is_empty());
                None
            }
        }
    }

    fn url(&mut self, text: &str) -> Result<String, ConnectionStringError> {
        // A password may contain a question mark, so the query begins after the first @.
        let host = text.find('@').unwrap_or(0);
        let query = text.get(host..).and_then(|rest| rest.find('?')).map(|at| host.saturating_add(at));
        let Some((address, query)) = query.and_then(|at| text.split_at_checked(at)) else {
            return Ok(text.to_owned());
        };
        let mut kept = Vec::new();
        for pair in query.trim_start_matches('?').split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            kept.extend(self.keep(&decoded(name)?, decoded(value)?, pair)?);
        }
        Ok(if kept.is_empty() { address.to_owned() } else { format!("{address}?{}", kept.join("&")) })
    }

    fn words(&mut self, text: &str) -> Result<String, ConnectionStringError> {
        let (mut kept, mut left) = (Vec::new(), text.trim_start());
        while !left.is_empty() {
            let (name, after) = left.split_once('=').ok_or(ConnectionStringError::Unreadable)?;
            let (value, after) = value(after.trim_start())?;
            let length = left.len().saturating_sub(after.len());
            let pair = left.get(..length).unwrap_or_default().trim_end();
            kept.extend(self.keep(name.trim_end(), value, pair)?);
            left = after.trim_start();
        }
        Ok(kept.join(" "))
    }
}

/// Returns the value at the beginning of a text, and the rest of the text.
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

/// Decodes percent-encoding.
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
        let ConnectionString { rest, verifies_server, root, .. } = ConnectionString::parse(text).unwrap();
        (rest, verifies_server, root)
    }

    #[test]
    fn libpq_modes_are_mapped_in_both_forms_of_a_connection_string() {
        for (given, rest, verifies_server, root) in [
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
            assert_eq!(parsed(given), (rest.to_owned(), verifies_server, root.map(str::to_owned)), "{given}");
        }
        for mode in ["maybe", "allow"] {
            let refused = ConnectionString::parse(&format!("postgres://h/db?sslmode={mode}")).unwrap_err();
            assert!(
                refused.to_string().starts_with("the option sslmode must be disable, prefer"),
                "{refused}"
            );
        }
    }

    #[test]
    fn every_option_of_libpq_is_accepted_or_refused_by_name() {
        for (option, kept) in [
            ("application_name=a", "application_name=a"),
            ("connect_timeout=3", "connect_timeout=3"),
            ("keepalives=1", "keepalives=1"),
            ("keepalives_idle=30", "keepalives_idle=30"),
            ("keepalives_interval=5", "keepalives_interval=5"),
            ("keepalives_count=3", "keepalives_retries=3"),
            ("tcp_user_timeout=1500", "tcp_user_timeout=2"),
            ("options=-cstatement_timeout%3D5s", "options=-cstatement_timeout%3D5s"),
            ("channel_binding=require", "channel_binding=require"),
            ("load_balance_hosts=random", "load_balance_hosts=random"),
            ("target_session_attrs=primary", "target_session_attrs=read-write"),
            ("target_session_attrs=prefer-standby", "target_session_attrs=any"),
            ("client_encoding=UTF8", ""),
            ("fallback_application_name=psql", ""),
            ("gssencmode=prefer", ""),
            ("ssl_min_protocol_version=TLSv1.2", ""),
        ] {
            let (rest, ..) = parsed(&format!("postgres://h/db?{option}"));
            let expected = if kept.is_empty() { "" } else { &format!("?{kept}") };
            assert_eq!(rest, format!("postgres://h/db{expected}"), "{option}");
            let config: Result<tokio_postgres::Config, _> = rest.parse();
            assert!(config.is_ok(), "{option}: {config:?}");
        }
        for (option, named) in [
            ("sslcert=/c.pem", "the option sslcert is not supported"),
            ("sslkey=/k.pem", "client certificates are not supported"),
            ("passfile=/p", "DATABASE_URL_FILE"),
            ("service=x", "the option service"),
            ("gssencmode=require", "the option gssencmode"),
            ("client_encoding=LATIN1", "the connection is always UTF8"),
            ("ssl_min_protocol_version=TLSv1.3", "the option ssl_min_protocol_version"),
            ("connect_timeout=soon", "the option connect_timeout must be a whole number"),
            ("port=http", "the option port must be a port number"),
            ("channel_binding=yes", "the option channel_binding must be disable, prefer or require"),
            ("sslmod=require", "option 1 is unknown; did you mean sslmode?"),
            ("canary=x", "option 1 is unknown"),
        ] {
            for text in [format!("postgres://h/db?{option}"), option.to_owned()] {
                let error = ConnectionString::parse(&text).unwrap_err().to_string();
                assert!(error.contains(named) && !error.contains("canary"), "{text}: {error}");
            }
        }
        let (_, verifies_server, root) = parsed("postgres://h/db?sslmode=verify-full&sslrootcert=system");
        assert_eq!((verifies_server, root), (true, None));
    }

    #[test]
    fn a_root_that_is_named_counts_whatever_the_mode() {
        for given in ["host=h sslmode=require sslrootcert=/r.pem", "host=h sslrootcert=/r.pem"] {
            let (_, verifies_server, root) = parsed(given);
            assert_eq!((verifies_server, root.as_deref()), (true, Some("/r.pem")), "{given}");
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
        fn no_text_causes_a_panic(text in "\\PC*", url in any::<bool>()) {
            let prefix = if url { "postgres://" } else { "" };
            let _ = ConnectionString::parse(&format!("{prefix}{text}"));
        }
    }
}
