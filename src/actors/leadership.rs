//! The lease as this process knows it, shared by all writers. Only the holder may write.

use std::{sync::Arc, time::Duration, time::Instant};

use tokio::sync::watch;

use crate::clock::SharedClock;

/// Times of the lease. Tests of take-overs use shorter ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    /// Duration of the lease in the database.
    pub ttl: Duration,
    /// Time before the lease's end at which the leader stops writing.
    pub margin: Duration,
    /// Interval at which the leader renews the lease.
    pub renew_every: Duration,
    /// Interval at which a follower asks for the lease. Short, so that a released lease finds a new holder at once.
    pub ask_every: Duration,
    /// Time for which the database must show that it is not the one of the start, before this process ends. Longer than
    /// `start-over` and the migrations of an empty database take.
    pub unfit_after: Duration,
    /// Time for which a leader must fail to read new trades, before another replica may take the lease from it.
    pub blind_after: Duration,
}

/// Usual time for which a leader must fail to read new trades, before another replica may take over. A take-over costs
/// little, but an outage of a minute mostly ends by itself, and mostly concerns all replicas.
const BLIND_AFTER: Duration = Duration::from_secs(60);

impl LeaseTerms {
    /// Returns terms in the usual proportions to a time to live.
    #[must_use]
    pub const fn of(ttl: Duration) -> Self {
        let ask_every = Duration::from_millis(250);
        let (unfit_after, blind_after) = (ttl.saturating_mul(2), BLIND_AFTER);
        Self {
            ttl,
            margin: divided(ttl, 6),
            renew_every: divided(ttl, 3),
            ask_every,
            unfit_after,
            blind_after,
        }
    }
}

/// Divides a duration in a const context.
const fn divided(time: Duration, by: u32) -> Duration {
    match time.checked_div(by) {
        Some(part) => part,
        None => time,
    }
}

impl Default for LeaseTerms {
    /// Terms of a lease of six seconds.
    fn default() -> Self {
        Self::of(Duration::from_secs(6))
    }
}

/// A lease that was held when it was last asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Epoch of the lease. Every write is fenced by it.
    pub epoch: i64,
    /// End of the right to write, on this process's monotonic clock.
    pub until: Instant,
}

/// The lease as this process knows it. Every writer has a clone; only the lease keeper writes it.
#[derive(Clone, Debug)]
pub struct Leadership {
    lease: Arc<watch::Sender<Option<Lease>>>,
    clock: SharedClock,
}

impl Leadership {
    /// Creates a leadership without a lease.
    #[must_use]
    pub fn new(clock: SharedClock) -> Self {
        Self { lease: Arc::new(watch::Sender::new(None)), clock }
    }

    /// Returns the epoch to write under; none if another replica leads or the lease has run out.
    #[must_use]
    pub fn epoch(&self) -> Option<i64> {
        let lease = *self.lease.borrow();
        lease.filter(|lease| self.clock.monotonic() < lease.until).map(|lease| lease.epoch)
    }

    /// Stores what is known of the lease now. Called by the lease keeper.
    pub fn set(&self, lease: Option<Lease>) {
        self.lease.send_replace(lease);
    }

    /// Waits until this replica leads, for at most `patience`. Returns the epoch, or none after that time.
    pub async fn epoch_within(&self, patience: Duration) -> Option<i64> {
        let mut lease = self.lease.subscribe();
        let led = async {
            while self.epoch().is_none() {
                if lease.changed().await.is_err() {
                    std::future::pending::<()>().await; // the keeper is gone: this process never leads again
                }
            }
        };
        let _ = tokio::time::timeout(patience, led).await;
        self.epoch()
    }
}
