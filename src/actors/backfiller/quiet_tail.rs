//! Ledgers without a trade above the newest held one. Pages name only ledgers with trades, so on a quiet network they
//! do not show that nothing newer is missing.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Backfill, HistoryError, SharedByLoops};
use crate::{
    actors::worker::WorkContext,
    db::trades::{BatchKind, TradeBatch},
    domain::{
        coverage::{ClosedLedger, LAG_MAX, LedgerRange},
        cursor::PagingToken,
        instant::UnixSeconds,
    },
    horizon::{
        HorizonClient,
        budget::Class,
        client::{LIMIT_MAX, PageOrder},
        wire::{ReceivedTrade, RecordError},
    },
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

impl Backfill {
    /// Stores as complete the ledgers above the held ones that Horizon closed without a trade. Records in quarantine
    /// do not count as trades. Call it after the tail was read. On a quiet network it costs two requests a minute or
    /// fewer, four if Horizon has no trade at all, and otherwise none.
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
        let Some((closed_at, records)) = ledger_and_records(&horizon, held.to, ledger).await else {
            return Ok(());
        };
        let (_, newest_at) = newest;
        let is_in_order = held.to_time <= closed_at && closed_at <= newest_at;
        if !is_in_order || !self.writer.database.are_quarantined(&records).await? {
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

/// Asks one server for the close time of a ledger, and then for the records up to it that are above the held
/// ledgers. None if it lacks the ledger, if its newest page does not reach down to the held ledgers, or if a request
/// fails: some proxies pass no requests for ledgers.
async fn ledger_and_records(
    horizon: &HorizonClient,
    held: u32,
    ledger: u32,
) -> Option<(UnixSeconds, Vec<Bytes>)> {
    for _ in 0..ATTEMPTS_MAX {
        // In this order: a server that has the ledger gives all trades up to it.
        let closed_at = horizon.ledger_closed_at(ledger).await.ok()??;
        let connections = horizon.connections_opened();
        let page = horizon.trades_page(None, PageOrder::Descending, LIMIT_MAX).await.ok()?;
        let records = if page.is_empty() {
            has_no_trade_above(horizon, held).await.then(Vec::new)?
        } else {
            records_between(&page, held, ledger)?
        };
        // Behind a new connection may be another server.
        if horizon.connections_opened() == connections {
            return Some((closed_at, records));
        }
    }
    None
}

/// True if an ascending page above the held ledgers is empty too, and the server has the first of these ledgers. It
/// may have deleted all trades because they are too old. A proxy may give an empty page by mistake.
async fn has_no_trade_above(horizon: &HorizonClient, held: u32) -> bool {
    let first = held.saturating_add(1);
    let page = horizon.trades_page(Some(PagingToken::before_ledger(first)), PageOrder::Ascending, 1).await;
    // In this order: a ledger that is still there shows that no trade above it was deleted before.
    page.is_ok_and(|page| page.is_empty()) && matches!(horizon.ledger_closed_at(first).await, Ok(Some(_)))
}

/// Records of the newest page that are above the held ledgers, up to a ledger. Those that are no trades count too if
/// they have a position. None if no trade of the page reaches down to the held ledgers.
fn records_between(
    page: &[Result<ReceivedTrade, RecordError>],
    held: u32,
    ledger: u32,
) -> Option<Vec<Bytes>> {
    let reaches_held = page.iter().flatten().any(|received| received.trade.token.ledger() <= held);
    let records = page.iter().filter_map(|record| match record {
        Ok(received) => Some((received.trade.token, &received.raw)),
        Err(refused) => refused.token.map(|token| (token, &refused.raw)),
    });
    let between = records.filter(|(token, _)| held < token.ledger() && token.ledger() <= ledger);
    reaches_held.then(|| between.map(|(_, raw)| raw.clone()).collect())
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
    use crate::actors::backfiller::page::tests::received;

    #[test]
    fn ledgers_may_be_quiet_if_horizon_is_minutes_ahead_of_what_is_held() {
        let held = LedgerRange { from: 1, to: 100, from_time: UnixSeconds(0), to_time: UnixSeconds(1_000) };
        let up_to = |newest, newest_at| quiet_up_to(&held, (newest, UnixSeconds(newest_at)));
        assert_eq!(up_to(180, 1_001 + QUIET_S), Some(160));
        assert_eq!(up_to(180, 1_000 + QUIET_S), None, "a pause of minutes is common");
        assert_eq!(up_to(120, 9_000), None, "a server that is some ledgers behind may lack their trades");
        assert_eq!(up_to(90, 9_000), None);
    }

    type Record = Result<ReceivedTrade, RecordError>;

    fn good(ledger: u32) -> Record {
        Ok(received(ledger, 0))
    }

    /// Record that is no trade. Its bytes are the number of its ledger.
    fn refused(ledger: u32) -> Record {
        let token = Some(PagingToken::before_ledger(ledger).next());
        Err(RecordError { token, reason: "x".into(), raw: ledger.to_string().into() })
    }

    #[test]
    fn a_page_names_the_records_above_the_held_ledgers_if_it_reaches_down_to_them() {
        let raws = |ledgers: &[u32]| -> Option<Vec<Bytes>> {
            Some(ledgers.iter().map(|ledger| Bytes::from(ledger.to_string())).collect())
        };
        let between = |page: &[Record]| records_between(page, 100, 160);
        assert_eq!(between(&[good(100), good(90)]), raws(&[]));
        assert_eq!(between(&[good(170), refused(165), good(100)]), raws(&[]), "they are too new");
        let without_position = Err(RecordError { token: None, reason: "x".into(), raw: Bytes::new() });
        let unreadable = [refused(150), without_position, refused(101), refused(100), good(99)];
        assert_eq!(between(&unreadable), raws(&[150, 101]));
        let raw = received(150, 0).raw;
        assert_eq!(between(&[good(150), good(100)]), Some(vec![raw]), "a trade, unless it is in quarantine");
        assert_eq!(between(&[good(170), refused(150)]), None, "more may lie below");
        assert_eq!(between(&[refused(90)]), None, "its position may be false");
    }
}
