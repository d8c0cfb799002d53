//! Readiness for the first publication, as a state machine. Pure: callers pass the instants.
//!
//! ```text
//! Loading ──windows loaded──> Validating ──traded assets looked up──> Publishing
//!    └─────windows loaded, assets looked up in an earlier run──────────────^
//! ```
//!
//! A publication before the assets are looked up would hold an empty list of pairs, though there are valid ones. From
//! any state, `patience` after the start leads to `Publishing`.

use std::time::{Duration, Instant};

/// Readiness of one incarnation of the aggregator.
#[derive(Debug)]
pub(super) struct Readiness {
    began_at: Instant,
    patience: Duration,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No windows are loaded.
    Loading,
    /// Windows are loaded, but validity of the traded assets is unknown.
    Validating {
        /// Batch at which trades were first seen; none while there are no trades.
        trades_since: Option<i64>,
        /// Batch with the results of the look-ups that cover those trades; none before they are reported. From this
        /// batch on, an empty pair list means "no valid pairs", not "not checked yet".
        results_at: Option<i64>,
    },
    /// Publications may be made.
    Publishing,
}

impl Readiness {
    /// Creates the readiness of an incarnation that begins at `now`. If an earlier incarnation has published, this one
    /// may publish as soon as its windows are loaded. Publications wait for look-ups for `patience` at most.
    pub(super) const fn new(now: Instant, patience: Duration, has_published: bool) -> Self {
        let phase = if has_published { Phase::Publishing } else { Phase::Loading };
        Self { began_at: now, patience, phase }
    }

    /// Records that the windows are loaded up to batch `seq`. `was_validated`: some of their assets were looked up
    /// before this run began, so the trades are not the first of all.
    pub(super) fn loaded(&mut self, seq: i64, has_trades: bool, was_validated: bool) {
        if self.phase != Phase::Loading {
            return;
        }
        self.phase = if was_validated {
            Phase::Publishing
        } else {
            Phase::Validating { trades_since: has_trades.then_some(seq), results_at: None }
        };
    }

    /// Records that the windows have moved on to batch `seq`.
    pub(super) fn advanced(&mut self, seq: i64, has_trades: bool) {
        let Phase::Validating { trades_since, results_at } = &mut self.phase else { return };
        if has_trades {
            trades_since.get_or_insert(seq);
        }
        if results_at.is_some_and(|at| at <= seq) {
            self.phase = Phase::Publishing;
        }
    }

    /// Records that the assets of all trades up to batch `all_upto` were looked up, with results up to batch `results`.
    /// The windows are at batch `seq`.
    pub(super) fn assets_committed(&mut self, all_upto: i64, results: i64, seq: i64) {
        let Phase::Validating { trades_since, results_at } = &mut self.phase else { return };
        // Look-ups from before the first trades say nothing about their assets.
        if trades_since.is_some_and(|since| since <= all_upto) {
            results_at.get_or_insert(results);
        }
        self.advanced(seq, false);
    }

    /// Records that the windows were dropped and are loaded again. Once something was published, publishing goes on:
    /// readers keep the last publication until the next one.
    pub(super) fn reloading(&mut self, has_published: bool) {
        if !has_published {
            self.phase = Phase::Loading;
        }
    }

    /// Returns true if a publication may be made at `now`.
    pub(super) fn may_publish(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.began_at) >= self.patience {
            self.phase = Phase::Publishing;
        }
        self.phase == Phase::Publishing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(55);

    fn new() -> (Readiness, Instant) {
        let now = Instant::now();
        (Readiness::new(now, PATIENCE, false), now)
    }

    #[test]
    fn loading_ends_in_validating_if_no_asset_was_looked_up_before() {
        let (mut readiness, now) = new();
        assert!(!readiness.may_publish(now));
        readiness.loaded(7, true, false);
        assert_eq!(readiness.phase, Phase::Validating { trades_since: Some(7), results_at: None });
        assert!(!readiness.may_publish(now));
    }

    #[test]
    fn loading_ends_in_publishing_if_an_earlier_run_looked_assets_up() {
        let (mut readiness, now) = new();
        readiness.loaded(7, true, true);
        assert!(readiness.may_publish(now));
    }

    #[test]
    fn an_incarnation_after_a_publication_may_publish_at_once() {
        let now = Instant::now();
        let mut readiness = Readiness::new(now, PATIENCE, true);
        assert!(readiness.may_publish(now));
        readiness.loaded(7, true, false);
        assert!(readiness.may_publish(now), "loading takes nothing back");
    }

    #[test]
    fn validating_ends_when_the_results_are_in_the_windows() {
        let (mut readiness, now) = new();
        readiness.loaded(0, false, false);
        readiness.advanced(5, true);
        readiness.assets_committed(5, 9, 8);
        assert!(!readiness.may_publish(now), "the results are in batch 9");
        readiness.assets_committed(8, 12, 8);
        readiness.advanced(9, true);
        assert!(readiness.may_publish(now), "the first report counts");
    }

    #[test]
    fn validating_ends_at_once_if_the_windows_hold_the_results_already() {
        let (mut readiness, now) = new();
        readiness.loaded(5, true, false);
        readiness.assets_committed(5, 9, 9);
        assert!(readiness.may_publish(now));
    }

    #[test]
    fn look_ups_that_do_not_cover_the_first_trades_do_not_count() {
        let (mut readiness, now) = new();
        readiness.assets_committed(9, 9, 9);
        readiness.loaded(0, false, false);
        readiness.assets_committed(9, 9, 9);
        readiness.advanced(10, true);
        readiness.assets_committed(9, 10, 10);
        assert!(
            !readiness.may_publish(now),
            "they were made while loading, without trades, and before batch 10"
        );
        readiness.assets_committed(10, 10, 10);
        assert!(readiness.may_publish(now));
    }

    #[test]
    fn a_reload_starts_again_unless_something_was_published() {
        let (mut readiness, now) = new();
        readiness.loaded(5, true, true);
        readiness.reloading(true);
        assert!(readiness.may_publish(now));
        readiness.reloading(false);
        assert_eq!(readiness.phase, Phase::Loading);
        readiness.loaded(3, true, false);
        assert_eq!(readiness.phase, Phase::Validating { trades_since: Some(3), results_at: None });
    }

    #[test]
    fn patience_ends_every_state() {
        let loading = || new().0;
        let validating = || {
            let mut readiness = loading();
            readiness.loaded(5, true, false);
            readiness
        };
        for mut readiness in [loading(), validating()] {
            let end = readiness.began_at + PATIENCE;
            assert!(!readiness.may_publish(end - Duration::from_millis(1)));
            assert!(readiness.may_publish(end));
            assert!(readiness.may_publish(readiness.began_at), "it stays");
        }
    }
}
