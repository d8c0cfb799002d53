//! Ledgers without a trade above the newest held one. Pages name only ledgers with trades, so on a quiet network they
//! do not show that nothing newer is missing.

use std::time::{Duration, Instant};

use super::{Backfill, HistoryError, SharedByLoops};
use crate::{
    actors::worker::WorkContext,
    db::trades::{BatchKind, TradeBatch},
    domain::{
        coverage::{ClosedLedger, LAG_MAX, LedgerRange},
        instant::UnixSeconds,
    },
    horizon::{HorizonClient, budget::Class, client::PageOrder},
    steps,
};

/// Seconds from the newest held ledger to Horizon's newest one, from which on the ledgers between may be quiet.
/// Windows stop being complete at [`LAG_MAX`].
const QUIET_S: i64 = LAG_MAX / 3;
/// Newest ledgers of Horizon that are left out. Servers behind one address are some seconds apart, and the one that
/// gave the page may not have these yet.
const NEWEST_LEFT_OUT: u32 = 20;
/// Interval at which Horizon is asked at most.
const ASKED_EVERY: Duration = Duration::from_secs(60);
/// Attempts to get both answers from one server.
const ATTEMPTS_MAX: u32 = 3;
/// Newest trades that are requested. The newest one may be unreadable, which proves nothing.
const NEWEST_TRADES: u32 = 10;

impl Backfill {
    /// Stores as complete the ledgers above the held ones that Horizon closed without a trade. Call it after the tail
    /// was read. On a quiet network it costs two requests a minute or fewer, otherwise none.
    pub(super) async fn cover_quiet_ledgers(
        &self,
        context: &WorkContext,
        shared: &SharedByLoops,
    ) -> Result<(), HistoryError> {
        if shared.quiet_asked_at.get().is_some_and(|asked_at| asked_at.elapsed() < ASKED_EVERY) {
            return Ok(());
        }
        let now = UnixSeconds::from(self.writer.clock.now());
        let newest = shared.history.get().and_then(|history| history.anchor(now));
        let Some((held, newest)) = self.held().await?.last().copied().zip(newest) else { return Ok(()) };
        let Some(ledger) = quiet_up_to(&held, newest) else { return Ok(()) };
        shared.quiet_asked_at.set(Some(Instant::now()));
        let horizon = self.horizon.of_class(Class::Live);
        let Some((closed_at, newest_trade)) = ledger_and_newest_trade(&horizon, ledger).await else {
            return Ok(());
        };
        let (_, newest_at) = newest;
        let is_in_order = held.to_time <= closed_at && closed_at <= newest_at;
        if newest_trade > held.to || !is_in_order {
            return Ok(());
        }
        let covered = LedgerRange {
            from: held.to.saturating_add(1),
            to: ledger,
            from_time: held.to_time,
            to_time: closed_at,
        };
        let batch = TradeBatch {
            kind: BatchKind::Repair,
            cursor: None,
            trades: Vec::new(),
            quarantine: Vec::new(),
            covered: Some(covered),
        };
        let cause = context.step(steps::READ_HISTORY, None).done();
        // A connection opened meanwhile may lead to another network: check again before storing.
        self.history(&horizon.caused_by(&cause), shared).await?;
        self.writer.write(&batch, &cause, context).await?;
        self.publish_coverage().await?;
        Ok(())
    }
}

/// Asks one server for the close time of a ledger, and then for the ledger of its newest trade. None if it lacks the
/// ledger, or if a request fails: some proxies pass no requests for ledgers.
async fn ledger_and_newest_trade(horizon: &HorizonClient, ledger: u32) -> Option<(UnixSeconds, u32)> {
    for _ in 0..ATTEMPTS_MAX {
        // In this order: a server that has the ledger gives all trades up to it.
        let closed_at = horizon.ledger_closed_at(ledger).await.ok()??;
        let connections = horizon.connections_opened();
        let page = horizon.trades_page(None, PageOrder::Descending, NEWEST_TRADES).await.ok()?;
        let newest = page.iter().find_map(|record| record.as_ref().ok())?;
        // Behind a new connection may be another server.
        if horizon.connections_opened() == connections {
            return Some((closed_at, newest.trade.token.ledger()));
        }
    }
    None
}

/// Returns the ledger up to which there may be no trade above the newest held range; none if that reaches near enough
/// to Horizon's newest ledger.
fn quiet_up_to(held: &LedgerRange, (newest, newest_at): ClosedLedger) -> Option<u32> {
    let ledger = newest.saturating_sub(NEWEST_LEFT_OUT);
    (ledger > held.to && held.to_time.plus(QUIET_S) < newest_at).then_some(ledger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ledgers_may_be_quiet_if_horizon_is_minutes_ahead_of_what_is_held() {
        let held = LedgerRange { from: 1, to: 100, from_time: UnixSeconds(0), to_time: UnixSeconds(1_000) };
        let up_to = |newest, newest_at| quiet_up_to(&held, (newest, UnixSeconds(newest_at)));
        assert_eq!(up_to(180, 1_001 + QUIET_S), Some(160));
        assert_eq!(up_to(180, 1_000 + QUIET_S), None, "a pause of minutes is common");
        assert_eq!(up_to(120, 9_000), None, "a server that is some ledgers behind may lack their trades");
        assert_eq!(up_to(90, 9_000), None);
    }
}
