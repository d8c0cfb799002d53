//! Treatment of each option of libpq.

use super::ConnectionStringError;

/// Treatment of an option.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// Passed to tokio-postgres unchanged.
    Kept,
    /// Passed to tokio-postgres with another name or in another unit.
    Rewritten(&'static str, String),
    /// Not passed, because the connection has this property anyway.
    Dropped,
    /// Not passed, because it decides which certificates are trusted.
    Trust,
}

/// Allowed values of an option.
#[derive(Clone, Copy)]
enum Values {
    Any,
    /// A whole number: seconds, a count, or 0 and 1.
    Number,
    /// Port numbers separated by commas.
    Ports,
    /// One of these values, with their description.
    OneOf(&'static [&'static str], &'static str),
}

use Values::{Any, Number, OneOf, Ports};

/// Options that tokio-postgres has as well.
const KEPT: [(&str, Values); 16] = [
    ("host", Any),
    ("hostaddr", Any),
    ("port", Ports),
    ("dbname", Any),
    ("user", Any),
    ("password", Any),
    ("options", Any),
    ("application_name", Any),
    ("connect_timeout", Number),
    ("keepalives", Number),
    ("keepalives_idle", Number),
    ("keepalives_interval", Number),
    ("keepalives_retries", Number),
    ("channel_binding", OneOf(&["disable", "prefer", "require"], "disable, prefer or require")),
    ("load_balance_hosts", OneOf(&["disable", "random"], "disable or random")),
    ("sslnegotiation", OneOf(&["postgres", "direct"], "postgres or direct")),
];

/// Options that change nothing with these values, and what to do instead of any other value. An empty list allows all.
const DROPPED: [(&str, &[&str], &str); 10] = [
    ("client_encoding", &["utf8", "utf-8", "unicode", "auto"], "the connection is always UTF8"),
    ("fallback_application_name", &[], ""),
    ("gssencmode", &["disable", "prefer"], "use sslmode to encrypt the connection"),
    ("replication", &["false", "off", "no", "0"], "the ticker does not replicate"),
    ("ssl_max_protocol_version", &["tlsv1.3", ""], "the newest version that both sides know is used"),
    ("ssl_min_protocol_version", &["tlsv1", "tlsv1.1", "tlsv1.2", ""], "TLS 1.2 is the least"),
    ("sslcertmode", &["disable", "allow"], NO_CERTIFICATE),
    ("sslcompression", &["0"], "TLS does not compress any more"),
    ("sslsni", &["1"], "the name of the host is always sent"),
    ("gssdelegation", &["0"], "use a password"),
];
const NO_CERTIFICATE: &str = "client certificates are not supported: use a password";

/// Options that are not supported, and what to do instead.
const UNSUPPORTED: [(&str, &str); 16] = [
    ("sslcert", NO_CERTIFICATE),
    ("sslkey", NO_CERTIFICATE),
    ("sslpassword", NO_CERTIFICATE),
    ("sslcrl", "revocation lists are not read"),
    ("sslcrldir", "revocation lists are not read"),
    ("sslkeylogfile", "keys are not written to files"),
    (
        "passfile",
        "put the password into the string, and the string into the file that DATABASE_URL_FILE names",
    ),
    ("service", "copy the options of the service into the string"),
    ("servicefile", "copy the options of the service into the string"),
    ("require_auth", "use channel_binding=require"),
    ("requirepeer", "the permissions of the socket's directory control which users can listen there"),
    ("krbsrvname", "use a password"),
    ("gsslib", "use a password"),
    ("scram_client_key", "use a password"),
    ("scram_server_key", "use a password"),
    ("requiressl", "use sslmode=require"),
];

const MODES: &str = "disable, prefer, require, verify-ca or verify-full";
const SESSIONS: &str = "any, read-write, read-only, primary, standby or prefer-standby";

/// Returns the treatment of an option with this value. `place` counts the options from 1.
pub(super) fn treat(name: &str, value: &str, place: usize) -> Result<Treatment, ConnectionStringError> {
    if let Some((option, values)) = KEPT.iter().find(|(kept, _)| *kept == name) {
        return values.check(option, value).map(|()| Treatment::Kept);
    }
    if let Some((option, harmless, instead)) = DROPPED.iter().find(|(dropped, ..)| *dropped == name) {
        let is_harmless = harmless.is_empty() || harmless.contains(&value.to_lowercase().as_str());
        let refused = ConnectionStringError::Unsupported { option, instead };
        return if is_harmless { Ok(Treatment::Dropped) } else { Err(refused) };
    }
    if let Some((option, instead)) = UNSUPPORTED.iter().find(|(unsupported, _)| *unsupported == name) {
        return Err(ConnectionStringError::Unsupported { option, instead });
    }
    match name {
        "sslrootcert" => Ok(Treatment::Trust),
        "sslmode" => match value {
            "disable" | "prefer" | "require" | "verify-ca" | "verify-full" => Ok(Treatment::Trust),
            _ => Err(ConnectionStringError::Value { option: "sslmode", allowed: MODES }),
        },
        "keepalives_count" => {
            Number.check("keepalives_count", value)?;
            Ok(Treatment::Rewritten("keepalives_retries", value.trim().to_owned()))
        }
        // libpq counts milliseconds, tokio-postgres seconds.
        "tcp_user_timeout" => {
            Number.check("tcp_user_timeout", value)?;
            let millis: u64 = value.trim().parse().unwrap_or_default();
            Ok(Treatment::Rewritten("tcp_user_timeout", millis.div_ceil(1_000).to_string()))
        }
        "target_session_attrs" => {
            session(value).map(|attrs| Treatment::Rewritten("target_session_attrs", attrs))
        }
        _ => Err(ConnectionStringError::Unknown { place, suggestion: nearest(name) }),
    }
}

/// Translates a value of libpq's `target_session_attrs` for tokio-postgres.
fn session(value: &str) -> Result<String, ConnectionStringError> {
    let attrs = match value {
        "any" | "prefer-standby" => "any",
        "read-write" | "primary" => "read-write",
        "read-only" | "standby" => "read-only",
        _ => return Err(ConnectionStringError::Value { option: "target_session_attrs", allowed: SESSIONS }),
    };
    Ok(attrs.to_owned())
}

impl Values {
    fn check(self, option: &'static str, value: &str) -> Result<(), ConnectionStringError> {
        let (fits, allowed) = match self {
            Any => (true, ""),
            Number => (value.trim().parse::<u32>().is_ok(), "a whole number"),
            Ports => {
                let is_port = |port: &str| port.is_empty() || port.parse::<u16>().is_ok();
                (value.split(',').all(is_port), "a port number")
            }
            OneOf(values, allowed) => (values.contains(&value), allowed),
        };
        if fits { Ok(()) } else { Err(ConnectionStringError::Value { option, allowed }) }
    }
}

/// Returns the most similar option, if one is similar enough.
fn nearest(written: &str) -> Option<&'static str> {
    /// Least similarity of a suggestion, from 0 to 1.
    const SIMILARITY_MIN: f64 = 0.7;
    let further = ["sslmode", "sslrootcert", "keepalives_count", "tcp_user_timeout", "target_session_attrs"];
    let kept = KEPT.iter().map(|(name, _)| *name);
    let known = kept.chain(DROPPED.iter().map(|(name, ..)| *name)).chain(further);
    let similarity = |known: &str| strsim::normalized_damerau_levenshtein(written, known);
    let best = known.max_by(|a, b| similarity(a).total_cmp(&similarity(b)))?;
    (similarity(best) >= SIMILARITY_MIN).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_option_is_treated_in_two_ways() {
        let mut names: Vec<&str> = KEPT.iter().map(|(name, _)| *name).collect();
        names.extend(DROPPED.iter().map(|(name, ..)| *name));
        names.extend(UNSUPPORTED.iter().map(|(name, _)| *name));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
