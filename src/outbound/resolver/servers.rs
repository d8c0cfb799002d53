//! Name servers of a `resolv.conf`, queried in its order.

use std::{
    io,
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use futures_util::future::{Either, select};
use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    lookup::Lookup,
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RecordType},
};

/// Maximum number of name servers, as in the C library (MAXNS).
const SERVERS_MAX: usize = 3;
/// Timeout of one server. It leaves the other servers time before the caller's own timeout.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for which a silent server is queried after the others.
const DEMOTED_FOR: Duration = Duration::from_secs(30);
/// Time after which a server counts as silent if its caller does not wait any longer.
const SILENT_AFTER: Duration = Duration::from_millis(500);
/// Maximum number of rounds through all servers. `attempts` in `resolv.conf` may set fewer.
const ROUNDS_MAX: usize = 2;
/// Time for which addresses of one family wait for the other family.
///
/// Some servers drop queries for one family, which must not delay the other. RFC 8305, section 3, suggests less, but
/// lookups are rare here.
const OTHER_FAMILY_WAIT: Duration = Duration::from_millis(500);
/// Answers that a resolver caches: none, as in the C library.
///
/// A database whose container is still starting has no name, and "no such name" may be valid for a day.
const CACHED_MAX: u64 = 0;

/// Name servers and options of one `resolv.conf`. The default has no servers.
#[derive(Default)]
pub(super) struct Servers {
    servers: Vec<Server>,
    search: Vec<Name>,
    ndots: usize,
    rounds: usize,
}

struct Server {
    resolver: TokioResolver,
    /// Time of the last timeout, in milliseconds after `epoch`. 0 if the server answered last.
    silent_at_ms: AtomicU64,
    epoch: Instant,
}

impl Servers {
    pub(super) fn new(config: &ResolverConfig, options: &ResolverOpts) -> Self {
        let servers = config.name_servers().iter().take(SERVERS_MAX);
        // `search` replaces `domain`, as in resolv.conf(5).
        let domain = config.domain().filter(|_| config.search().is_empty());
        Self {
            servers: servers.filter_map(|server| Server::new(server.clone(), options.clone())).collect(),
            search: config.search().iter().chain(domain).cloned().collect(),
            ndots: options.ndots,
            rounds: options.attempts.clamp(1, ROUNDS_MAX),
        }
    }

    /// Resolves a name, with or without the search list.
    pub(super) async fn resolve(&self, name: &Name, use_search_list: bool) -> io::Result<Vec<IpAddr>> {
        let mut failure = None;
        for candidate in self.candidates(name, use_search_list) {
            match self.query_servers(&candidate).await {
                Ok(found) if !found.is_empty() => return Ok(found),
                Ok(_) => {}
                Err(error) => failure = Some(error),
            }
        }
        let text = name.to_utf8();
        Err(failure.map_or_else(
            || io::Error::new(io::ErrorKind::NotFound, format!("{text} has no address")),
            |error| {
                io::Error::new(io::ErrorKind::TimedOut, format!("no name server answers for {text}: {error}"))
            },
        ))
    }

    /// Complete names to try, in the order of resolv.conf(5).
    fn candidates(&self, name: &Name, use_search_list: bool) -> Vec<Name> {
        let mut itself = name.clone();
        itself.set_fqdn(true);
        if !use_search_list || name.is_fqdn() {
            return vec![itself];
        }
        let searched = self.search.iter().filter_map(|domain| {
            let mut searched = name.clone().append_domain(domain).ok()?;
            searched.set_fqdn(true);
            Some(searched)
        });
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        let mut candidates: Vec<Name> = searched.collect();
        // A name with enough dots is tried as it is before the search list, else after it.
        let place = if dots >= self.ndots { 0 } else { candidates.len() };
        candidates.insert(place, itself);
        candidates
    }

    /// Queries one server after another. An answer without addresses counts as an answer.
    async fn query_servers(&self, name: &Name) -> Result<Vec<IpAddr>, NetError> {
        let mut failure = NetError::NoConnections;
        for _ in 0..self.rounds {
            let mut servers: Vec<&Server> = self.servers.iter().collect();
            servers.sort_by_key(|server| server.is_demoted()); // stable sort: otherwise in the order of the file
            for server in servers {
                let mut asking = Asking { server, begun: Instant::now(), is_answered: false };
                // The resolver repeats a query over TCP, which takes another timeout.
                let asked = tokio::time::timeout(SERVER_TIMEOUT, server.both_families(name)).await;
                match asked.unwrap_or(Err(NetError::Timeout)) {
                    Ok(found) => {
                        asking.is_answered = true;
                        server.silent_at_ms.store(0, Ordering::Relaxed);
                        return Ok(found);
                    }
                    Err(error) => {
                        server.note_silence();
                        failure = error;
                    }
                }
            }
        }
        Err(failure)
    }
}

/// Query of one server. If its caller gives up first, the server counts as silent, so that the next lookup begins with
/// another one.
struct Asking<'a> {
    server: &'a Server,
    begun: Instant,
    is_answered: bool,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if !self.is_answered && self.begun.elapsed() > SILENT_AFTER {
            self.server.note_silence();
        }
    }
}

impl Server {
    fn new(server: NameServerConfig, mut options: ResolverOpts) -> Option<Self> {
        options.timeout = options.timeout.min(SERVER_TIMEOUT);
        options.attempts = 1;
        options.cache_size = CACHED_MAX;
        options.use_hosts_file = ResolveHosts::Never; // `System` reads it once for all servers
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = builder.with_options(options).build().ok()?;
        Some(Self { resolver, silent_at_ms: AtomicU64::new(0), epoch: Instant::now() })
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    fn note_silence(&self) {
        self.silent_at_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    fn is_demoted(&self) -> bool {
        let at = self.silent_at_ms.load(Ordering::Relaxed);
        at > 0 && Duration::from_millis(self.now_ms().saturating_sub(at)) < DEMOTED_FOR
    }

    /// Queries IPv6 and IPv4 addresses. Returns IPv6 first. Fails only if no usable answer arrived.
    async fn both_families(&self, name: &Name) -> Result<Vec<IpAddr>, NetError> {
        let six = Box::pin(self.resolver.lookup(name.clone(), RecordType::AAAA));
        let four = Box::pin(self.resolver.lookup(name.clone(), RecordType::A));
        let (six, four) = match select(six, four).await {
            Either::Left((six, four)) => {
                let six = into_addresses(six);
                let four = second_family(&six, four).await;
                (six, four)
            }
            Either::Right((four, six)) => {
                let four = into_addresses(four);
                (second_family(&four, six).await, four)
            }
        };
        match (six, four) {
            (Err(error), Err(_)) => Err(error),
            // One family failed and the other has no addresses: such an answer is not reliable.
            (Err(error), Ok(none)) | (Ok(none), Err(error)) if none.is_empty() => Err(error),
            (six, four) => Ok(six.unwrap_or_default().into_iter().chain(four.unwrap_or_default()).collect()),
        }
    }
}

type LookupResult = Result<Vec<IpAddr>, NetError>;

/// Answer of the second family. If the first has addresses, waits only [`OTHER_FAMILY_WAIT`].
async fn second_family(
    first: &LookupResult,
    second: impl Future<Output = Result<Lookup, NetError>>,
) -> LookupResult {
    if first.as_ref().is_ok_and(|found| !found.is_empty()) {
        let second = tokio::time::timeout(OTHER_FAMILY_WAIT, second).await;
        return second.map_or(Err(NetError::Timeout), into_addresses);
    }
    into_addresses(second.await)
}

fn into_addresses(outcome: Result<Lookup, NetError>) -> LookupResult {
    match outcome {
        Ok(lookup) => Ok(addresses(&lookup).collect()),
        Err(error) if error.is_no_records_found() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

pub(super) fn addresses(lookup: &Lookup) -> impl Iterator<Item = IpAddr> + use<> {
    let found: Vec<IpAddr> = lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect();
    found.into_iter()
}
