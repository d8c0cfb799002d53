//! The one who hands out requests: the budget, shared by all clients of a Horizon on whatever thread they are.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    budget::{Allowance, Budget, BudgetReport, Class},
    error::HorizonError,
    outage::{Outage, Reachability},
};
use crate::trouble::SharedLimit;

/// The longest that is waited at a time, before it is looked again and said that somebody waits.
const STEP: Duration = Duration::from_secs(1);
/// Lines of the log about single requests that failed, in a minute.
const LINES_A_MINUTE: u32 = 12;

/// The budget of one address, and what all who share it must know of the server. Clones share it.
#[derive(Clone, Debug)]
pub struct RateLimiter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    budget: Mutex<Budget>,
    requests_per_hour: u32,
    /// Connections that broke or were not to be had: behind the next one may be another server.
    disruptions: AtomicU64,
    /// The server is of another network: nothing but its root is asked for.
    wrong_network: AtomicBool,
    /// Reachability of the server.
    reachability: Mutex<Reachability>,
    /// Limit of the log lines about single requests.
    lines: SharedLimit,
    /// Requests for live trades that wait for their turn.
    live_waits: Mutex<LiveWaits>,
}

/// Requests for live trades that wait, and since when none of them went.
#[derive(Debug, Default)]
struct LiveWaits {
    count: u32,
    since: Option<Instant>,
}

/// A request for live trades that waits.
struct LiveWaiting<'a>(&'a RateLimiter);

/// A request's place; given back when its answer has come or it is given up.
#[derive(Debug)]
pub struct Turn(RateLimiter);

/// A look-up of a first asset that waits.
struct FirstWaiting<'a>(&'a RateLimiter);

impl RateLimiter {
    /// A limiter of so many requests an hour; 0 is no limit.
    #[must_use]
    pub fn new(requests_per_hour: u32) -> Self {
        Self(Arc::new(Shared {
            budget: Mutex::new(Budget::new(requests_per_hour, Instant::now())),
            requests_per_hour,
            disruptions: AtomicU64::new(0),
            wrong_network: AtomicBool::new(false),
            reachability: Mutex::default(),
            lines: SharedLimit::new(LINES_A_MINUTE, Duration::from_secs(60)),
            live_waits: Mutex::default(),
        }))
    }

    /// Waits until a request of this class may go; while the server is of another network only [`Class::Live`] does.
    /// Each step of the wait is told: it is no standstill.
    pub async fn admit(&self, class: Class, waiting: impl Fn()) -> Turn {
        let _waiting = (class == Class::FirstAssets).then(|| FirstWaiting::begin(self));
        while class != Class::Live && self.0.wrong_network.load(Ordering::Relaxed) {
            waiting();
            tokio::time::sleep(STEP).await;
        }
        let mut live = None;
        loop {
            let asked = self.budget().try_take(class, Instant::now());
            match asked {
                Ok(()) => {
                    if class == Class::Live {
                        self.live_waits().since = None;
                    }
                    return Turn(self.clone());
                }
                Err(wait) => {
                    if class == Class::Live {
                        live.get_or_insert_with(|| LiveWaiting::begin(self)).go_on();
                    }
                    waiting();
                    tokio::time::sleep(wait.min(STEP)).await;
                }
            }
        }
    }

    /// What a reply's headers tell, before its turn is given back.
    pub fn told(&self, allowance: Allowance) {
        self.budget().told(allowance, Instant::now());
    }

    /// Horizon refused a request for its rate.
    pub fn limited(&self, retry_after: Option<Duration>) {
        self.budget().limited(retry_after, Instant::now());
    }

    /// Horizon answered a request.
    pub fn succeeded(&self) {
        self.budget().succeeded();
    }

    /// The open stream cost requests that nobody asked for.
    pub fn spent(&self, requests: u32) {
        self.budget().spent(requests, Instant::now());
    }

    /// Requests an hour that the operator allows; 0 is no limit.
    #[must_use]
    pub fn requests_per_hour(&self) -> u32 {
        self.0.requests_per_hour
    }

    /// Whether the last 24 hours are held whole.
    pub fn set_day_is_whole(&self, day_is_whole: bool) {
        self.budget().set_day_is_whole(day_is_whole);
    }

    /// A connection broke or was not to be had.
    pub fn disrupted(&self) {
        self.0.disruptions.fetch_add(1, Ordering::Relaxed);
    }

    /// How often that was so: what was known of the server before the last time must be asked again.
    #[must_use]
    pub fn disruptions(&self) -> u64 {
        self.0.disruptions.load(Ordering::Relaxed)
    }

    /// Whether the server is of another network.
    pub fn set_wrong_network(&self, wrong: bool) {
        self.0.wrong_network.store(wrong, Ordering::Relaxed);
    }

    /// A request was answered. `url` is the server's as the log may show it.
    pub fn answered(&self, url: &str) {
        self.reachability().answered(url);
    }

    /// A request failed for a reason that others will fail for as well.
    pub fn failed(&self, url: &str, error: &HorizonError) {
        self.reachability().failed(url, error, Instant::now());
    }

    /// The outage that goes on: requests fail and none is answered.
    #[must_use]
    pub fn outage(&self) -> Option<Outage> {
        self.reachability().outage()
    }

    /// Returns true if any request was ever answered.
    #[must_use]
    pub fn was_answered(&self) -> bool {
        self.reachability().was_answered()
    }

    /// Returns the number of lines left out since the last one if a line about a single request may be written, else none.
    pub fn allow_line(&self, now: Instant) -> Option<u64> {
        self.0.lines.allow(now)
    }

    /// Since when requests for live trades wait and none goes: the budget is used up, or Horizon refuses.
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

    /// How the budget stands.
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
        self.0.budget().ended();
    }
}

impl<'a> LiveWaiting<'a> {
    fn begin(limiter: &'a RateLimiter) -> Self {
        let mut waits = limiter.live_waits();
        waits.count = waits.count.saturating_add(1);
        drop(waits);
        Self(limiter)
    }

    /// It still waits; another one that went may have ended the time since when none does.
    fn go_on(&self) {
        self.0.live_waits().since.get_or_insert_with(Instant::now);
    }
}

impl Drop for LiveWaiting<'_> {
    fn drop(&mut self) {
        let mut waits = self.0.live_waits();
        waits.count = waits.count.saturating_sub(1);
        if waits.count == 0 {
            waits.since = None;
        }
    }
}

impl<'a> FirstWaiting<'a> {
    fn begin(limiter: &'a RateLimiter) -> Self {
        limiter.budget().first_begins_to_wait();
        Self(limiter)
    }
}

impl Drop for FirstWaiting<'_> {
    fn drop(&mut self) {
        self.0.budget().first_waits_no_more();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test]
    async fn it_is_known_since_when_live_requests_wait_and_only_while_they_do() {
        let limiter = RateLimiter::new(1);
        let _first = limiter.admit(Class::Live, || ()).await;
        assert!(limiter.live_waits_since().is_none());
        let waits = Cell::new(false);
        tokio::select! {
            _ = limiter.admit(Class::Live, || waits.set(true)) => panic!("one request an hour"),
            () = async { while !waits.get() { tokio::task::yield_now().await } } => {}
        }
        assert!(limiter.live_waits_since().is_none(), "whoever waited is gone");
        let waiting = limiter.admit(Class::Live, || assert!(limiter.live_waits_since().is_some()));
        assert!(tokio::time::timeout(STEP / 10, waiting).await.is_err());
    }

    #[tokio::test]
    async fn whoever_waits_for_its_turn_says_so_again_and_again() {
        let limiter = RateLimiter::new(1);
        let told = Cell::new(0);
        while told.get() == 0 {
            let turn = tokio::time::timeout(STEP, limiter.admit(Class::Books, || told.set(told.get() + 1)));
            drop(turn.await); // what there is to begin with goes first
        }
        let waits = limiter.admit(Class::Books, || told.set(told.get() + 1));
        tokio::select! {
            _ = waits => panic!("one request an hour"),
            () = async { while told.get() < 3 { tokio::time::sleep(STEP / 10).await } } => {}
        }
    }
}
