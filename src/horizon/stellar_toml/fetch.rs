//! Client that fetches one file within limits on time, size, concurrency and addresses.

use std::{
    cell::RefCell, collections::HashMap, net::IpAddr, path::PathBuf, rc::Rc, sync::Arc, time::Duration,
};

use bytes::Bytes;
use hyper::Uri;
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};

use super::{
    error::TomlError,
    exchange::{HostAnswer, Requester},
    guard::{TomlUrl, is_public},
    parse::parse,
    redirect::redirected,
    resolve::{GuardedLookup, Lookup, gateway_lookup, system_lookup},
};
use crate::{
    domain::{issuer_file::IssuerFile, toml_link::WELL_KNOWN},
    outbound::tls,
};

/// Deadline for a fetch with all its redirects, without the wait for a slot.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(8);
/// Maximum number of concurrent fetches.
pub const CONCURRENT_FETCHES_MAX: usize = 16;
/// Maximum number of redirects, to any public host: from an apex to www, or from an old domain to a new one.
pub(super) const REDIRECTS_MAX: usize = 3;

/// Source of the files.
#[derive(Clone, Debug, Default)]
pub struct TomlSettings {
    /// URL of the operator's server for all files, without a trailing slash. `None`: fetch each file from its own host.
    pub gateway: Option<String>,
    /// PEM file of further CA certificates to trust.
    pub ca_file: Option<PathBuf>,
}

/// Client for stellar.toml files. Clones share its limits.
#[derive(Clone)]
pub struct TomlClient {
    requester: Requester,
    gateway: Option<String>,
    deadline: Duration,
    slots: Rc<Semaphore>,
    /// Lock of each host, so that only one request per host is in flight. An entry exists only while it is in use.
    hosts: Hosts,
}

type Hosts = Rc<RefCell<HashMap<String, Arc<Mutex<()>>>>>;

impl TomlClient {
    /// Creates a client. Opens no connection yet.
    ///
    /// # Errors
    ///
    /// [`TomlError::Setup`] if the certificates of `--ca-file` are not usable.
    pub fn new(settings: TomlSettings) -> Result<Self, TomlError> {
        match settings.gateway {
            // The operator chose the gateway, so it may have an internal address.
            Some(_) => Self::with(settings, gateway_lookup(), |_| true, FETCH_TIMEOUT),
            None => Self::with(settings, system_lookup(), is_public, FETCH_TIMEOUT),
        }
    }

    /// Creates a client with other means of reaching hosts, for tests.
    fn with(
        settings: TomlSettings,
        lookup: Lookup,
        is_allowed: fn(IpAddr) -> bool,
        deadline: Duration,
    ) -> Result<Self, TomlError> {
        let tls = tls::client_config(settings.ca_file.as_deref())?;
        let names = GuardedLookup { lookup, is_allowed };
        let requester = Requester { names, tls, passed_over: Arc::default() };
        let slots = Rc::new(Semaphore::new(CONCURRENT_FETCHES_MAX));
        Ok(Self { requester, gateway: settings.gateway, deadline, slots, hosts: Rc::default() })
    }

    /// Same client and limits with a shorter deadline.
    #[must_use]
    pub fn within(&self, patience: Duration) -> Self {
        Self { deadline: self.deadline.min(patience), ..self.clone() }
    }

    /// Fetches and parses a file.
    ///
    /// # Errors
    ///
    /// [`TomlError`] with the reason.
    pub async fn fetch(&self, url: &str) -> Result<IssuerFile, TomlError> {
        let target = TomlUrl::parse(url)?;
        if !self.is_served(&target) {
            return Err(TomlError::NotServed);
        }
        let lock = self.lock_host(&target.host).await;
        // Lock the host first: a fetch that waits for its host must not occupy a slot.
        let _slot = self.slots.acquire().await;
        let fetched = tokio::time::timeout(self.deadline, self.follow(target, lock)).await;
        Ok(parse(&fetched.map_err(|_| TomlError::TimedOut)??)?)
    }

    fn is_served(&self, target: &TomlUrl) -> bool {
        if self.gateway.is_some() { target.path == WELL_KNOWN } else { !target.is_special() }
    }

    /// Requests the file and follows redirects. Each hop passes the same guard: https, port 443, a domain name, and
    /// only public addresses.
    async fn follow(&self, mut target: TomlUrl, mut lock: HostLock) -> Result<Bytes, TomlError> {
        for _ in 0..=REDIRECTS_MAX {
            let location = match self.requester.request(&self.url(&target)?).await? {
                HostAnswer::File(bytes) => return Ok(bytes),
                // The gateway serves all hosts itself, so it has no reason to redirect.
                HostAnswer::Redirect(_) if self.gateway.is_some() => return Err(TomlError::Redirect),
                HostAnswer::Redirect(location) => location,
            };
            let next = redirected(&target, &location)
                .filter(|next| self.is_served(next))
                .ok_or(TomlError::Redirect)?;
            if next.host != target.host {
                drop(lock); // release first: two domains that redirect to each other would deadlock
                lock = self.lock_host(&next.host).await;
            }
            target = next;
        }
        Err(TomlError::Redirect)
    }

    fn url(&self, target: &TomlUrl) -> Result<Uri, TomlError> {
        let url = match &self.gateway {
            Some(gateway) => format!("{gateway}/{}{WELL_KNOWN}", target.host),
            None => format!("https://{}{}", target.host, target.path),
        };
        url.parse().map_err(|_| TomlError::NotServed)
    }

    /// Waits until no other request to this host is in flight.
    async fn lock_host(&self, host: &str) -> HostLock {
        let entry = Arc::clone(self.hosts.borrow_mut().entry(host.to_owned()).or_default());
        let in_use = HostEntry { hosts: Rc::clone(&self.hosts), host: host.to_owned() };
        HostLock { _held: entry.lock_owned().await, _entry: in_use }
    }
}

/// Lock of a host. Drop order matters: the lock is released before the entry is removed.
struct HostLock {
    _held: OwnedMutexGuard<()>,
    _entry: HostEntry,
}

/// Use of a host's entry. Removes the entry if it was the last use, even if the wait for the lock was abandoned.
struct HostEntry {
    hosts: Hosts,
    host: String,
}

impl Drop for HostEntry {
    fn drop(&mut self) {
        let mut hosts = self.hosts.borrow_mut();
        if hosts.get(&self.host).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            hosts.remove(&self.host);
        }
    }
}

#[cfg(test)]
mod tests;
