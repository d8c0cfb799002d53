//! The one who hands out requests: the budget, shared by all clients of a Horizon on whatever thread they are.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::budget::{Allowance, Budget, BudgetReport, Class};

/// The budget of one address. Clones share it.
#[derive(Clone, Debug)]
pub struct Governor(Arc<Mutex<Budget>>);

/// A request's place; given back when its answer has come or it is given up.
#[derive(Debug)]
pub struct Turn(Governor);

/// A look-up of a first asset that waits.
struct FirstWaiting<'a>(&'a Governor);

impl Governor {
    /// A governor of so many requests an hour; 0 is no limit.
    #[must_use]
    pub fn new(requests_per_hour: u32) -> Self {
        Self(Arc::new(Mutex::new(Budget::new(requests_per_hour, Instant::now()))))
    }

    /// Waits until a request of this class may go.
    pub async fn admit(&self, class: Class) -> Turn {
        let _waiting = (class == Class::FirstAssets).then(|| FirstWaiting::begin(self));
        loop {
            let asked = self.budget().try_take(class, Instant::now());
            match asked {
                Ok(()) => return Turn(self.clone()),
                Err(wait) => tokio::time::sleep(wait).await,
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

    /// Whether the last 24 hours are held whole.
    pub fn set_day_is_whole(&self, day_is_whole: bool) {
        self.budget().set_day_is_whole(day_is_whole);
    }

    /// How the budget stands.
    #[must_use]
    pub fn report(&self) -> BudgetReport {
        self.budget().report(Instant::now())
    }

    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.budget().ended();
    }
}

impl<'a> FirstWaiting<'a> {
    fn begin(governor: &'a Governor) -> Self {
        governor.budget().first_begins_to_wait();
        Self(governor)
    }
}

impl Drop for FirstWaiting<'_> {
    fn drop(&mut self) {
        self.0.budget().first_waits_no_more();
    }
}
