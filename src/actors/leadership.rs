//! Who may write: the lease as this process knows it, shared by all writers.

use std::{sync::Arc, time::Duration, time::Instant};

use tokio::sync::watch;

use crate::clock::SharedClock;

/// How the lease is kept. Tests of take-overs use a faster set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    /// How long a lease lasts in the database.
    pub ttl: Duration,
    /// The leader stops this long before the database would let another one in.
    pub margin: Duration,
    /// How often the leader renews it.
    pub renew_every: Duration,
    /// How often a follower asks for it: one that was given back shall find a new holder at once.
    pub ask_every: Duration,
}

impl LeaseTerms {
    /// Terms in the usual proportions to a time to live.
    #[must_use]
    pub const fn of(ttl: Duration) -> Self {
        let ask_every = Duration::from_millis(250);
        Self { ttl, margin: divided(ttl, 6), renew_every: divided(ttl, 3), ask_every }
    }
}

/// A part of a time.
const fn divided(time: Duration, by: u32) -> Duration {
    match time.checked_div(by) {
        Some(part) => part,
        None => time,
    }
}

impl Default for LeaseTerms {
    /// Six seconds.
    fn default() -> Self {
        Self::of(Duration::from_secs(6))
    }
}

/// A lease that was held when it was last asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its number; every write is fenced by it.
    pub epoch: i64,
    /// Until when this process may act on it, by its own monotonic clock.
    pub until: Instant,
}

/// The lease as this process knows it. Cloned to every writer; only the lease keeper writes it.
#[derive(Clone, Debug)]
pub struct Leadership {
    lease: Arc<watch::Sender<Option<Lease>>>,
    clock: SharedClock,
}

impl Leadership {
    /// Nobody's, so far.
    #[must_use]
    pub fn new(clock: SharedClock) -> Self {
        Self { lease: Arc::new(watch::Sender::new(None)), clock }
    }

    /// The epoch to write under; none while another replica leads or nobody knows.
    #[must_use]
    pub fn epoch(&self) -> Option<i64> {
        let lease = *self.lease.borrow();
        lease.filter(|lease| self.clock.monotonic() < lease.until).map(|lease| lease.epoch)
    }

    /// What is known of the lease changed.
    pub fn set(&self, lease: Option<Lease>) {
        self.lease.send_replace(lease);
    }

    /// Comes back once this replica leads or the time is over, with the epoch in the first case.
    pub async fn epoch_within(&self, patience: Duration) -> Option<i64> {
        let mut lease = self.lease.subscribe();
        let led = async {
            while self.epoch().is_none() {
                if lease.changed().await.is_err() {
                    std::future::pending::<()>().await; // the keeper is gone for good: nobody leads here again
                }
            }
        };
        let _ = tokio::time::timeout(patience, led).await;
        self.epoch()
    }
}
