//! From a setting's text to its value: one function a form.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use actix_web::http::Uri;
use stellar_strkey::ed25519::PublicKey;

use super::duration::{format_duration, parse_duration};
use super::fault::Problem;
use super::network;
use super::secret::Secret;
use crate::connection_string::ConnectionString;

/// Longer ones are mistakes, and sums with them could leave the calendar.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Shorter ones would make a busy loop of a periodic task.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
/// Asset codes have up to this many letters and digits (CAP-0001, `AlphaNum12`).
const ASSET_CODE_LEN_MAX: usize = 12;

pub(super) const AT_MOST_A_YEAR: &str = "a duration such as 100ms, 90s, 10m, 1h or 2d, at most 365d";
pub(super) const INTERVAL: &str = "a duration such as 100ms, 90s, 10m, 1h or 2d, from 10ms to 365d";

/// Form of the program's own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text when stderr is a terminal, else JSON.
    Auto,
    /// One line of text an event.
    Text,
    /// One JSON object an event.
    Json,
}

/// How often the files follow the publications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileInterval {
    /// Each publication while the files are small together, else more rarely.
    Auto,
    /// At most once in this time.
    Every(Duration),
}

type Parsed<T> = Result<T, Problem>;

pub(super) fn duration(text: &str) -> Parsed<Duration> {
    let duration = parse_duration(text).ok_or(Problem::UNPARSABLE)?;
    if duration > DURATION_MAX {
        return Err(Problem::refused("it is longer than a year"));
    }
    Ok(duration)
}

pub(super) fn interval(text: &str) -> Parsed<Duration> {
    let duration = duration(text)?;
    if duration < INTERVAL_MIN {
        return Err(Problem::refused(format!("it is shorter than {}", format_duration(INTERVAL_MIN))));
    }
    Ok(duration)
}

pub(super) fn file_interval(text: &str) -> Parsed<FileInterval> {
    if text == "auto" { Ok(FileInterval::Auto) } else { interval(text).map(FileInterval::Every) }
}

/// A whole number within `range`.
pub(super) fn count<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Parsed<T>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    move |text| {
        let number: T = text.trim().parse().map_err(|_| Problem::UNPARSABLE)?;
        if range.contains(&number) {
            Ok(number)
        } else {
            Err(Problem::refused(format!("it is not within {} to {}", range.start(), range.end())))
        }
    }
}

pub(super) fn switch(text: &str) -> Parsed<bool> {
    text.parse().map_err(|_| Problem::UNPARSABLE)
}

pub(super) fn non_empty(text: &str) -> Parsed<String> {
    if text.trim().is_empty() { Err(Problem::unparsable("it is empty")) } else { Ok(text.to_owned()) }
}

pub(super) fn path(text: &str) -> Parsed<PathBuf> {
    if text.contains('\0') {
        return Err(Problem::unparsable("a path holds no NUL"));
    }
    non_empty(text).map(PathBuf::from)
}

/// `HOST:PORT`; `localhost` is 127.0.0.1, other names are not looked up: a listener belongs to an address.
pub(super) fn address(text: &str) -> Parsed<SocketAddr> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric.parse().map_err(|_| Problem::UNPARSABLE)
}

/// An address whose port is known beforehand.
pub(super) fn fixed_address(text: &str) -> Parsed<SocketAddr> {
    match address(text)? {
        address if address.port() == 0 => Err(Problem::refused("the port must be given")),
        address => Ok(address),
    }
}

/// A base URL without its trailing slash. Paths are appended to it, so a query or fragment cannot stand.
pub(super) fn http_base(text: &str) -> Parsed<String> {
    let uri: Uri = text.parse().map_err(|_| Problem::UNPARSABLE)?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(Problem::UNPARSABLE);
    };
    if !matches!(scheme, "http" | "https") {
        return Err(Problem::refused("neither http nor https"));
    }
    if authority.as_str().contains('@') {
        return Err(Problem::refused("a user or password has no place in it"));
    }
    if uri.query().is_some() || text.contains('#') {
        return Err(Problem::refused("a query or fragment has no place in it"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Validates only; the code that connects parses it again.
pub(super) fn postgres(text: &str) -> Parsed<Secret> {
    let known = ConnectionString::parse(text).map_err(|error| {
        let detail = error.to_string();
        if error.is_refusal() { Problem::refused(detail) } else { Problem::unparsable(detail) }
    })?;
    match known.rest.parse::<tokio_postgres::Config>() {
        Ok(config) if config.get_hosts().is_empty() => Err(Problem::refused("it names no host")),
        Ok(_) => Ok(Secret::new(text)),
        Err(error) => {
            // Only this text of the parser quotes nothing of what may be a password.
            let source = std::error::Error::source(&error).map(ToString::to_string);
            let named = source.filter(|text| text.starts_with("invalid value for option"));
            Err(named.map_or(Problem::UNPARSABLE, Problem::unparsable))
        }
    }
}

pub(super) fn network_passphrase(text: &str) -> Parsed<String> {
    let network = non_empty(text)?;
    match network::meant(&network) {
        Some(meant) => Err(Problem::refused(format!("did you mean \"{meant}\"?"))),
        None => Ok(network::passphrase(&network)),
    }
}

/// `CODE:ISSUER` between commas, each once; an empty text is an empty list.
pub(super) fn assets(text: &str) -> Parsed<Vec<String>> {
    let mut assets: Vec<String> = Vec::new();
    for asset in text.split(',').map(str::trim).filter(|_| !text.trim().is_empty()) {
        let (code, issuer) = asset.split_once(':').ok_or(Problem::UNPARSABLE)?;
        let code_fits = (1..=ASSET_CODE_LEN_MAX).contains(&code.len());
        if !code_fits || !code.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(Problem::unparsable(format!("no asset code: {code:?}")));
        }
        PublicKey::from_str(issuer).map_err(|_| Problem::unparsable(format!("no issuer: {issuer:?}")))?;
        if assets.iter().any(|known| known == asset) {
            return Err(Problem::refused(format!("{asset} stands in it twice")));
        }
        assets.push(asset.to_owned());
    }
    Ok(assets)
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(Problem::UNPARSABLE),
    }
}

pub(super) fn log_filter(text: &str) -> Parsed<String> {
    match crate::telemetry::parse_filter(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(Problem::unparsable(error.to_string().escape_debug().to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_url_may_say_whom_to_trust() {
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
}
