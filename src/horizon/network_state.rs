//! Knowledge of the network that the server belongs to. All clients of a limiter share it.
//!
//! Answers about assets and books do not show their network. So they count only if the root was checked after the
//! connection was opened that brought them. An actor of the daemon checks it when such an answer waits, and now and
//! then. A command that runs alone checks it once at its start.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// Longest single wait for a check before progress is reported.
const STEP: Duration = Duration::from_secs(1);

/// Verdict about the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkVerdict {
    /// No root was read yet.
    Unknown,
    /// The last check found the configured network.
    Right,
    /// The last check found another network, or one that was reset.
    Wrong,
}

/// Knowledge of the server's network.
#[derive(Debug)]
pub(super) struct NetworkState {
    known: Mutex<Known>,
    /// Notified after each check.
    checked: Notify,
    /// Notified when an answer waits for a check.
    wanted: Notify,
}

#[derive(Debug)]
struct Known {
    /// True if an actor checks the network repeatedly. Otherwise nothing waits for a check.
    is_watched: bool,
    /// Connections that were opened or broken so far. Each may lead to another server.
    doubts: u64,
    /// Doubts at the beginning of the last check.
    settled: u64,
    /// Time of the last check, or of the start.
    checked_at: Instant,
    verdict: NetworkVerdict,
    /// True if something waits for a check.
    is_wanted: bool,
}

impl NetworkState {
    pub(super) fn new(now: Instant) -> Self {
        let known = Known {
            is_watched: false,
            doubts: 0,
            settled: 0,
            checked_at: now,
            verdict: NetworkVerdict::Unknown,
            is_wanted: false,
        };
        Self { known: Mutex::new(known), checked: Notify::new(), wanted: Notify::new() }
    }

    /// Records that an actor checks the network repeatedly from now on.
    pub(super) fn set_watched(&self) {
        self.known().is_watched = true;
    }

    /// Records a connection that was opened or broken.
    pub(super) fn add_doubt(&self) {
        let mut known = self.known();
        known.doubts = known.doubts.saturating_add(1);
    }

    /// Number of connections that were opened or broken so far.
    pub(super) fn doubts(&self) -> u64 {
        self.known().doubts
    }

    /// Records a check of the root that began when there were so many doubts.
    pub(super) fn record_check(&self, doubts: u64, is_wrong: bool, now: Instant) {
        let mut known = self.known();
        known.settled = doubts;
        known.checked_at = now;
        known.verdict = if is_wrong { NetworkVerdict::Wrong } else { NetworkVerdict::Right };
        known.is_wanted &= known.doubts != doubts;
        drop(known);
        self.checked.notify_waiters();
    }

    /// Result of the last check.
    pub(super) fn verdict(&self) -> NetworkVerdict {
        self.known().verdict
    }

    /// Returns true if the root must be read: something waits for that, the network was a wrong one, or the last
    /// check is older than `every`.
    pub(super) fn is_check_due(&self, every: Duration, now: Instant) -> bool {
        let known = self.known();
        let is_old = now.saturating_duration_since(known.checked_at) >= every;
        known.is_wanted || known.verdict == NetworkVerdict::Wrong || is_old
    }

    /// Waits until something waits for a check.
    pub(super) async fn check_is_wanted(&self) {
        self.wanted.notified().await;
    }

    /// Waits until a request may be sent that the network matters to. With `is_unchecked` its answer does not show
    /// the network, so the first check must be over.
    pub(super) async fn admits(&self, is_unchecked: bool, waiting: impl Fn()) {
        self.until(waiting, |known| match known.verdict {
            NetworkVerdict::Right => Some(()),
            NetworkVerdict::Wrong => None,
            NetworkVerdict::Unknown => (!known.is_watched || !is_unchecked).then_some(()),
        })
        .await;
    }

    /// Waits until the root was checked after all that was received before this call. Returns true if the network was
    /// the right one.
    pub(super) async fn is_right(&self, waiting: impl Fn()) -> bool {
        let needed = self.doubts();
        self.until(waiting, |known| {
            if !known.is_watched {
                return Some(true);
            }
            let is_settled = known.settled >= needed;
            (is_settled && known.verdict != NetworkVerdict::Unknown)
                .then_some(known.verdict == NetworkVerdict::Right)
        })
        .await
    }

    /// Waits until the check has an answer.
    async fn until<T>(&self, waiting: impl Fn(), answer: impl Fn(&Known) -> Option<T>) -> T {
        loop {
            // Before the look, so that a check in between is not lost.
            let checked = self.checked.notified();
            if let Some(answer) = self.answer_or_wish(&answer) {
                return answer;
            }
            self.wanted.notify_one();
            waiting();
            let _ = tokio::time::timeout(STEP, checked).await;
        }
    }

    /// Returns the answer, or notes that a check is wanted.
    fn answer_or_wish<T>(&self, answer: impl Fn(&Known) -> Option<T>) -> Option<T> {
        let mut known = self.known();
        let answer = answer(&known);
        known.is_wanted |= answer.is_none();
        answer
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const EVERY: Duration = Duration::from_secs(120);

    /// State that an actor watches, after a check that found the right network.
    fn checked(now: Instant) -> NetworkState {
        let state = NetworkState::new(now);
        state.set_watched();
        state.record_check(state.doubts(), false, now);
        state
    }

    #[tokio::test]
    async fn nothing_waits_in_a_command_unless_the_network_is_a_wrong_one() {
        let state = NetworkState::new(Instant::now());
        assert_eq!(state.admits(true, || ()).now_or_never(), Some(()));
        state.add_doubt();
        assert_eq!(state.is_right(|| ()).now_or_never(), Some(true));
        state.record_check(state.doubts(), true, Instant::now());
        assert_eq!(state.admits(false, || ()).now_or_never(), None);
    }

    #[tokio::test]
    async fn an_answer_that_does_not_show_its_network_waits_for_the_first_check() {
        let state = NetworkState::new(Instant::now());
        state.set_watched();
        assert_eq!(state.admits(false, || ()).now_or_never(), Some(()), "its user checks the network");
        assert_eq!(state.admits(true, || ()).now_or_never(), None);
        state.record_check(0, false, Instant::now());
        assert_eq!(state.admits(true, || ()).now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn an_answer_of_a_new_connection_waits_for_a_check_that_began_after_it() {
        let now = Instant::now();
        let state = checked(now);
        let begun = state.doubts();
        state.add_doubt();
        assert!(!state.is_check_due(EVERY, now));
        assert_eq!(state.is_right(|| ()).now_or_never(), None);
        assert!(state.is_check_due(EVERY, now), "an answer waits");
        state.record_check(begun, false, now);
        assert!(state.is_check_due(EVERY, now), "that check began too early");
        assert_eq!(state.is_right(|| ()).now_or_never(), None);
        state.record_check(state.doubts(), false, now);
        assert_eq!(state.is_right(|| ()).now_or_never(), Some(true));
        assert!(!state.is_check_due(EVERY, now));
    }

    #[tokio::test]
    async fn a_wrong_network_is_checked_again_until_it_is_the_right_one() {
        let now = Instant::now();
        let state = checked(now);
        state.record_check(0, true, now);
        assert_eq!(state.is_right(|| ()).now_or_never(), Some(false));
        assert_eq!(state.admits(true, || ()).now_or_never(), None);
        assert!(state.is_check_due(EVERY, now));
        state.record_check(0, false, now);
        assert_eq!(state.admits(true, || ()).now_or_never(), Some(()));
        assert!(!state.is_check_due(EVERY, now));
        assert!(state.is_check_due(EVERY, now + EVERY), "now and then");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_reports_progress_and_ends_with_the_check() {
        let state = checked(Instant::now());
        state.add_doubt();
        let reported = std::cell::Cell::new(0);
        let waits = state.is_right(|| reported.set(reported.get() + 1));
        let check = async {
            state.check_is_wanted().await;
            tokio::time::sleep(STEP * 3).await;
            state.record_check(state.doubts(), false, Instant::now());
        };
        let (is_right, ()) = tokio::join!(waits, check);
        assert!(is_right && reported.get() >= 3);
    }
}
