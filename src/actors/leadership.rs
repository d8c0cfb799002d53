//! Who may write: the lease as this process knows it, shared by all writers.

use std::{sync::Arc, time::Duration, time::Instant};

use tokio::sync::watch;

use crate::clock::SharedClock;

/// How long a lease lasts in the database.
pub const LEASE_TTL: Duration = Duration::from_secs(6);
/// The leader stops this long before the database would let another one in.
pub const LEASE_MARGIN: Duration = Duration::from_secs(1);

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
