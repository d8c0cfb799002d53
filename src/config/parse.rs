//! Parsers of values, one function per form.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use actix_web::http::Uri;
use tokio_postgres::config::Host;

use super::duration::{format_duration, parse_duration};
use super::fault::ValueError;
use super::network;
use super::secret::Secret;
use crate::{
    connection_string::{ConnectionString, has_stray_at, is_plain},
    domain::{asset::Asset, identity::SpelledAsset, plain_text::shown},
    telemetry::{self, LogFormat},
};

/// Longest duration. Longer ones are mistakes, and sums with them could exceed the range of dates.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Shortest interval. A shorter one would turn a periodic task into a busy loop.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

pub(super) const AT_MOST_A_YEAR: &str = "a duration such as 100ms, 90s, 10m, 1h or 2d, at most 365d";
pub(super) const INTERVAL: &str = "a duration such as 100ms, 90s, 10m, 1h or 2d, from 10ms to 365d";

/// Frequency of writing the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileInterval {
    /// At each publication while all files together are small, else more rarely.
    Auto,
    /// At most once in this time.
    Every(Duration),
}

type Parsed<T> = Result<T, ValueError>;

pub(super) fn duration(text: &str) -> Parsed<Duration> {
    let duration = parse_duration(text).ok_or(ValueError::UNPARSABLE)?;
    if duration > DURATION_MAX {
        return Err(ValueError::refused("it is longer than a year"));
    }
    Ok(duration)
}

pub(super) fn interval(text: &str) -> Parsed<Duration> {
    let duration = duration(text)?;
    if duration < INTERVAL_MIN {
        return Err(ValueError::refused(format!("it is shorter than {}", format_duration(INTERVAL_MIN))));
    }
    Ok(duration)
}

pub(super) fn file_interval(text: &str) -> Parsed<FileInterval> {
    if text == "auto" { Ok(FileInterval::Auto) } else { interval(text).map(FileInterval::Every) }
}

/// Returns a parser of whole numbers within `range`.
pub(super) fn count<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Parsed<T>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    move |text| {
        let number: T = text.trim().parse().map_err(|_| ValueError::UNPARSABLE)?;
        if range.contains(&number) {
            Ok(number)
        } else {
            Err(ValueError::refused(format!("it is not within {} to {}", range.start(), range.end())))
        }
    }
}

pub(super) fn switch(text: &str) -> Parsed<bool> {
    text.parse().map_err(|_| ValueError::UNPARSABLE)
}

pub(super) fn non_empty(text: &str) -> Parsed<String> {
    if text.trim().is_empty() { Err(ValueError::unparsable("it is empty")) } else { Ok(text.to_owned()) }
}

pub(super) fn path(text: &str) -> Parsed<PathBuf> {
    if text.contains('\0') {
        return Err(ValueError::unparsable("a path cannot contain NUL"));
    }
    non_empty(text).map(PathBuf::from)
}

/// Parses `HOST:PORT`. `localhost` is 127.0.0.1; other names are not resolved, because a listener needs one address.
pub(super) fn address(text: &str) -> Parsed<SocketAddr> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric.parse().map_err(|_| ValueError::UNPARSABLE)
}

/// Parses an address whose port is not 0.
pub(super) fn fixed_address(text: &str) -> Parsed<SocketAddr> {
    match address(text)? {
        address if address.port() == 0 => Err(ValueError::refused("the port must be given")),
        address => Ok(address),
    }
}

/// Parses a base URL and removes its trailing slash. Paths are appended to it, so it cannot have a query or a fragment.
pub(super) fn http_base(text: &str) -> Parsed<String> {
    let uri = http(text)?;
    if uri.query().is_some() || text.contains('#') {
        return Err(ValueError::refused("a query or fragment is not allowed in it"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Parses a complete URL, which is used as it is.
pub(super) fn http_url(text: &str) -> Parsed<String> {
    http(text)?;
    if text.contains('#') {
        return Err(ValueError::refused("a fragment is not allowed in it"));
    }
    Ok(text.to_owned())
}

/// Parses an http or https URL without a user.
fn http(text: &str) -> Parsed<Uri> {
    let uri: Uri = text.parse().map_err(|_| ValueError::UNPARSABLE)?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(ValueError::UNPARSABLE);
    };
    if !matches!(scheme, "http" | "https") {
        return Err(ValueError::refused("the scheme must be http or https"));
    }
    let has_port = authority.as_str().rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    if has_port && !authority.as_str().contains('@') && authority.port_u16().is_none() {
        return Err(ValueError::unparsable("the port must be at most 65535"));
    }
    if authority.as_str().contains('@') {
        return Err(ValueError::refused("a user or password is not allowed in it"));
    }
    Ok(uri)
}

/// Validates a connection string. The code that connects parses it again.
///
/// Refuses a host that may hold a part of a password. It would be logged, and asked for at name servers.
pub(super) fn postgres(text: &str) -> Parsed<Secret> {
    const MISREAD: &str = "its host or database has characters that may belong to a password: write @ in a user \
                           or a password as %40, / as %2F and ? as %3F";
    if has_stray_at(text) {
        return Err(ValueError::refused(MISREAD));
    }
    let known = ConnectionString::parse(text).map_err(|error| {
        let detail = error.to_string();
        if error.is_refusal() { ValueError::refused(detail) } else { ValueError::unparsable(detail) }
    })?;
    match known.rest.parse::<tokio_postgres::Config>() {
        Ok(config) if config.get_hosts().is_empty() => Err(ValueError::refused("it names no host")),
        Ok(config) if !config.get_hosts().iter().all(is_plain_host) => Err(ValueError::refused(MISREAD)),
        Ok(_) => Ok(Secret::new(text)),
        Err(error) => {
            // Other texts of the parser may quote a part of a password.
            let source = std::error::Error::source(&error).map(ToString::to_string);
            let named = source.filter(|text| text.starts_with("invalid value for option"));
            Err(named.map_or(ValueError::UNPARSABLE, ValueError::unparsable))
        }
    }
}

/// Returns true for every Unix socket, whose path may have any character.
fn is_plain_host(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => is_plain(name),
        Host::Unix(_) => true,
    }
}

pub(super) fn network_passphrase(text: &str) -> Parsed<String> {
    let network = non_empty(text)?;
    match network::meant(&network) {
        Some(meant) => Err(ValueError::refused(format!("did you mean \"{meant}\"?"))),
        None => Ok(network::passphrase(&network)),
    }
}

/// Parses a list of issued assets separated by commas, without repetitions. An empty text is an empty list.
pub(super) fn assets(text: &str) -> Parsed<Vec<Asset>> {
    let mut assets: Vec<Asset> = Vec::new();
    for spelled in text.split(',').map(str::trim).filter(|_| !text.trim().is_empty()) {
        let asset = match spelled.parse() {
            Ok(SpelledAsset::Classic(asset @ Asset::Issued { .. })) => asset,
            Ok(SpelledAsset::Classic(Asset::Native)) => {
                return Err(ValueError::unparsable(format!("{spelled} has no issuer")));
            }
            Ok(SpelledAsset::Contract(_)) => {
                return Err(ValueError::unparsable(format!("{spelled} is a contract; give code and issuer")));
            }
            Err(error) => return Err(ValueError::unparsable(format!("\"{}\": {error}", shown(spelled)))),
        };
        if assets.contains(&asset) {
            return Err(ValueError::refused(format!("{asset} is listed twice")));
        }
        assets.push(asset);
    }
    Ok(assets)
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(ValueError::UNPARSABLE),
    }
}

pub(super) fn on_or_off(text: &str) -> Parsed<bool> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(ValueError::UNPARSABLE),
    }
}

pub(super) fn log_filter(text: &str) -> Parsed<String> {
    match telemetry::parse_filter(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(ValueError::unparsable(shown(&error.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_url_may_name_a_root_certificate() {
        for url in [
            "postgres://u:p@h/db?sslmode=verify-full&sslrootcert=/etc/root.pem",
            "postgres://u:p@h/db?sslrootcert=/etc/root.pem&sslmode=verify-ca",
            "host=h user=u sslmode=verify-full sslrootcert=/etc/root.pem",
            "postgres://u:p@h/db?sslmode=verify-full&sslrootcert=%2Fetc%2Froot.pem",
            "host=h user=u sslmode = 'verify-full' sslrootcert='/etc/my root.pem'",
            "host=/run/postgresql",
        ] {
            assert!(postgres(url).is_ok(), "{url}");
        }
        assert!(postgres("postgres://u@h/db?sslmode=nonsense").is_err());
    }

    #[test]
    fn a_database_url_whose_password_would_become_a_part_of_the_host_is_refused() {
        for url in [
            "postgres://ticker:p@ssw0rd@db.example:5432/ticker",
            "postgres://ticker:p@ss/w0rd@db.example:5432/ticker",
            "postgres://ticker:p@%2Fssw0rd@db.example:5432/ticker",
            "postgres://h/db?user=a@srv&password=ssw0rd",
            "postgres://h/db?user=a&password=p@ssw0rd",
            "postgres://ticker@h&ssw0rd/ticker",
            "host='ssw0rd@h' user=u",
        ] {
            let error = postgres(url).expect_err(url);
            let detail = error.detail.unwrap();
            assert_eq!(error.kind, crate::config::FaultKind::Refused, "{url}");
            assert!(detail.contains("%40") && !detail.contains("w0rd"), "{url}: {detail}");
        }
        for url in [
            "postgres://ticker:p%40ssw0rd@db.example:5432/ticker",
            "postgres://u:p@a-1.example,b_2:5433,[::1]/ticker?application_name=a@b",
            "postgres://u:a?b@h/db",
            "postgres://u:p@%2Frun%2Fmy%40postgresql/db",
            "postgres://u:p@/db?host=/run/postgresql",
            "host='/run/my @postgresql' user=u password='p@ss'",
            "host=h user=a@srv password=p@ss",
        ] {
            assert!(postgres(url).is_ok(), "{url}");
        }
    }
}
