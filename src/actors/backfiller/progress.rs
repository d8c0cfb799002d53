//! Progress of filling history, published for readers and logged.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Instant};

use tracing::info;

use super::{
    Backfill, HistoryError,
    eta::{Eta, Left, Shares},
    log_schedule::LogSchedule,
    plan,
};
use crate::{
    domain::{
        coverage::{self, LedgerRange, Missing},
        instant::UnixSeconds,
    },
    horizon::budget::HISTORY_SHARES,
    published::{Backfilled, UnreadHistory},
};

/// A history that begins with one of these ledgers is not missing older ones.
const FIRST_LEDGERS: u32 = 2;

/// Progress of filling. The default has not begun.
#[derive(Default)]
pub(super) struct Progress {
    /// Trades stored that were not there before. The reads add to it.
    stored: Rc<Cell<u64>>,
    /// True once a request waited for its turn: the burst of the budget is spent. The client sets it.
    has_waited: Rc<Cell<bool>>,
    /// The filling since its beginning; none before it begins.
    filling: Option<Filling>,
}

struct Filling {
    /// Time of the beginning.
    at: Instant,
    lines: LogSchedule,
    wanted: WantedHistory,
    /// Newest held ledger at the beginning. Newer ones come by the stream and do not count as filling.
    top: u32,
    /// True if requests are limited.
    is_limited: bool,
    eta: Eta,
}

/// Limits of the wanted history.
#[derive(Clone, Copy)]
pub(super) struct WantedHistory {
    /// Lowest ledger that may be read: Horizon's oldest one, or with a lake the first one of the network.
    pub(super) floor: u32,
    /// Start of the last 24 hours, or of the wanted history if that is shorter.
    pub(super) day: UnixSeconds,
    /// Start of the wanted history.
    pub(super) all: UnixSeconds,
}

impl Progress {
    /// Begins to measure, unless it has begun before. A gap that stays grows too old to be wanted.
    pub(super) fn begin(&mut self, held: &[LedgerRange], wanted: WantedHistory, is_limited: bool) {
        let at = Instant::now();
        let ratio = coverage::held_ratio(held, plan::wanted_from(held, wanted.floor, wanted.all));
        // Without a limit on requests, both parts are read at the same pace.
        let [day, older] = if is_limited { HISTORY_SHARES } else { [1.0, 1.0] };
        let top = held.last().map_or(0, |newest| newest.to);
        let eta = Eta::new(Shares { day, older });
        let lines = LogSchedule::new(at, ratio);
        self.filling.get_or_insert(Filling { at, lines, wanted, top, is_limited, eta }).wanted = wanted;
    }

    /// Returns the counter of stored trades.
    pub(super) fn stored(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.stored)
    }

    /// Returns the function to call while a request waits for its turn. `report` tells the supervisor.
    pub(super) fn wait_callback(&self, report: impl Fn() + 'static) -> impl Fn() + 'static {
        let has_waited = Rc::clone(&self.has_waited);
        move || {
            has_waited.set(true);
            report();
        }
    }
}

impl Filling {
    /// Updates the estimate and returns the held share of the wanted history, 0 to 1. The first wanted ledger is
    /// estimated from the pace of held ones; the estimate improves as more are held.
    fn measure(&mut self, held: &[LedgerRange], has_waited: bool, now: Instant) -> f64 {
        // Only a limited budget has a burst.
        let in_burst = self.is_limited && !has_waited;
        let left = self.left(held);
        self.eta.update(coverage::held_between(held, 0, self.top), left, in_burst, now);
        coverage::held_ratio(held, plan::wanted_from(held, self.wanted.floor, self.wanted.all))
    }

    /// Counts the wanted ledgers that are missing, up to the newest one at the beginning.
    fn left(&self, held: &[LedgerRange]) -> Left {
        let WantedHistory { floor, day, all } = self.wanted;
        let missing = |since: UnixSeconds| {
            let from = plan::wanted_from(held, floor, since);
            let wanted = self.top.saturating_sub(from).saturating_add(1);
            wanted.saturating_sub(coverage::held_between(held, from, self.top))
        };
        // `missing(all)` contains the day.
        let day = missing(day);
        Left { day, older: missing(all).saturating_sub(day) }
    }
}

impl Backfill {
    /// Publishes which ledgers are complete, and returns them.
    pub(super) async fn publish_coverage(&self) -> Result<Vec<LedgerRange>, HistoryError> {
        let held = self.held().await?;
        self.writer.published.vitals.coverage.store(Arc::new(held.clone()));
        Ok(held)
    }

    /// Publishes and logs the progress.
    pub(super) async fn publish_progress(&self, progress: &mut Progress) -> Result<(), HistoryError> {
        let held = self.publish_coverage().await?;
        let trades = progress.stored.get();
        let Some(filling) = &mut progress.filling else { return Ok(()) };
        let now = Instant::now();
        let done_ratio = filling.measure(&held, progress.has_waited.get(), now);
        let backfilled = Backfilled {
            done_ratio,
            eta_s: filling.eta.seconds(now),
            trades,
            trades_per_second: trades / filling.at.elapsed().as_secs().max(1),
            whole_back_to: held.last().map(|newest| newest.from_time),
        };
        self.writer.published.vitals.backfill.store(Some(Arc::new(backfilled)));
        if self.logs_progress && filling.lines.is_due(done_ratio, Instant::now()) {
            info!(
                trades,
                trades_per_second = backfilled.trades_per_second,
                done_percent = format!("{:.1}", done_ratio * 100.0),
                left_s = backfilled.eta_s.map(f64::ceil),
                whole_back_to = backfilled.whole_back_to.map(UnixSeconds::to_rfc3339),
                "filling history"
            );
        }
        Ok(())
    }

    /// Publishes that everything wanted is held, as far as Horizon has it.
    pub(super) fn publish_done(&self, held: &[LedgerRange]) {
        let Some(newest) = held.last() else { return };
        let done = Backfilled {
            done_ratio: 1.0,
            eta_s: Some(0.0),
            trades: 0,
            trades_per_second: 0,
            whole_back_to: Some(newest.from_time),
        };
        self.writer.published.vitals.backfill.store(Some(Arc::new(done)));
    }

    /// Publishes the wanted ledgers below all held ones as unread, because Horizon no longer has them. If an end of its
    /// history was doubted, they are those that Horizon did not return.
    pub(super) fn publish_unread(
        &self,
        held: &[LedgerRange],
        floor: u32,
        wanted: UnixSeconds,
        doubted: Option<&Missing>,
    ) {
        let unread = doubted
            .filter(|missing| held.first().is_some_and(|oldest| missing.to < oldest.from))
            .map(|missing| UnreadHistory {
                from: Some(missing.from),
                to: missing.to,
                from_time: missing.since.max(wanted),
                to_time: missing.before,
            })
            .or_else(|| lost(held, floor, wanted));
        self.writer.published.vitals.unread_history.store(unread.map(Arc::new));
    }
}

/// Returns the wanted history that is older than Horizon's own. Its end is known only once Horizon's oldest ledger is
/// held. Before that, the gap would get the close time of a much newer ledger.
fn lost(held: &[LedgerRange], floor: u32, wanted: UnixSeconds) -> Option<UnreadHistory> {
    let oldest = held.first()?;
    let is_lost = floor > FIRST_LEDGERS && oldest.from <= floor && oldest.from_time > wanted;
    is_lost.then(|| UnreadHistory {
        from: None,
        to: oldest.from.saturating_sub(1),
        from_time: wanted,
        to_time: oldest.from_time,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_that_horizon_no_longer_has_is_reported_once_its_oldest_ledger_is_held() {
        let held = |from, from_time| {
            let range =
                LedgerRange { from, to: 900, from_time: UnixSeconds(from_time), to_time: UnixSeconds(9_000) };
            [range]
        };
        let gap = |held: &[LedgerRange], floor| {
            lost(held, floor, UnixSeconds(1_000)).map(|gap| (gap.to, gap.to_time.0))
        };
        assert_eq!(gap(&held(100, 5_000), 100), Some((99, 5_000)));
        assert_eq!(gap(&held(90, 5_000), 100), Some((89, 5_000)), "held before Horizon dropped it");
        assert_eq!(gap(&held(101, 5_000), 100), None, "the ledger 99 did not close at 5,000");
        assert_eq!(gap(&held(100, 1_000), 100), None, "older history is not wanted");
        assert_eq!(gap(&held(2, 5_000), 2), None, "nothing lies below the first ledgers of a network");
        assert_eq!(gap(&[], 100), None);
    }

    /// Makes a held range in which each ledger takes a second.
    fn range(from: u32, to: u32) -> LedgerRange {
        LedgerRange { from, to, from_time: UnixSeconds(i64::from(from)), to_time: UnixSeconds(i64::from(to)) }
    }

    /// Makes a filling that began with the ledgers 900 to 1,000 held. The day begins at 501, the wanted history at 101.
    fn filling(is_limited: bool) -> Filling {
        let now = Instant::now();
        Filling {
            at: now,
            lines: LogSchedule::new(now, 0.0),
            wanted: WantedHistory { floor: 2, day: UnixSeconds(501), all: UnixSeconds(101) },
            top: 1_000,
            is_limited,
            eta: Eta::new(Shares { day: 1.0, older: 1.0 }),
        }
    }

    #[test]
    fn the_missing_ledgers_are_those_of_the_day_and_older_ones_but_no_newer_ones() {
        let left = |held: &[LedgerRange]| filling(true).left(held);
        assert_eq!(left(&[range(900, 1_000)]), Left { day: 399, older: 400 });
        assert_eq!(left(&[range(301, 310), range(600, 1_000)]), Left { day: 99, older: 390 });
        assert_eq!(left(&[range(101, 1_000)]), Left::default());
        let ratio = filling(true).measure(&[range(551, 1_000)], true, Instant::now());
        assert!((ratio - 0.5).abs() < 1e-9, "{ratio}");
    }

    #[test]
    fn the_pace_is_measured_after_the_burst_and_only_from_filling() {
        let has_estimate = |is_limited: bool, has_waited: bool, step: fn(u32) -> LedgerRange| {
            let (mut filling, start) = (filling(is_limited), Instant::now());
            for second in 0..30 {
                let now = start + std::time::Duration::from_secs(second.into());
                filling.measure(&[step(second)], has_waited, now);
            }
            filling.eta.seconds(start + std::time::Duration::from_secs(29)).is_some()
        };
        let fills = |second| range(900 - second, 1_000);
        assert!(has_estimate(true, true, fills) && has_estimate(false, false, fills));
        assert!(has_estimate(false, true, fills));
        assert!(!has_estimate(true, false, fills), "the burst goes as fast as the server answers");
        let streamed = |second| range(900, 1_000 + second);
        assert!(!has_estimate(true, true, streamed), "ledgers of the stream fill nothing");
    }
}
