//! How far the filling of history has come, told to readers and to the log.

use std::{
    cell::Cell,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::info;

use super::{Backfill, Stop};
use crate::{
    domain::{
        coverage::{self, LedgerRange},
        instant::Second,
    },
    published::{Backfilled, LostHistory},
};

/// How often progress is told in the log.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// A history that begins with these ledgers has lost nothing.
const FIRST_LEDGERS: u32 = 2;

/// How far the filling has come since it began; the default has not begun.
#[derive(Default)]
pub(super) struct Progress {
    /// Trades that were stored and had not been there.
    stored: Rc<Cell<u64>>,
    begun: Option<Begun>,
}

struct Begun {
    at: Instant,
    told_at: Instant,
    /// About where the wanted history begins.
    wanted_from: u32,
    ratio: f64,
}

impl Progress {
    /// Begins to count, unless that was done before.
    pub(super) fn begin(&mut self, held: &[LedgerRange], wanted_from: u32) {
        let at = Instant::now();
        let ratio = coverage::held_ratio(held, wanted_from);
        self.begun.get_or_insert(Begun { at, told_at: at, wanted_from, ratio });
    }

    /// Where stored trades are counted.
    pub(super) fn stored(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.stored)
    }
}

impl Begun {
    /// Seconds until all is held, by the pace so far.
    fn eta_s(&self, ratio: f64) -> Option<f64> {
        let gained = ratio - self.ratio;
        (gained > 0.0).then(|| self.at.elapsed().as_secs_f64() * (1.0 - ratio) / gained)
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
        let done_ratio = coverage::held_ratio(&held, begun.wanted_from);
        let told = Backfilled {
            done_ratio,
            eta_s: begun.eta_s(done_ratio),
            trades,
            trades_per_second: trades / begun.at.elapsed().as_secs().max(1),
            whole_back_to: held.last().map(|newest| newest.from_time),
        };
        self.writer.published.vitals.backfill.store(Some(Arc::new(told)));
        if self.tells_by_log && begun.told_at.elapsed() >= TOLD_EVERY {
            begun.told_at = Instant::now();
            info!(
                trades,
                trades_per_second = told.trades_per_second,
                done_percent = format!("{:.1}", done_ratio * 100.0),
                left_s = told.eta_s.map(f64::ceil),
                whole_back_to = told.whole_back_to.map(Second::to_rfc3339),
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

    /// History that is wanted and that Horizon no longer has is a gap that stays.
    pub(super) fn tell_lost(&self, held: &[LedgerRange], floor: u32, wanted: Second) {
        let oldest = held.first().filter(|oldest| floor > FIRST_LEDGERS && oldest.from_time > wanted);
        let lost = oldest.map(|oldest| LostHistory {
            to: oldest.from.saturating_sub(1).min(floor.saturating_sub(1)),
            from_time: wanted,
            to_time: oldest.from_time,
        });
        self.writer.published.vitals.lost_history.store(lost.map(Arc::new));
    }
}
