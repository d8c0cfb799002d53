//! Fetching one file within bounds of time, size, number and place.

use std::{
    cell::RefCell, collections::HashMap, net::IpAddr, path::PathBuf, rc::Rc, sync::Arc, time::Duration,
};

use bytes::Bytes;
use hyper::Uri;
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};

use super::{
    exchange::{Answer, Asker},
    guard::{Refused, Target, is_public},
    parse::{NoToml, parse},
    redirect::redirected,
    resolve::{Guarded, Lookup, gateway_lookup, system_lookup},
};
use crate::{
    domain::{issuer_file::IssuerFile, toml_link::WELL_KNOWN},
    horizon::{error::HorizonError, tls},
};

/// A file is no larger, decoded or not (SEP-1).
pub(super) const FILE_BYTES_MAX: usize = 100 * 1_024;
/// Everything together may take so long, but for waiting for a slot.
const DEADLINE: Duration = Duration::from_secs(8);
/// Fetches at once.
pub const AT_ONCE: usize = 16;
/// Redirects that are followed, to whatever public host: from an apex to www, from an old domain to a new one.
pub(super) const REDIRECTS_MAX: usize = 3;

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
    /// A redirect to an address that may not be asked, or one too many.
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
    asker: Asker,
    gateway: Option<String>,
    deadline: Duration,
    slots: Rc<Semaphore>,
    /// One request a host at a time; a host is in it only while it is asked.
    hosts: Hosts,
}

type Hosts = Rc<RefCell<HashMap<String, Arc<Mutex<()>>>>>;

impl TomlClient {
    /// A client; nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`TomlError::Setup`]
    pub fn new(settings: TomlSettings) -> Result<Self, TomlError> {
        match settings.gateway {
            // The operator chose it: it may lie inside.
            Some(_) => Self::with(settings, gateway_lookup(), |_| true, DEADLINE),
            None => Self::with(settings, system_lookup(), is_public, DEADLINE),
        }
    }

    /// The same with other means of reaching hosts, for tests.
    fn with(
        settings: TomlSettings,
        lookup: Lookup,
        is_allowed: fn(IpAddr) -> bool,
        deadline: Duration,
    ) -> Result<Self, TomlError> {
        let tls = tls::client_config(settings.ca_file.as_deref())?;
        let asker = Asker { names: Guarded { lookup, is_allowed }, tls };
        let slots = Rc::new(Semaphore::new(AT_ONCE));
        Ok(Self { asker, gateway: settings.gateway, deadline, slots, hosts: Rc::default() })
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
        if !self.may_ask(&target) {
            return Err(TomlError::NotServed);
        }
        let turn = self.turn(&target.host).await;
        let _slot = self.slots.acquire().await;
        let fetched = tokio::time::timeout(self.deadline, self.follow(target, turn)).await;
        Ok(parse(&fetched.map_err(|_| TomlError::TimedOut)??)?)
    }

    fn may_ask(&self, target: &Target) -> bool {
        if self.gateway.is_some() { target.path == WELL_KNOWN } else { !target.is_special() }
    }

    /// Asks, and follows redirects. Each hop passes the same guard: https, the usual port, a domain name, and every
    /// address that it leads to public.
    async fn follow(&self, mut target: Target, mut turn: HostTurn) -> Result<Bytes, TomlError> {
        for _ in 0..=REDIRECTS_MAX {
            let location = match self.asker.ask(&self.url(&target)?).await? {
                Answer::File(bytes) => return Ok(bytes),
                // The gateway stands for all hosts, so it has nowhere to redirect to.
                Answer::Moved(_) if self.gateway.is_some() => return Err(TomlError::Redirect),
                Answer::Moved(location) => location,
            };
            let next = redirected(&target, &location)
                .filter(|next| self.may_ask(next))
                .ok_or(TomlError::Redirect)?;
            if next.host != target.host {
                drop(turn); // the holder of a turn must not wait for another: two domains may redirect to each other
                turn = self.turn(&next.host).await;
            }
            target = next;
        }
        Err(TomlError::Redirect)
    }

    fn url(&self, target: &Target) -> Result<Uri, TomlError> {
        let url = match &self.gateway {
            Some(gateway) => format!("{gateway}/{}{WELL_KNOWN}", target.host),
            None => format!("https://{}{}", target.host, target.path),
        };
        url.parse().map_err(|_| TomlError::NotServed)
    }

    /// Waits until no other request to this host is under way.
    async fn turn(&self, host: &str) -> HostTurn {
        let entry = Arc::clone(self.hosts.borrow_mut().entry(host.to_owned()).or_default());
        let queued = Queued { hosts: Rc::clone(&self.hosts), host: host.to_owned() };
        HostTurn { _held: entry.lock_owned().await, _queued: queued }
    }
}

/// A host's turn. Fields are dropped in this order: the turn is free before its host may be forgotten.
struct HostTurn {
    _held: OwnedMutexGuard<()>,
    _queued: Queued,
}

/// Forgets a host without requests, also if the wait for its turn was given up.
struct Queued {
    hosts: Hosts,
    host: String,
}

impl Drop for Queued {
    fn drop(&mut self) {
        let mut hosts = self.hosts.borrow_mut();
        if hosts.get(&self.host).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            hosts.remove(&self.host);
        }
    }
}

#[cfg(test)]
mod tests;
