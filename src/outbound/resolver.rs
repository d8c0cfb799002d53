//! Asynchronous name resolution: `/etc/hosts` first, then the name servers of `/etc/resolv.conf`.
//!
//! `getaddrinfo` blocks a thread until it returns, even after its caller has timed out. If the name servers do not
//! answer, such threads pile up until the process can create no more.

mod servers;

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use hickory_resolver::{Hosts, proto::rr::Name, proto::rr::RecordType, system_conf::parse_resolv_conf};

use servers::Servers;

/// Timeout of a lookup with its search list and all name servers. Callers have shorter timeouts of their own.
const LOOKUP_MAX: Duration = Duration::from_secs(10);
/// Interval between two checks of the files for changes.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Default content if `/etc/resolv.conf` is missing or names no server (resolv.conf(5)).
const DEFAULT_SERVER: &str = "nameserver 127.0.0.1\n";
/// Maximum number of bytes to read of either file. A hosts file that blocks advertisers has a few megabytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// System resolver. Clones share the files' contents. Use one per thread, because queries run on the caller's runtime.
#[derive(Clone)]
pub struct Resolver(Arc<Shared>);

struct Shared {
    hosts_file: PathBuf,
    resolv_conf: PathBuf,
    state: Mutex<FilesState>,
}

#[derive(Default)]
struct FilesState {
    /// Time of the last check for changes.
    checked_at: Option<Instant>,
    /// Stamps of the two files when `system` was read.
    stamps: [Option<Stamp>; 2],
    /// Parsed files.
    system: Option<Arc<System>>,
}

/// Modification time and size of a file. A change of either means that the file changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
}

/// Parsed contents of the two files.
struct System {
    hosts: Hosts,
    servers: Servers,
}

impl Resolver {
    /// Resolver of this machine: `/etc/hosts` and `/etc/resolv.conf`, read again when they change.
    #[must_use]
    pub fn system() -> Self {
        Self::of("/etc/hosts".into(), "/etc/resolv.conf".into())
    }

    /// Resolver of these files in place of the machine's.
    pub(crate) fn of(hosts_file: PathBuf, resolv_conf: PathBuf) -> Self {
        Self(Arc::new(Shared { hosts_file, resolv_conf, state: Mutex::default() }))
    }

    /// Resolves a host as an operator writes it: an IP address, with or without brackets, or a name. The search list of
    /// `resolv.conf` applies to names.
    ///
    /// # Errors
    ///
    /// Unknown name, no address, or no answer within ten seconds.
    pub async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.lookup(host, port, true).await
    }

    /// Resolves a complete name without the search list. Use it for names of unknown origin, which the list could turn
    /// into internal ones.
    ///
    /// # Errors
    ///
    /// Same as [`Self::addresses`].
    pub async fn addresses_of_domain(&self, domain: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.lookup(domain, port, false).await
    }

    async fn lookup(&self, host: &str, port: u16, use_search_list: bool) -> io::Result<Vec<SocketAddr>> {
        // URLs write IPv6 addresses in brackets.
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let no_name = || io::Error::new(io::ErrorKind::InvalidInput, format!("{bare:?} is not a host name"));
        // Operators name hosts with underscores too, such as those of containers. The rules of IDNA forbid them.
        let parsed = if use_search_list { Name::from_str_relaxed(bare) } else { Name::from_utf8(bare) };
        let name = parsed.ok().filter(|_| !bare.is_empty()).ok_or_else(no_name)?;
        let system = self.current();
        let known = system.hosts_addresses(&name);
        let found = if known.is_empty() {
            let resolving = system.servers.resolve(&name, use_search_list);
            tokio::time::timeout(LOOKUP_MAX, resolving).await.unwrap_or_else(|_| {
                Err(io::Error::new(io::ErrorKind::TimedOut, format!("no name server answered for {bare}")))
            })?
        } else {
            known
        };
        Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
    }

    /// Current contents of the files. Checks for changes at most once a second, by two calls of `stat`.
    fn current(&self) -> Arc<System> {
        let Shared { hosts_file, resolv_conf, state } = &*self.0;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = state.checked_at.is_some_and(|at| at.elapsed() < CHECK_INTERVAL);
        if let Some(system) = state.system.as_ref().filter(|_| is_fresh) {
            return Arc::clone(system);
        }
        let stamps = [stamp(hosts_file), stamp(resolv_conf)];
        state.checked_at = Some(Instant::now());
        if let Some(system) = state.system.as_ref().filter(|_| state.stamps == stamps) {
            return Arc::clone(system);
        }
        let system = Arc::new(System::read(hosts_file, resolv_conf));
        state.stamps = stamps;
        state.system = Some(Arc::clone(&system));
        system
    }
}

impl System {
    /// Reads both files. Like the C library, it treats a missing or malformed file as empty.
    fn read(hosts_file: &PathBuf, resolv_conf: &PathBuf) -> Self {
        let mut hosts = Hosts::default();
        if let Err(error) = hosts.read_hosts_conf(read(hosts_file).as_slice()) {
            tracing::warn!(%error, file = %hosts_file.display(), "part of the hosts file is not readable");
        }
        let parsed = parse_resolv_conf(read(resolv_conf)).or_else(|_| parse_resolv_conf(DEFAULT_SERVER));
        let servers = parsed.map(|(config, options)| Servers::new(&config, &options)).unwrap_or_default();
        Self { hosts, servers }
    }

    /// Addresses in the hosts file. If there are any, no name server is queried.
    fn hosts_addresses(&self, name: &Name) -> Vec<IpAddr> {
        use hickory_resolver::proto::op::Query;
        let of_type = |kind| self.hosts.lookup_static_host(&Query::query(name.to_lowercase(), kind));
        let found = [RecordType::AAAA, RecordType::A].into_iter().filter_map(of_type);
        found.flat_map(|lookup| servers::addresses(&lookup)).collect()
    }
}

fn stamp(file: &PathBuf) -> Option<Stamp> {
    let metadata = fs::metadata(file).ok()?;
    Some(Stamp { modified: metadata.modified().ok(), bytes: metadata.len() })
}

fn read(file: &PathBuf) -> Vec<u8> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let opened = fs::File::open(file);
    let outcome = opened.and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, file = %file.display(), "the file is not readable");
        }
        _ => {}
    }
    bytes
}

#[cfg(test)]
mod tests;
