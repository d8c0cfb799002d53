//! Comparison of the hashes of ledgers with Horizon's.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use tracing::{debug, warn};

use super::reports::LakeReports;
use crate::{
    actors::{lake_timeouts::LakeTimeouts, trace::context::TraceContext},
    clock::SharedClock,
    domain::plain_text::excerpt,
    horizon::{HorizonClient, budget::Class},
    published::HashCheck,
};

/// Longest wait for an answer of Horizon. Ledgers that prove themselves are stored without it. A request that may wait
/// for its turn in the budget has this time twice: for its turn, and for the answer.
pub const HASH_TIMEOUT: Duration = Duration::from_secs(10);
/// First wait before Horizon is asked again for a ledger that it does not have yet.
const LACKED_RETRY: Duration = Duration::from_secs(2);
/// Longest such wait for a ledger that is not stored without an answer.
const URGENT_RETRY_MAX: Duration = Duration::from_secs(5);
/// Further requests for a ledger of the past that Horizon does not have.
const FURTHER_REQUESTS_MAX: u32 = 3;

/// Comparison of hashes with Horizon's, for one actor. Clones share what they know of Horizon.
#[derive(Clone)]
pub struct HashChecker {
    horizon: HorizonClient,
    /// True if hashes are compared at all.
    is_enabled: bool,
    /// Waits before Horizon is asked again.
    timeouts: LakeTimeouts,
    clock: SharedClock,
    reports: LakeReports,
    /// Time of the last request that Horizon did not answer. A restart of the actor keeps it, because Horizon needs the
    /// pause all the same.
    unanswered_at: Rc<Cell<Option<Instant>>>,
    /// New ledger that Horizon did not have when it was last asked. A restart of the actor keeps it, because each
    /// attempt costs a request of the budget.
    lacked: Rc<Cell<Option<Lacked>>>,
}

/// Outcome of the question whether Horizon has a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashAtHorizon {
    /// It has the hash.
    Has,
    /// It lacks the ledger.
    Lacks,
    /// It did not answer.
    NoAnswer,
    /// It was not asked: the budget gave no turn, Horizon was silent a moment ago, or hashes are not compared.
    NotAsked,
}

/// Ledger that Horizon does not have yet.
#[derive(Clone, Copy, Debug)]
struct Lacked {
    ledger: u32,
    /// Time of the last request.
    asked_at: Instant,
    /// Wait before the next request.
    wait: Duration,
}

impl Lacked {
    /// Notes a request in vain. After one that was in vain too, the wait doubles, up to `wait_max`.
    fn again(last: Option<Self>, ledger: u32, wait_max: Duration, now: Instant) -> Self {
        let wait = last.map_or(LACKED_RETRY, |last| last.wait * 2);
        Self { ledger, asked_at: now, wait: wait.min(wait_max) }
    }

    /// True before the end of the wait, which is shorter if the next request is urgent.
    fn must_wait(self, is_urgent: bool, now: Instant) -> bool {
        let wait = if is_urgent { self.wait.min(URGENT_RETRY_MAX) } else { self.wait };
        now.saturating_duration_since(self.asked_at) < wait
    }
}

impl HashChecker {
    /// Creates a checker, which leaves every hash unchecked unless it is enabled.
    pub(super) fn new(
        horizon: HorizonClient,
        is_enabled: bool,
        timeouts: LakeTimeouts,
        clock: SharedClock,
        reports: LakeReports,
    ) -> Self {
        let (unanswered_at, lacked) = (Rc::default(), Rc::default());
        Self { horizon, is_enabled, timeouts, clock, reports, unanswered_at, lacked }
    }

    /// Same checker whose requests are caused by this step.
    #[must_use]
    pub fn caused_by(&self, cause: &TraceContext) -> Self {
        Self { horizon: self.horizon.caused_by(cause), ..self.clone() }
    }

    /// True if hashes are compared with Horizon's.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// True if Horizon did not answer a moment ago.
    #[must_use]
    pub fn is_horizon_silent(&self) -> bool {
        self.unanswered_at.get().is_some_and(|at| at.elapsed() < self.timeouts.hash_unanswered)
    }

    /// Compares the hash of a ledger with Horizon's, if that is wanted. If Horizon does not answer or does not have the
    /// ledger, the hash stays unchecked.
    pub async fn check(&self, sequence: u32, lake_hash: &str, class: Class) -> HashCheck {
        if !self.is_enabled || self.is_horizon_silent() {
            return HashCheck::Unchecked;
        }
        self.compare(sequence, lake_hash, class).await
    }

    /// Compares the hash of a new ledger with Horizon's. A ledger that Horizon lacks is asked for again, and later ones
    /// with it, after growing waits: each attempt costs a request of the budget. If it is urgent, because the ledger
    /// is not stored without an answer, the waits stay short, also after a request that Horizon did not answer.
    pub async fn check_new(&self, sequence: u32, lake_hash: &str, is_urgent: bool) -> HashCheck {
        if !self.is_enabled || self.is_horizon_silent() && !is_urgent {
            return HashCheck::Unchecked;
        }
        let lacked = self.lacked.get().filter(|lacked| sequence >= lacked.ledger);
        if lacked.is_some_and(|lacked| lacked.must_wait(is_urgent, Instant::now())) {
            return HashCheck::Unchecked;
        }
        let check = self.compare(sequence, lake_hash, Class::Live).await;
        let is_lacked = check == HashCheck::Unchecked;
        let wait_max = self.timeouts.hash_lacked;
        self.lacked.set(is_lacked.then(|| Lacked::again(lacked, sequence, wait_max, Instant::now())));
        self.reports.note_new_hash_check(check);
        check
    }

    /// Compares the hash of a ledger that Horizon lacked a moment ago, a few times: at a start it may lack the newest.
    pub async fn check_again(&self, sequence: u32, lake_hash: &str) -> HashCheck {
        for _ in 0..FURTHER_REQUESTS_MAX {
            if !self.is_enabled || self.is_horizon_silent() {
                break;
            }
            actix_rt::time::sleep(LACKED_RETRY).await;
            let check = self.check(sequence, lake_hash, Class::Live).await;
            if check != HashCheck::Unchecked {
                return check;
            }
        }
        HashCheck::Unchecked
    }

    /// Asks whether Horizon has the hash of a stored ledger. These requests share the budget of history.
    pub async fn has_hash(&self, sequence: u32) -> HashAtHorizon {
        if !self.is_enabled || self.is_horizon_silent() {
            return HashAtHorizon::NotAsked;
        }
        match self.hash_at_horizon(sequence, Class::History).await {
            Ok(Some(_)) => HashAtHorizon::Has,
            Ok(None) => HashAtHorizon::Lacks,
            Err(Unanswered::Silent) => HashAtHorizon::NoAnswer,
            Err(Unanswered::NoTurn) => HashAtHorizon::NotAsked,
        }
    }

    /// Compares with Horizon's hash, without a look at earlier requests.
    async fn compare(&self, sequence: u32, lake_hash: &str, class: Class) -> HashCheck {
        let found = self.hash_at_horizon(sequence, class).await.ok().flatten();
        let at = self.clock.now();
        let check = match found {
            Some(hash) if hash == lake_hash => HashCheck::Agrees { ledger: sequence, at },
            Some(hash) => {
                let shown = excerpt(&hash, lake_hash.len());
                warn!(ledger = sequence, lake = lake_hash, horizon = &*shown, "hash differs from Horizon's");
                HashCheck::Differs { ledger: sequence, at }
            }
            None => HashCheck::Unchecked,
        };
        self.reports.note_hash_check(check);
        check
    }

    /// Asks Horizon for the hash of a ledger. None if it does not have the ledger.
    async fn hash_at_horizon(&self, sequence: u32, class: Class) -> Result<Option<String>, Unanswered> {
        let admitted_at = Rc::new(Cell::new(None));
        let noted = Rc::clone(&admitted_at);
        let note_turn = move || noted.set(Some(tokio::time::Instant::now()));
        let horizon = self.horizon.of_class(class).once_admitted(note_turn);
        let mut asked = std::pin::pin!(horizon.ledger_hash(sequence));
        let mut answer = tokio::time::timeout(HASH_TIMEOUT, asked.as_mut()).await;
        let may_wait = class != Class::Live;
        if may_wait
            && answer.is_err()
            && let Some(at) = admitted_at.get()
        {
            answer = tokio::time::timeout_at(at + HASH_TIMEOUT, asked.as_mut()).await;
        }
        match answer {
            Ok(Ok(Some(hash))) => Ok(Some(hash)),
            Ok(Ok(None)) => {
                debug!(ledger = sequence, "Horizon does not have the ledger, its hash is not compared");
                Ok(None)
            }
            // A wait for the own budget says nothing about Horizon.
            Err(_) if may_wait && admitted_at.get().is_none() => Err(Unanswered::NoTurn),
            Ok(Err(_)) | Err(_) => {
                self.unanswered_at.set(Some(Instant::now()));
                debug!(ledger = sequence, "Horizon does not answer, the hash is not compared");
                Err(Unanswered::Silent)
            }
        }
    }
}

/// Reason why there is no answer.
enum Unanswered {
    /// Horizon did not answer in time, or with an error.
    Silent,
    /// The budget gave the request no turn in time.
    NoTurn,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        clock::SystemClock,
        horizon::{client::HorizonSettings, rate_limiter::RateLimiter},
    };

    impl HashChecker {
        /// Checker that asks the Horizon at this URL, without a limit on requests.
        pub(in crate::actors) fn of_horizon(url: &str) -> Self {
            checker_of(url, RateLimiter::new(0))
        }
    }

    /// Checker that asks a Horizon where nothing listens.
    fn checker(limiter: RateLimiter) -> HashChecker {
        checker_of("http://127.0.0.1:9", limiter)
    }

    fn checker_of(url: &str, limiter: RateLimiter) -> HashChecker {
        let settings =
            HorizonSettings { url: url.into(), ca_file: None, stream_idle_timeout: Duration::from_secs(60) };
        let horizon = HorizonClient::new(settings, limiter).unwrap();
        let reports = LakeReports::new("file:///lake", Arc::default(), SystemClock::shared());
        HashChecker::new(horizon, true, LakeTimeouts::default(), SystemClock::shared(), reports)
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_a_turn_in_the_budget_says_nothing_about_horizon() {
        let limiter = RateLimiter::new(1);
        limiter.record_refusal(Some(Duration::from_secs(3_000)));
        let hashes = checker(limiter);
        assert_eq!(hashes.has_hash(7).await, HashAtHorizon::NotAsked);
        assert!(!hashes.is_horizon_silent());
    }

    #[actix_rt::test]
    async fn a_request_that_fails_makes_horizon_silent() {
        let hashes = checker(RateLimiter::new(0));
        assert_eq!(hashes.has_hash(7).await, HashAtHorizon::NoAnswer);
        assert!(hashes.is_horizon_silent());
        assert_eq!(hashes.has_hash(7).await, HashAtHorizon::NotAsked);
    }

    #[test]
    fn the_wait_for_a_ledger_that_horizon_lacks_grows_to_half_a_minute() {
        let (mut last, now) = (None, Instant::now());
        let waits = [0; 6].map(|_| {
            let lacked = Lacked::again(last, 7, LakeTimeouts::default().hash_lacked, now);
            last = Some(lacked);
            lacked.wait.as_secs()
        });
        assert_eq!(waits, [2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn an_urgent_request_waits_for_five_seconds_at_most() {
        let asked_at = Instant::now();
        let lacked = Lacked { ledger: 7, asked_at, wait: Duration::from_secs(30) };
        let must_wait =
            |is_urgent, seconds| lacked.must_wait(is_urgent, asked_at + Duration::from_secs(seconds));
        assert_eq!([must_wait(false, 29), must_wait(false, 30)], [true, false]);
        assert_eq!([must_wait(true, 4), must_wait(true, 5)], [true, false]);
    }
}
