//! Fetching one file within bounds of time, size, number and place.

use std::{
    cell::RefCell, collections::HashMap, io::Read, net::IpAddr, path::PathBuf, rc::Rc, time::Duration,
};

use actix_tls::connect::{Connector as TcpConnector, Resolver};
use actix_web::http::{
    Version,
    header::{self, HeaderMap},
};
use awc::{Client, Connector, error::PayloadError};
use bytes::Bytes;
use tokio::sync::{Mutex, Semaphore};

use super::{
    guard::{Refused, Target, is_public},
    parse::{NoToml, parse},
    resolve::{Guarded, Lookup, system_lookup},
};
use crate::{
    domain::issuer_file::IssuerFile,
    horizon::{error::HorizonError, tls},
};

/// A file is no larger, decoded or not (SEP-1).
const FILE_BYTES_MAX: usize = 100 * 1_024;
/// Everything together may take so long, but for waiting for a slot.
const DEADLINE: Duration = Duration::from_secs(8);
/// Fetches at once.
pub const AT_ONCE: usize = 16;
/// Redirects that are followed, on the same host.
const REDIRECTS_MAX: usize = 2;
/// Where every such file lies (SEP-1); a gateway serves nothing else.
const WELL_KNOWN: &str = "/.well-known/stellar.toml";

/// Where files are fetched from.
#[derive(Clone, Debug, Default)]
pub struct TomlSettings {
    /// The operator's own server for all files, without a slash at the end; none: each file's own host.
    pub gateway: Option<String>,
    /// Further certificates to trust.
    pub ca_file: Option<PathBuf>,
}

/// Why a file could not be read. No text of a stranger is in it.
#[derive(Debug, thiserror::Error)]
pub enum TomlError {
    /// The address is none that may be asked.
    #[error("the address is refused: {0}")]
    Refused(#[from] Refused),
    /// The name is never public, or the gateway does not serve such an address.
    #[error("the address is refused: it is served nowhere")]
    NotServed,
    /// No connection, no TLS, or no public address.
    #[error("the host cannot be reached: {0}")]
    Connect(String),
    /// It took too long.
    #[error("no whole answer in time")]
    TimedOut,
    /// The answer's status is not 2xx.
    #[error("the host answered {0}")]
    Status(u16),
    /// A redirect to another host, to no address that may be asked, or one too many.
    #[error("the redirect is not followed")]
    Redirect,
    /// The file is larger than 100 KB.
    #[error("the file is too large")]
    TooLarge,
    /// The answer is compressed in an unknown way, or wrongly.
    #[error("the answer cannot be decoded")]
    Encoding,
    /// It is not TOML.
    #[error(transparent)]
    NoToml(#[from] NoToml),
    /// The certificates of `--ca-file` cannot be used.
    #[error(transparent)]
    Setup(#[from] HorizonError),
}

impl TomlError {
    /// A short name for metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Refused(_) | Self::NotServed => "refused",
            Self::Connect(_) => "connect",
            Self::TimedOut => "timed_out",
            Self::Status(_) => "status",
            Self::Redirect => "redirect",
            Self::TooLarge => "too_large",
            Self::Encoding => "encoding",
            Self::NoToml(_) => "no_toml",
            Self::Setup(_) => "setup",
        }
    }
}

/// A client for stellar.toml files. Clones share its bounds.
#[derive(Clone)]
pub struct TomlClient {
    client: Client,
    gateway: Option<String>,
    deadline: Duration,
    slots: Rc<Semaphore>,
    /// One fetch a host at a time; a host is in it only while it is asked.
    hosts: Rc<RefCell<HashMap<String, Rc<Mutex<()>>>>>,
}

/// What a host answered.
enum Answer {
    File(Bytes),
    Moved(String),
}

impl TomlClient {
    /// A client; nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`TomlError::Setup`]
    pub fn new(settings: TomlSettings) -> Result<Self, TomlError> {
        Self::with(settings, system_lookup(), is_public, DEADLINE)
    }

    /// The same with other means of reaching hosts, for tests.
    fn with(
        settings: TomlSettings,
        lookup: Lookup,
        is_allowed: fn(IpAddr) -> bool,
        deadline: Duration,
    ) -> Result<Self, TomlError> {
        let tls = tls::client_config(settings.ca_file.as_deref())?;
        // Its own bound is for all hosts together.
        let connector =
            Connector::new().limit(AT_ONCE).timeout(deadline).handshake_timeout(deadline).rustls_0_23(tls);
        let builder = Client::builder().disable_timeout().disable_redirects(); // the deadline is over all of it
        let client = match settings.gateway {
            // The operator chose it: it may lie inside.
            Some(_) => builder.connector(connector).finish(),
            None => {
                let guarded = Resolver::custom(Guarded { lookup, is_allowed });
                let tcp = TcpConnector::new(guarded).service();
                builder.connector(connector.connector(tcp)).finish()
            }
        };
        let slots = Rc::new(Semaphore::new(AT_ONCE));
        Ok(Self { client, gateway: settings.gateway, deadline, slots, hosts: Rc::default() })
    }

    /// The same client, with the same bounds, but not as patient.
    #[must_use]
    pub fn within(&self, patience: Duration) -> Self {
        Self { deadline: self.deadline.min(patience), ..self.clone() }
    }

    /// Fetches and reads a file.
    ///
    /// # Errors
    ///
    /// [`TomlError`]
    pub async fn fetch(&self, url: &str) -> Result<IssuerFile, TomlError> {
        let target = Target::parse(url)?;
        let is_served = if self.gateway.is_some() { target.path == WELL_KNOWN } else { !target.is_special() };
        if !is_served {
            return Err(TomlError::NotServed);
        }
        let host = target.host.clone();
        let turn = Rc::clone(self.hosts.borrow_mut().entry(host.clone()).or_default());
        let fetched = {
            let _turn = turn.lock().await;
            let _slot = self.slots.acquire().await;
            tokio::time::timeout(self.deadline, self.follow(target)).await
        };
        drop(turn);
        let mut hosts = self.hosts.borrow_mut();
        if hosts.get(&host).is_some_and(|turn| Rc::strong_count(turn) == 1) {
            hosts.remove(&host);
        }
        drop(hosts);
        Ok(parse(&fetched.map_err(|_| TomlError::TimedOut)??)?)
    }

    async fn follow(&self, mut target: Target) -> Result<Bytes, TomlError> {
        for _ in 0..=REDIRECTS_MAX {
            match self.ask(&target).await? {
                Answer::File(bytes) => return Ok(bytes),
                Answer::Moved(location) => target = redirected(&target, &location)?,
            }
        }
        Err(TomlError::Redirect)
    }

    async fn ask(&self, target: &Target) -> Result<Answer, TomlError> {
        let url = match &self.gateway {
            Some(gateway) => format!("{gateway}/{}{WELL_KNOWN}", target.host),
            None => format!("https://{}{}", target.host, target.path),
        };
        let request = self
            .client
            .get(url)
            .insert_header((header::USER_AGENT, concat!("stellar-ticker/", env!("CARGO_PKG_VERSION"))))
            .insert_header((header::ACCEPT_ENCODING, "gzip"))
            .no_decompress(); // decoded below, within bounds
        let sent = request.send().await;
        let mut response = sent.map_err(|error| TomlError::Connect(error.to_string()))?;
        let status = response.status();
        if status.is_redirection() && self.gateway.is_none() {
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            return location.map(|location| Answer::Moved(location.to_owned())).ok_or(TomlError::Redirect);
        }
        if !status.is_success() {
            return Err(TomlError::Status(status.as_u16()));
        }
        if !has_known_end(&response) {
            return Err(TomlError::Connect("the answer does not tell where it ends".into()));
        }
        let raw = match response.body().limit(FILE_BYTES_MAX).await {
            Ok(raw) => raw,
            Err(PayloadError::Overflow) => return Err(TomlError::TooLarge),
            Err(error) => return Err(TomlError::Connect(error.to_string())),
        };
        decoded(response.headers(), raw).map(Answer::File)
    }
}

/// awc takes a body that ends with its connection for an empty one, and an empty file would be a good one.
fn has_known_end<S>(response: &awc::ClientResponse<S>) -> bool {
    let names_length = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    response.version() != Version::HTTP_11
        || names_length.iter().any(|name| response.headers().contains_key(name))
}

/// A redirect that may be followed: to the same host.
fn redirected(from: &Target, location: &str) -> Result<Target, TomlError> {
    let same_host = format!("https://{}", from.host);
    let is_path = location.starts_with('/') && !location.starts_with("//");
    let url = if is_path { format!("{same_host}{location}") } else { location.to_owned() };
    let target = Target::parse(&url).map_err(|_| TomlError::Redirect)?;
    if target.host == from.host { Ok(target) } else { Err(TomlError::Redirect) }
}

/// The body without its compression, within the bound.
fn decoded(headers: &HeaderMap, raw: Bytes) -> Result<Bytes, TomlError> {
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?"));
    match encoding.map(str::trim) {
        None | Some("" | "identity") => Ok(raw),
        Some("gzip" | "x-gzip") => bounded(flate2::read::MultiGzDecoder::new(raw.as_ref())),
        Some("deflate") => bounded(flate2::read::ZlibDecoder::new(raw.as_ref())),
        Some(_) => Err(TomlError::Encoding),
    }
}

fn bounded(decoder: impl Read) -> Result<Bytes, TomlError> {
    let most = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut file = Vec::new();
    decoder.take(most.saturating_add(1)).read_to_end(&mut file).map_err(|_| TomlError::Encoding)?;
    if file.len() > FILE_BYTES_MAX { Err(TomlError::TooLarge) } else { Ok(file.into()) }
}

#[cfg(test)]
mod tests;
