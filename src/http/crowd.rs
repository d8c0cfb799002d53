//! All connections of a listener: none of them keeps others out by doing nothing, and no address takes them all.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::connection::{Connection, Cut};

/// Eighths of the connections that are closed at once if there are too many, the longest idle first. Finding them costs a
/// look at all.
const GOING_EIGHTHS: usize = 1;

/// Limits on the number of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// In all. The listener itself stops taking connections at a few more, until some end.
    pub(super) all: usize,
    /// Of one address, or of one /64 network of IPv6; none: as many as there are.
    pub(super) of_address: Option<usize>,
    /// Applies the limit per address to this machine's own addresses as well.
    pub(super) loopback_counts: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Crowd {
    places: Places,
    members: Mutex<Members>,
}

#[derive(Debug, Default)]
struct Members {
    next: u64,
    all: HashMap<u64, (Arc<Connection>, Option<Origin>)>,
    by_origin: HashMap<Origin, usize>,
}

/// An address, or the network that one subscriber of IPv6 has.
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

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Member {
    crowd: Arc<Crowd>,
    number: u64,
}

impl Crowd {
    /// An empty crowd with these limits.
    pub(super) fn new(places: Places) -> Arc<Self> {
        Arc::new(Self { places, members: Mutex::default() })
    }

    /// Adds a new connection. If it is one too many, those that were idle for longest are cut. If none is idle, the new one
    /// is cut.
    pub(super) fn join(crowd: &Arc<Self>, connection: &Arc<Connection>, address: Option<IpAddr>) -> Member {
        let counts = |address: &IpAddr| crowd.places.loopback_counts || !address.to_canonical().is_loopback();
        let origin = address.filter(counts).map(Origin::of);
        let mut members = crowd.members();
        let number = members.next;
        members.next += 1;
        if let (Some(origin), Some(most)) = (origin, crowd.places.of_address)
            && members.by_origin.get(&origin).is_some_and(|count| *count >= most)
            && !members.make_room(most, Cut::Address, |of| of == Some(origin))
        {
            connection.cut(Cut::Address);
            return Member { crowd: Arc::clone(crowd), number };
        }
        if members.all.len() >= crowd.places.all && !members.make_room(crowd.places.all, Cut::Crowd, |_| true)
        {
            connection.cut(Cut::Crowd);
            return Member { crowd: Arc::clone(crowd), number };
        }
        members.all.insert(number, (Arc::clone(connection), origin));
        if let Some(origin) = origin {
            *members.by_origin.entry(origin).or_default() += 1;
        }
        Member { crowd: Arc::clone(crowd), number }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members {
    /// Cuts the longest idle of the connections that `of` picks by their origin. Returns true if there was one.
    fn make_room(&mut self, most: usize, why: Cut, of: impl Fn(Option<Origin>) -> bool) -> bool {
        let idle = self.all.iter().filter(|(_, (_, origin))| of(*origin));
        let mut idle: Vec<(Duration, u64)> = idle
            .filter_map(|(number, (connection, _))| connection.idle_for().map(|idle| (idle, *number)))
            .collect();
        idle.sort_unstable_by(|one, other| other.cmp(one));
        let going = (most * GOING_EIGHTHS).div_ceil(8);
        for (_, number) in idle.iter().take(going) {
            if let Some(connection) = self.leave(*number) {
                connection.cut(why);
            }
        }
        !idle.is_empty()
    }

    fn leave(&mut self, number: u64) -> Option<Arc<Connection>> {
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

impl Drop for Member {
    fn drop(&mut self) {
        // It may have been cut and forgotten already.
        let _left = self.crowd.members().leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Joins with a connection that has been idle for so many seconds.
    fn join(crowd: &Arc<Crowd>, address: &str, idle_s: u64) -> (Arc<Connection>, Member) {
        let connection = Connection::idle(Duration::from_secs(idle_s));
        let member = Crowd::join(crowd, &connection, Some(address.parse().unwrap()));
        (connection, member)
    }

    fn cut(members: &[(Arc<Connection>, Member)]) -> Vec<usize> {
        let cut = members.iter().enumerate().filter(|(_, (connection, _))| connection.was_cut());
        cut.map(|(place, _)| place).collect()
    }

    #[test]
    fn a_new_connection_takes_the_place_of_the_one_that_was_idle_for_longest() {
        let crowd = Crowd::new(Places { all: 4, of_address: None, loopback_counts: true });
        let mut members: Vec<_> =
            [9, 2, 7, 3].map(|idle_s| join(&crowd, &format!("192.0.2.{idle_s}"), idle_s)).into();
        members[0].0.begin_request();
        members.push(join(&crowd, "192.0.2.99", 0));
        assert_eq!(cut(&members), [2], "the first one is busy");
        drop(members.remove(2));
        for (connection, _) in &members {
            connection.begin_request();
        }
        members.push(join(&crowd, "192.0.2.99", 0));
        assert_eq!(cut(&members), [4], "nobody is idle");
        assert_eq!(crowd.members().all.len(), 4);
        drop(members);
        let left = crowd.members();
        assert!(left.all.is_empty() && left.by_origin.is_empty());
    }

    #[test]
    fn an_address_takes_places_from_itself_alone() {
        let crowd = Crowd::new(Places { all: 100, of_address: Some(2), loopback_counts: false });
        let members = [("1", 9), ("2", 5), ("2", 6), ("2", 0)]
            .map(|(host, idle_s)| join(&crowd, &format!("192.0.2.{host}"), idle_s));
        assert_eq!(cut(&members), [2]);
        // The hosts of a network of IPv6 are one subscriber's, and an IPv4 address is one however it is written.
        for (address, other) in [("2001:db8::1", "2001:db8::2"), ("192.0.2.7", "::ffff:192.0.2.7")] {
            let same = [join(&crowd, address, 2), join(&crowd, other, 1), join(&crowd, address, 0)];
            assert_eq!(cut(&same), [0], "{address}");
        }
        let others = [join(&crowd, "2001:db8:0:1::1", 0), join(&crowd, "2001:db8:0:2::1", 0)];
        assert!(cut(&others).is_empty());
        let own = [0; 3].map(|idle_s| join(&crowd, "127.0.0.1", idle_s));
        assert!(cut(&own).is_empty(), "an nginx of ours");
    }
}
