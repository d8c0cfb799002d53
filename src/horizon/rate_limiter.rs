//! Rate limiter: the request budget, shared by all clients of a Horizon across threads.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    budget::{Allowance, Budget, BudgetReport, Class},
    error::HorizonError,
    network_state::{NetworkState, NetworkVerdict},
    outage::{Outage, Reachability},
};
use crate::trouble::SharedLimit;

/// Longest single sleep before the budget is checked again and progress is reported.
const STEP: Duration = Duration::from_secs(1);
/// Maximum number of log lines per minute about single failed requests.
const LINES_A_MINUTE: u32 = 12;

/// Request budget of one address, and the shared state of the server. Clones share it.
#[derive(Clone, Debug)]
pub struct RateLimiter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Token buckets.
    budget: Mutex<Budget>,
    /// Requests per hour that the operator allows. 0 means no limit.
    requests_per_hour: u32,
    /// Connections that broke or could not be opened. The next connection may lead to another server.
    disruptions: AtomicU64,
    /// Network of the server. If it is another one, only its root is requested.
    network: NetworkState,
    /// Reachability of the server.
    reachability: Mutex<Reachability>,
    /// Limit on log lines about single requests.
    lines: SharedLimit,
    /// Waiting requests for live trades.
    live_waits: Mutex<LiveWaits>,
}

/// Waiting requests for live trades.
#[derive(Debug, Default)]
struct LiveWaits {
    /// Number of waiting requests.
    count: u32,
    /// Start of the time in which none of them was admitted.
    since: Option<Instant>,
}

/// Guard of a waiting request for live trades.
struct LiveWaiting<'a>(&'a RateLimiter);

/// Admission of a request. Dropped when its response head arrives or it is abandoned.
#[derive(Debug)]
pub struct Turn(RateLimiter);

/// Guard of a waiting look-up of a first asset.
struct FirstWaiting<'a>(&'a RateLimiter);

impl RateLimiter {
    /// Limiter of this many requests per hour. 0 means no limit.
    #[must_use]
    pub fn new(requests_per_hour: u32) -> Self {
        Self(Arc::new(Shared {
            budget: Mutex::new(Budget::new(requests_per_hour, Instant::now())),
            requests_per_hour,
            disruptions: AtomicU64::new(0),
            network: NetworkState::new(Instant::now()),
            reachability: Mutex::default(),
            lines: SharedLimit::new(LINES_A_MINUTE, Duration::from_secs(60)),
            live_waits: Mutex::default(),
        }))
    }

    /// Waits until a request of this class may be sent. If the server belongs to another network, only [`Class::Live`]
    /// may. Classes whose answers do not show their network also wait for the first check.
    ///
    /// Calls `waiting` before each sleep, so that the supervisor sees progress.
    pub async fn admit(&self, class: Class, waiting: impl Fn()) -> Turn {
        let _waiting = (class == Class::FirstAssets).then(|| FirstWaiting::begin(self));
        if class != Class::Live {
            self.0.network.admits(class.needs_network_check(), &waiting).await;
        }
        let mut live = None;
        loop {
            let admission = self.budget().try_take(class, Instant::now());
            match admission {
                Ok(()) => {
                    if class == Class::Live {
                        // This admission ends the time without any.
                        self.live_waits().since = None;
                    }
                    return Turn(self.clone());
                }
                Err(wait) => {
                    if class == Class::Live {
                        live.get_or_insert_with(|| LiveWaiting::begin(self)).keep_waiting();
                    }
                    waiting();
                    tokio::time::sleep(wait.min(STEP)).await;
                }
            }
        }
    }

    /// Records the allowance that a reply reported. Call it before the request's turn is dropped.
    pub fn record_allowance(&self, allowance: Allowance) {
        self.budget().record_allowance(allowance, Instant::now());
    }

    /// Records a refusal (429).
    pub fn record_refusal(&self, retry_after: Option<Duration>) {
        self.budget().record_refusal(retry_after, Instant::now());
    }

    /// Records an answered request.
    pub fn record_success(&self) {
        self.budget().record_success();
    }

    /// Charges requests that the open stream cost without an admission.
    pub fn charge(&self, requests: u32) {
        self.budget().charge(requests, Instant::now());
    }

    /// Requests per hour that the operator allows. 0 means no limit.
    #[must_use]
    pub fn requests_per_hour(&self) -> u32 {
        self.0.requests_per_hour
    }

    /// Sets whether the last 24 hours are complete.
    pub fn set_day_complete(&self, is_day_complete: bool) {
        self.budget().set_day_complete(is_day_complete);
    }

    /// Records a connection that broke or could not be opened.
    pub fn record_disruption(&self) {
        self.0.disruptions.fetch_add(1, Ordering::Relaxed);
        self.0.network.add_doubt();
    }

    /// Number of disruptions so far. Knowledge of the server from before the last one must be requested again.
    #[must_use]
    pub fn disruptions(&self) -> u64 {
        self.0.disruptions.load(Ordering::Relaxed)
    }

    /// Records that an actor checks the network repeatedly. From now on requests and answers wait for its checks.
    pub fn expect_network_checks(&self) {
        self.0.network.set_watched();
    }

    /// Number of connections that were opened or broken so far, for [`Self::record_network_check`].
    #[must_use]
    pub fn network_doubts(&self) -> u64 {
        self.0.network.doubts()
    }

    /// Records what the root says about the network. `doubts` is their number before it was requested.
    pub fn record_network_check(&self, doubts: u64, is_wrong: bool) {
        self.0.network.record_check(doubts, is_wrong, Instant::now());
    }

    /// Result of the last check of the network, by any client.
    #[must_use]
    pub fn network_verdict(&self) -> NetworkVerdict {
        self.0.network.verdict()
    }

    /// Returns true if the root must be read, because something waits for that or the last check is older than
    /// `every`.
    #[must_use]
    pub fn is_network_check_due(&self, every: Duration) -> bool {
        self.0.network.is_check_due(every, Instant::now())
    }

    /// Waits until something waits for a check of the network.
    pub async fn network_check_is_wanted(&self) {
        self.0.network.check_is_wanted().await;
    }

    /// Records a connection that may lead to another server.
    pub(super) fn record_new_connection(&self) {
        self.0.network.add_doubt();
    }

    /// Waits until the network was checked after all that was received so far. Returns true if it was the right one.
    pub(super) async fn is_right_network(&self, waiting: impl Fn()) -> bool {
        self.0.network.is_right(waiting).await
    }

    /// Records an answered request. `url` must be free of secrets: it is logged.
    pub fn record_answer(&self, url: &str) {
        self.reachability().record_answer(url);
    }

    /// Records a request that failed for a reason that affects others too.
    pub fn record_failure(&self, url: &str, error: &HorizonError) {
        self.reachability().record_failure(url, error, Instant::now());
    }

    /// Current outage: requests fail and none is answered.
    #[must_use]
    pub fn outage(&self) -> Option<Outage> {
        self.reachability().outage()
    }

    /// Returns true if any request was ever answered.
    #[must_use]
    pub fn was_answered(&self) -> bool {
        self.reachability().was_answered()
    }

    /// Returns the number of log lines suppressed since the last one if a line about a single request may be written
    /// now, else `None`.
    pub fn allow_line(&self, now: Instant) -> Option<u64> {
        self.0.lines.allow(now)
    }

    /// Start of the time in which requests for live trades wait and none is admitted. The budget is used up, or Horizon
    /// refuses requests.
    #[must_use]
    pub fn live_waits_since(&self) -> Option<Instant> {
        self.live_waits().since
    }

    fn reachability(&self) -> MutexGuard<'_, Reachability> {
        self.0.reachability.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live_waits(&self) -> MutexGuard<'_, LiveWaits> {
        self.0.live_waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Current state of the budget.
    #[must_use]
    pub fn report(&self) -> BudgetReport {
        self.budget().report(Instant::now())
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.0.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.budget().record_end();
    }
}

impl<'a> LiveWaiting<'a> {
    fn begin(limiter: &'a RateLimiter) -> Self {
        let mut waits = limiter.live_waits();
        waits.count = waits.count.saturating_add(1);
        drop(waits);
        Self(limiter)
    }

    /// Restarts the waiting time if another request's admission ended it.
    fn keep_waiting(&self) {
        self.0.live_waits().since.get_or_insert_with(Instant::now);
    }
}

impl Drop for LiveWaiting<'_> {
    fn drop(&mut self) {
        let mut waits = self.0.live_waits();
        waits.count = waits.count.saturating_sub(1);
        // The last waiting request is gone, admitted or abandoned.
        if waits.count == 0 {
            waits.since = None;
        }
    }
}

impl<'a> FirstWaiting<'a> {
    fn begin(limiter: &'a RateLimiter) -> Self {
        limiter.budget().begin_first_assets_wait();
        Self(limiter)
    }
}

impl Drop for FirstWaiting<'_> {
    fn drop(&mut self) {
        self.0.budget().end_first_assets_wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test]
    async fn reports_since_when_live_requests_wait_and_only_while_they_do() {
        let limiter = RateLimiter::new(1);
        let _first = limiter.admit(Class::Live, || ()).await;
        assert!(limiter.live_waits_since().is_none());
        let waits = Cell::new(false);
        tokio::select! {
            _ = limiter.admit(Class::Live, || waits.set(true)) => panic!("one request an hour"),
            () = async { while !waits.get() { tokio::task::yield_now().await } } => {}
        }
        assert!(limiter.live_waits_since().is_none(), "no request waits any more");
        let waiting = limiter.admit(Class::Live, || assert!(limiter.live_waits_since().is_some()));
        assert!(tokio::time::timeout(STEP / 10, waiting).await.is_err());
    }

    #[tokio::test]
    async fn a_waiting_request_reports_progress_repeatedly() {
        let limiter = RateLimiter::new(1);
        let reports = Cell::new(0);
        while reports.get() == 0 {
            let turn =
                tokio::time::timeout(STEP, limiter.admit(Class::Books, || reports.set(reports.get() + 1)));
            drop(turn.await); // uses up the initial tokens first
        }
        let waits = limiter.admit(Class::Books, || reports.set(reports.get() + 1));
        tokio::select! {
            _ = waits => panic!("one request an hour"),
            () = async { while reports.get() < 3 { tokio::time::sleep(STEP / 10).await } } => {}
        }
    }
}
