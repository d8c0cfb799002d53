//! What the stream told since the last commit, until it is worth a transaction. No I/O.

use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::{
    db::trades::{BatchKind, CursorMove, IncomingTrade, QuarantineEntry, TradeBatch},
    domain::{
        coverage::LedgerRange,
        cursor::PagingToken,
        instant::{DAY, Second},
    },
    horizon::wire::{Received, Refused},
};

/// The stream's cursor in `ingest_cursor`.
pub(super) const LIVE_CURSOR: &str = "live";
/// A batch is committed when it holds this many records.
pub(super) const BATCH_RECORDS_MAX: usize = 2_000;
/// A batch is committed when nothing came for so long.
pub(super) const QUIET: Duration = Duration::from_millis(50);
/// The source told in quarantine.
const SOURCE: &str = "stream";

/// Collects what the stream tells into batches.
#[derive(Debug)]
pub(super) struct Collector {
    /// The cursor as the database has it.
    stored: Option<PagingToken>,
    /// No ledger beyond this one can be there yet.
    ceiling: u32,
    /// Everything up to here was in the batches before.
    began: PagingToken,
    /// Everything up to here is collected or committed.
    reached: PagingToken,
    /// When the ledger of `reached` closed; none where no trade told.
    reached_at: Option<Second>,
    /// When the ledger at the last commit closed.
    committed_at: Option<Second>,
    trades: Vec<IncomingTrade>,
    quarantine: Vec<QuarantineEntry>,
    /// Trades older than the retention since the last commit.
    passed_over: u64,
    /// When the first record of the batch came.
    opened: Option<Instant>,
    /// A trade of a later ledger than the batch's first came.
    next_ledger_came: bool,
}

impl Collector {
    /// A collector that goes on behind `start`, while the database still has `stored`. A trade beyond the ledger
    /// `ceiling` is a lie: it would carry the cursor past everything that is yet to come.
    #[must_use]
    pub(super) const fn new(stored: Option<PagingToken>, start: PagingToken, ceiling: u32) -> Self {
        Self {
            stored,
            ceiling,
            began: start,
            reached: start,
            reached_at: None,
            committed_at: None,
            trades: Vec::new(),
            quarantine: Vec::new(),
            passed_over: 0,
            opened: None,
            next_ledger_came: false,
        }
    }

    /// Whether there is nothing to commit.
    #[must_use]
    pub(super) const fn is_empty(&self) -> bool {
        self.opened.is_none()
    }

    /// Takes in a trade: stores it, quarantines it if it lies in the future, passes it over if it is older than
    /// the retention.
    pub(super) fn trade(&mut self, received: Received, now: DateTime<Utc>, retention_days: i64) {
        let (token, closed_at) = (received.trade.token, received.trade.closed_at);
        let now = Second::from(now);
        if token.ledger() > self.ceiling {
            let reason = format!("ledger {} is far beyond the newest one", token.ledger());
            self.refuse(None, reason, received.raw);
            return;
        }
        if closed_at > now.plus(DAY) {
            let reason = format!("close time {} is more than a day ahead", closed_at.to_rfc3339());
            self.refuse(Some(token), reason, received.raw);
            return;
        }
        if closed_at < now.minus(retention_days.saturating_mul(DAY)) {
            self.passed_over += 1;
        } else {
            self.trades.push(IncomingTrade { trade: received.trade, raw: received.raw });
        }
        self.advance(token, Some(closed_at));
    }

    /// Takes in a record that is no trade.
    pub(super) fn refused(&mut self, refused: Refused) {
        self.refuse(refused.token, refused.reason, refused.raw);
    }

    fn refuse(&mut self, token: Option<PagingToken>, reason: String, raw: Bytes) {
        self.quarantine.push(QuarantineEntry { source: SOURCE, token, reason, raw });
        self.advance(token.unwrap_or(self.reached), None);
    }

    fn advance(&mut self, token: PagingToken, closed_at: Option<Second>) {
        self.opened.get_or_insert_with(Instant::now);
        if token <= self.reached {
            return; // a repeat, or out of order: the cursor never goes back
        }
        self.next_ledger_came |= token.ledger() > self.reached.ledger();
        self.reached = token;
        self.reached_at = closed_at.or(self.reached_at);
    }

    /// Whether the batch shall be committed although more is coming.
    #[must_use]
    pub(super) fn is_due(&self) -> bool {
        let records = self.trades.len() + self.quarantine.len();
        let waited = self.opened.is_some_and(|opened| opened.elapsed() >= QUIET);
        records >= BATCH_RECORDS_MAX || waited && self.next_ledger_came
    }

    /// What to commit. The collector keeps it until [`Self::committed`].
    #[must_use]
    pub(super) fn batch(&self) -> TradeBatch {
        TradeBatch {
            kind: BatchKind::Live,
            cursor: CursorMove { name: LIVE_CURSOR.into(), expected: self.stored, to: self.reached },
            trades: self.trades.clone(),
            quarantine: self.quarantine.clone(),
            covered: self.covered(),
        }
    }

    /// The ledgers that this batch completes. A stream begins before some ledger's first trade and goes on without
    /// a gap, so all ledgers below the one that it has reached are whole; of that one more may come.
    fn covered(&self) -> Option<LedgerRange> {
        let from = self.began.ledger();
        let to = self.reached.ledger().checked_sub(1)?;
        let to_time = self.reached_at?;
        let from_time = self.committed_at.or_else(|| self.trades.first().map(|first| first.trade.closed_at));
        (from <= to).then_some(LedgerRange { from, to, from_time: from_time.unwrap_or(to_time), to_time })
    }

    /// Trades passed over since the last commit.
    #[must_use]
    pub(super) const fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// The batch is in the database.
    pub(super) fn committed(&mut self) {
        let reached_at = self.reached_at;
        *self = Self {
            committed_at: reached_at,
            reached_at,
            ..Self::new(Some(self.reached), self.reached, self.ceiling)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::asset::tests::address, horizon::wire};

    const NOW: i64 = 1_795_457_237;

    fn now() -> DateTime<Utc> {
        Second(NOW).to_utc()
    }

    fn received(ledger: i64, order: i32, closed_at: i64) -> Received {
        let record = serde_json::json!({
            "paging_token": format!("{}-{order}", (ledger << 32) + 4097),
            "ledger_close_time": Second(closed_at).to_rfc3339(),
            "base_amount": "1.0", "base_asset_type": "native", "base_account": address(1),
            "counter_amount": "2.0", "counter_asset_type": "credit_alphanum4", "counter_asset_code": "TEA",
            "counter_asset_issuer": address(2), "counter_account": address(3), "base_is_seller": true,
            "price": {"n": "2", "d": "1"}
        });
        wire::trade(serde_json::to_vec(&record).unwrap().into(), None).unwrap()
    }

    fn collector() -> Collector {
        Collector::new(None, PagingToken::before_ledger(100), 1_000)
    }

    #[test]
    fn a_ledger_counts_as_whole_only_when_a_later_one_has_come() {
        let mut collector = collector();
        collector.trade(received(100, 0, NOW), now(), 8);
        assert_eq!(collector.batch().covered, None);
        collector.trade(received(103, 0, NOW + 15), now(), 8);
        let covered = collector.batch().covered.unwrap();
        assert_eq!((covered.from, covered.to), (100, 102), "from where the stream began");
        collector.committed();
        collector.trade(received(105, 0, NOW + 20), now(), 8);
        let covered = collector.batch().covered.unwrap();
        assert_eq!((covered.from, covered.to), (103, 104));
    }

    #[test]
    fn the_future_is_quarantined_and_the_far_past_only_counted_and_the_cursor_goes_on() {
        let mut collector = collector();
        collector.trade(received(100, 0, NOW + DAY + 1), now(), 8);
        collector.trade(received(101, 0, NOW - 8 * DAY - 1), now(), 8);
        collector.trade(received(102, 0, NOW + DAY), now(), 8);
        collector.trade(received(103, 0, NOW - 8 * DAY), now(), 8);
        let batch = collector.batch();
        assert_eq!((batch.trades.len(), batch.quarantine.len(), collector.passed_over()), (2, 1, 1));
        assert_eq!(batch.cursor.to.ledger(), 103);
    }

    #[test]
    fn a_ledger_that_cannot_be_there_yet_does_not_carry_the_cursor_away() {
        let mut collector = collector();
        collector.trade(received(1_001, 0, NOW), now(), 8);
        collector.trade(received(1_000, 0, NOW), now(), 8);
        let batch = collector.batch();
        assert_eq!((batch.trades.len(), batch.quarantine.len(), batch.cursor.to.ledger()), (1, 1, 1_000));
    }

    #[test]
    fn the_cursor_never_goes_back() {
        let mut collector = collector();
        collector.trade(received(102, 1, NOW), now(), 8);
        collector.trade(received(101, 0, NOW), now(), 8);
        assert_eq!((collector.reached.ledger(), collector.batch().trades.len()), (102, 2));
    }

    #[test]
    fn a_refused_record_moves_the_cursor_if_it_has_a_place() {
        let mut collector = collector();
        let refused = |token| Refused { token, reason: "x".into(), raw: Bytes::new() };
        collector.refused(refused(None));
        assert_eq!(collector.reached, PagingToken::before_ledger(100));
        collector.refused(refused(PagingToken::new(101 << 32, 5)));
        assert_eq!((collector.reached.order, collector.batch().quarantine.len()), (5, 2));
    }

    #[test]
    fn many_records_are_due_at_once() {
        let mut collector = collector();
        for order in 0..i32::try_from(BATCH_RECORDS_MAX).unwrap() {
            assert!(!collector.is_due() || collector.opened.unwrap().elapsed() >= QUIET);
            collector.trade(received(100, order, NOW), now(), 8);
        }
        assert!(collector.is_due());
        collector.committed();
        assert!(collector.is_empty() && !collector.is_due());
    }
}
