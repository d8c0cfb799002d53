//! How far the filling of history has come, told to readers and to the log.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Instant};

use tracing::info;

use super::{
    Backfill, Stop,
    eta::{Eta, Left, Shares},
    lines::Lines,
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

/// A history that begins with these ledgers has lost nothing.
const FIRST_LEDGERS: u32 = 2;

/// How far the filling has come since it began; the default has not begun.
#[derive(Default)]
pub(super) struct Progress {
    /// Trades that were stored and had not been there.
    stored: Rc<Cell<u64>>,
    /// A request had to wait for its turn: the burst of the budget is spent.
    has_waited: Rc<Cell<bool>>,
    begun: Option<Begun>,
}

struct Begun {
    at: Instant,
    lines: Lines,
    wanted: Wanted,
    /// The newest ledger that was held then. What is newer comes by the stream and is no filling.
    top: u32,
    is_limited: bool,
    eta: Eta,
}

/// Range of history that shall be held.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    /// Horizon's oldest ledger.
    pub(super) floor: u32,
    /// The beginning of the last 24 hours.
    pub(super) day: UnixSeconds,
    /// The beginning of all that is wanted.
    pub(super) all: UnixSeconds,
}

impl Progress {
    /// Begins to count, unless that was done before.
    pub(super) fn begin(&mut self, held: &[LedgerRange], wanted: Wanted, is_limited: bool) {
        let at = Instant::now();
        let ratio = coverage::held_ratio(held, plan::wanted_from(held, wanted.floor, wanted.all));
        let [day, older] = if is_limited { HISTORY_SHARES } else { [1.0, 1.0] };
        let top = held.last().map_or(0, |newest| newest.to);
        let eta = Eta::new(Shares { day, older });
        self.begun.get_or_insert(Begun { at, lines: Lines::new(at, ratio), wanted, top, is_limited, eta });
    }

    /// Where stored trades are counted.
    pub(super) fn stored(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.stored)
    }

    /// To be called while a request waits for its turn.
    pub(super) fn waiting(&self) -> impl Fn() + 'static {
        let has_waited = Rc::clone(&self.has_waited);
        move || has_waited.set(true)
    }
}

impl Begun {
    /// Held share of the wanted history, 0 to 1. The first wanted ledger is estimated from the pace of the held ones; the
    /// estimate improves as more are held.
    fn measure(&mut self, held: &[LedgerRange], has_waited: bool, now: Instant) -> f64 {
        let in_burst = self.is_limited && !has_waited;
        let left = self.left(held);
        self.eta.update(coverage::held_between(held, 0, self.top), left, in_burst, now);
        coverage::held_ratio(held, plan::wanted_from(held, self.wanted.floor, self.wanted.all))
    }

    /// Wanted ledgers up to the newest one at the beginning that are not held.
    fn left(&self, held: &[LedgerRange]) -> Left {
        let Wanted { floor, day, all } = self.wanted;
        let missing = |since: UnixSeconds| {
            let from = plan::wanted_from(held, floor, since);
            let wanted = self.top.saturating_sub(from).saturating_add(1);
            wanted.saturating_sub(coverage::held_between(held, from, self.top))
        };
        let day = missing(day);
        Left { day, older: missing(all).saturating_sub(day) }
    }
}

impl Backfill {
    /// Tells readers what is held whole.
    pub(super) async fn tell_coverage(&self) -> Result<Vec<LedgerRange>, Stop> {
        let held = self.held().await?;
        self.writer.published.vitals.coverage.store(Arc::new(held.clone()));
        Ok(held)
    }

    pub(super) async fn tell_progress(&self, progress: &mut Progress) -> Result<(), Stop> {
        let held = self.tell_coverage().await?;
        let trades = progress.stored.get();
        let Some(begun) = &mut progress.begun else { return Ok(()) };
        let now = Instant::now();
        let done_ratio = begun.measure(&held, progress.has_waited.get(), now);
        let told = Backfilled {
            done_ratio,
            eta_s: begun.eta.seconds(now),
            trades,
            trades_per_second: trades / begun.at.elapsed().as_secs().max(1),
            whole_back_to: held.last().map(|newest| newest.from_time),
        };
        self.writer.published.vitals.backfill.store(Some(Arc::new(told)));
        if self.tells_by_log && begun.lines.is_due(done_ratio, Instant::now()) {
            info!(
                trades,
                trades_per_second = told.trades_per_second,
                done_percent = format!("{:.1}", done_ratio * 100.0),
                left_s = told.eta_s.map(f64::ceil),
                whole_back_to = told.whole_back_to.map(UnixSeconds::to_rfc3339),
                "filling history"
            );
        }
        Ok(())
    }

    /// Nothing that is wanted and to be had is missing.
    pub(super) fn tell_done(&self, held: &[LedgerRange]) {
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

    /// Publishes the wanted ledgers below all held ones as unread. Horizon no longer has them. If an end of its history was
    /// doubted, they are those that it did not return.
    pub(super) fn tell_unread(
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

/// Wanted history that is older than Horizon's own. Its end is known only once Horizon's oldest ledger is held: before
/// that, the gap would get the close time of a much newer ledger.
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
    fn what_horizon_no_longer_has_is_told_once_its_oldest_ledger_is_held() {
        let held = |from, from_time| {
            let range =
                LedgerRange { from, to: 900, from_time: UnixSeconds(from_time), to_time: UnixSeconds(9_000) };
            [range]
        };
        let told = |held: &[LedgerRange], floor| {
            lost(held, floor, UnixSeconds(1_000)).map(|gap| (gap.to, gap.to_time.0))
        };
        assert_eq!(told(&held(100, 5_000), 100), Some((99, 5_000)));
        assert_eq!(told(&held(90, 5_000), 100), Some((89, 5_000)), "held before Horizon dropped it");
        assert_eq!(told(&held(101, 5_000), 100), None, "the ledger 99 did not close at 5,000");
        assert_eq!(told(&held(100, 1_000), 100), None, "what is older is not wanted");
        assert_eq!(told(&held(2, 5_000), 2), None, "nothing lies below the first ledgers of a network");
        assert_eq!(told(&[], 100), None);
    }

    /// Held from one ledger to another; each ledger takes a second.
    fn range(from: u32, to: u32) -> LedgerRange {
        LedgerRange { from, to, from_time: UnixSeconds(i64::from(from)), to_time: UnixSeconds(i64::from(to)) }
    }

    /// Began when the ledgers 900 to 1,000 were held, with those from 101 on wanted, and the day from 501 on.
    fn begun(is_limited: bool) -> Begun {
        let now = Instant::now();
        Begun {
            at: now,
            lines: Lines::new(now, 0.0),
            wanted: Wanted { floor: 2, day: UnixSeconds(501), all: UnixSeconds(101) },
            top: 1_000,
            is_limited,
            eta: Eta::new(Shares { day: 1.0, older: 1.0 }),
        }
    }

    #[test]
    fn what_is_left_is_the_day_and_what_is_older_and_nothing_newer() {
        let left = |held: &[LedgerRange]| begun(true).left(held);
        assert_eq!(left(&[range(900, 1_000)]), Left { day: 399, older: 400 });
        assert_eq!(left(&[range(301, 310), range(600, 1_000)]), Left { day: 99, older: 390 });
        assert_eq!(left(&[range(101, 1_000)]), Left::default());
        let ratio = begun(true).measure(&[range(551, 1_000)], true, Instant::now());
        assert!((ratio - 0.5).abs() < 1e-9, "{ratio}");
    }

    #[test]
    fn the_pace_is_that_of_the_filling_behind_the_burst() {
        let told = |is_limited: bool, has_waited: bool, step: fn(u32) -> LedgerRange| {
            let (mut begun, start) = (begun(is_limited), Instant::now());
            for second in 0..30 {
                let now = start + std::time::Duration::from_secs(second.into());
                begun.measure(&[step(second)], has_waited, now);
            }
            begun.eta.seconds(start + std::time::Duration::from_secs(29)).is_some()
        };
        let fills = |second| range(900 - second, 1_000);
        assert!(told(true, true, fills) && told(false, false, fills) && told(false, true, fills));
        assert!(!told(true, false, fills), "as fast as the server answers");
        assert!(
            !told(true, true, |second| range(900, 1_000 + second)),
            "what the stream brings fills nothing"
        );
    }
}
