//! Limits on the connections of a listener: idle connections give way to new ones, and no address can take all.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::connection::{CloseReason, Connection};

/// Eighths of the connections that are closed at once if there are too many, the longest idle first. Closing several at
/// once is cheaper, because finding them requires a look at all connections.
const CLOSED_EIGHTHS: usize = 1;

/// Limits on the number of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionLimits {
    /// Largest number of connections. The listener itself stops accepting at a few more, until some end.
    pub(super) all: usize,
    /// Largest number of connections per IPv4 address or per /64 network of IPv6; none for no limit.
    pub(super) per_address: Option<usize>,
    /// True if the limit per address applies to loopback addresses as well.
    pub(super) limits_loopback: bool,
}

/// Limiter of the connections of one listener.
#[derive(Debug)]
pub(super) struct ConnectionLimiter {
    limits: ConnectionLimits,
    open: Mutex<OpenConnections>,
}

#[derive(Debug, Default)]
struct OpenConnections {
    /// Number for the next connection.
    next: u64,
    /// By number. The origin is none if no limit per address applies.
    all: HashMap<u64, (Arc<Connection>, Option<Origin>)>,
    by_origin: HashMap<Origin, usize>,
}

/// An IPv4 address, or a /64 network of IPv6, which usually belongs to one subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Origin(IpAddr);

impl Origin {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(v4.into()),
            IpAddr::V6(v6) => Self(std::net::Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into()),
        }
    }
}

/// Guard of a registered connection.
#[derive(Debug)]
pub(super) struct Registration {
    limiter: Arc<ConnectionLimiter>,
    number: u64,
    /// Number of connections when it was registered, with itself.
    open: usize,
}

impl Registration {
    /// Returns the number of connections that were open when this one was registered, with itself.
    pub(super) const fn open(&self) -> usize {
        self.open
    }
}

impl ConnectionLimiter {
    /// Returns a limiter without connections.
    pub(super) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self { limits, open: Mutex::default() })
    }

    /// Registers a new connection. If a limit is exceeded, the connections that were idle for longest are cut. If none
    /// is idle, the new one is cut.
    pub(super) fn register(
        limiter: &Arc<Self>,
        connection: &Arc<Connection>,
        address: Option<IpAddr>,
    ) -> Registration {
        let limits = limiter.limits;
        let is_limited = |address: &IpAddr| limits.limits_loopback || !address.to_canonical().is_loopback();
        let origin = address.filter(is_limited).map(Origin::of);
        let mut open = limiter.open();
        let number = open.next;
        open.next += 1;
        let count = open.all.len().saturating_add(1);
        let registration = Registration { limiter: Arc::clone(limiter), number, open: count };
        if let (Some(origin), Some(most)) = (origin, limits.per_address)
            && open.by_origin.get(&origin).is_some_and(|count| *count >= most)
            && !open.make_room(most, CloseReason::Address, |of| of == Some(origin))
        {
            connection.cut(CloseReason::Address);
            return registration;
        }
        if open.all.len() >= limits.all && !open.make_room(limits.all, CloseReason::Full, |_| true) {
            connection.cut(CloseReason::Full);
            return registration;
        }
        open.all.insert(number, (Arc::clone(connection), origin));
        if let Some(origin) = origin {
            *open.by_origin.entry(origin).or_default() += 1;
        }
        registration
    }

    fn open(&self) -> MutexGuard<'_, OpenConnections> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenConnections {
    /// Cuts the longest idle of the connections whose origin `of` accepts. Returns true if one was idle.
    fn make_room(&mut self, most: usize, why: CloseReason, of: impl Fn(Option<Origin>) -> bool) -> bool {
        let idle = self.all.iter().filter(|(_, (_, origin))| of(*origin));
        let mut idle: Vec<(Duration, u64)> = idle
            .filter_map(|(number, (connection, _))| connection.idle_for().map(|idle| (idle, *number)))
            .collect();
        idle.sort_unstable_by(|one, other| other.cmp(one));
        let count = (most * CLOSED_EIGHTHS).div_ceil(8);
        for (_, number) in idle.iter().take(count) {
            if let Some(connection) = self.remove(*number) {
                connection.cut(why);
            }
        }
        !idle.is_empty()
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Connection>> {
        let (connection, origin) = self.all.remove(&number)?;
        if let Some(origin) = origin
            && let Some(count) = self.by_origin.get_mut(&origin)
        {
            *count -= 1;
            if *count == 0 {
                self.by_origin.remove(&origin);
            }
        }
        Some(connection)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // Removes nothing if the connection was cut.
        let _removed = self.limiter.open().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Registers a connection that has been idle for this number of seconds.
    fn register(
        limiter: &Arc<ConnectionLimiter>,
        address: &str,
        idle_s: u64,
    ) -> (Arc<Connection>, Registration) {
        let connection = Connection::idle(Duration::from_secs(idle_s));
        let registration = ConnectionLimiter::register(limiter, &connection, Some(address.parse().unwrap()));
        (connection, registration)
    }

    fn cut(open: &[(Arc<Connection>, Registration)]) -> Vec<usize> {
        let cut = open.iter().enumerate().filter(|(_, (connection, _))| connection.was_cut());
        cut.map(|(place, _)| place).collect()
    }

    #[test]
    fn a_new_connection_replaces_the_one_that_was_idle_for_longest() {
        let limits = ConnectionLimits { all: 4, per_address: None, limits_loopback: true };
        let limiter = ConnectionLimiter::new(limits);
        let mut open: Vec<_> =
            [9, 2, 7, 3].map(|idle_s| register(&limiter, &format!("192.0.2.{idle_s}"), idle_s)).into();
        open[0].0.begin_request();
        open.push(register(&limiter, "192.0.2.99", 0));
        assert_eq!(cut(&open), [2], "the first one is busy");
        drop(open.remove(2));
        for (connection, _) in &open {
            connection.begin_request();
        }
        open.push(register(&limiter, "192.0.2.99", 0));
        assert_eq!(cut(&open), [4], "no connection is idle");
        assert_eq!(limiter.open().all.len(), 4);
        drop(open);
        let left = limiter.open();
        assert!(left.all.is_empty() && left.by_origin.is_empty());
    }

    #[test]
    fn an_address_replaces_only_its_own_connections() {
        let limits = ConnectionLimits { all: 100, per_address: Some(2), limits_loopback: false };
        let limiter = ConnectionLimiter::new(limits);
        let open = [("1", 9), ("2", 5), ("2", 6), ("2", 0)]
            .map(|(host, idle_s)| register(&limiter, &format!("192.0.2.{host}"), idle_s));
        assert_eq!(cut(&open), [2]);
        // The hosts of an IPv6 network count as one, and so do the two forms of an IPv4 address.
        for (address, other) in [("2001:db8::1", "2001:db8::2"), ("192.0.2.7", "::ffff:192.0.2.7")] {
            let same = [
                register(&limiter, address, 2),
                register(&limiter, other, 1),
                register(&limiter, address, 0),
            ];
            assert_eq!(cut(&same), [0], "{address}");
        }
        let others = [register(&limiter, "2001:db8:0:1::1", 0), register(&limiter, "2001:db8:0:2::1", 0)];
        assert!(cut(&others).is_empty());
        let own = [0; 3].map(|idle_s| register(&limiter, "127.0.0.1", idle_s));
        assert!(cut(&own).is_empty(), "connections of an nginx on this machine");
    }
}
