//! Collector of streamed records between two commits. Pure, apart from reading the clock for the age of a batch.

use std::time::{Duration, Instant};

use crate::{
    actors::intake::{Intake, IntakeDecision},
    db::trades::{BatchKind, CursorMove, IncomingTrade, LIVE_CURSOR, QuarantineEntry, TradeBatch},
    domain::{
        close_times::{self, RecentCloseTimes, SLACK_S},
        cursor::PagingToken,
        instant::UnixSeconds,
    },
    horizon::wire::{ReceivedTrade, RecordError},
};

/// Most records in a batch. A large ledger then still fits into one transaction and one publication.
pub(super) const BATCH_RECORDS_MAX: usize = 5_000;
/// Most bytes in a batch. Records of a sane Horizon have some 1.2 KB each.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// Time without a record after which the batch is committed.
pub(super) const QUIET: Duration = Duration::from_millis(50);

/// Ledgers that the trades of a batch may be apart: more than a stream that continues behind its cursor ever has at
/// once. A batch names its first and its last trade, and readers read everything between them.
const BATCH_LEDGERS_MAX: u32 = 200;

/// Upper bound on how long a single-ledger batch stays open. A server that drips records never goes quiet.
const ONE_LEDGER_MAX: Duration = Duration::from_millis(500);

/// Collector of streamed records into batches.
#[derive(Debug)]
pub(super) struct Collector {
    /// Cursor in the database; none if it has none.
    stored: Option<PagingToken>,
    /// Rules by which records are accepted.
    intake: Intake,
    /// A ledger and its close time from Horizon's root, which bounds the times of later ledgers; none if not reported.
    anchor: Option<(u32, UnixSeconds)>,
    /// Close times of the last ledgers received.
    recent: RecentCloseTimes,
    /// Position behind which the stream was asked for.
    start: PagingToken,
    /// Position up to which everything is collected or committed, as far as the stream can be trusted.
    reached: PagingToken,
    /// Trades of this batch.
    trades: Vec<IncomingTrade>,
    /// Refused records of this batch.
    quarantine: Vec<QuarantineEntry>,
    /// Length of the raw records of this batch.
    bytes: usize,
    /// Trades skipped since the last commit, because they are older than the retention.
    skipped: u64,
    /// Time of the first record of this batch; none if it is empty.
    opened: Option<Instant>,
    /// True if a trade of a later ledger than the batch's first one was received.
    next_ledger_came: bool,
}

impl Collector {
    /// Creates a collector that continues behind `start`, while the database has the cursor `stored`.
    #[must_use]
    pub(super) fn new(stored: Option<PagingToken>, start: PagingToken, intake: Intake) -> Self {
        Self {
            stored,
            intake,
            anchor: None,
            recent: RecentCloseTimes::default(),
            start,
            reached: start,
            trades: Vec::new(),
            quarantine: Vec::new(),
            bytes: 0,
            skipped: 0,
            opened: None,
            next_ledger_came: false,
        }
    }

    /// Returns true if there is nothing to commit.
    #[must_use]
    pub(super) const fn is_empty(&self) -> bool {
        self.opened.is_none()
    }

    /// Position from which a stream would continue.
    #[must_use]
    pub(super) const fn reached(&self) -> PagingToken {
        self.reached
    }

    /// Time at which the first record of the batch was received; now if there is none.
    #[must_use]
    pub(super) fn opened(&self) -> Instant {
        self.opened.unwrap_or_else(Instant::now)
    }

    /// Returns true if a commit would move the cursor.
    #[must_use]
    pub(super) fn has_advanced(&self) -> bool {
        self.stored.is_none_or(|stored| self.reached > stored)
    }

    /// Highest ledger that can exist by the present rules.
    #[must_use]
    pub(super) const fn ceiling(&self) -> u32 {
        self.intake.ceiling
    }

    /// Sets the rules for further records.
    pub(super) const fn set_intake(&mut self, intake: Intake) {
        self.intake = intake;
    }

    /// Sets the position behind which further records were asked for.
    pub(super) const fn set_start(&mut self, start: PagingToken) {
        self.start = start;
    }

    /// Sets a ledger and its close time. Ledgers above it closed later.
    pub(super) const fn set_anchor(&mut self, anchor: Option<(u32, UnixSeconds)>) {
        self.anchor = anchor;
    }

    /// Returns true if a close time is not before those of known ledgers below: the root's, and those received earlier.
    fn fits(&self, ledger: u32, closed_at: UnixSeconds) -> bool {
        let known = [self.anchor, self.recent.median()];
        let mut below = known.into_iter().flatten().filter(|(known, _)| *known < ledger);
        below.all(|(_, at)| closed_at.plus(SLACK_S) >= at)
    }

    /// Adds a trade, or its quarantine entry.
    pub(super) fn trade(&mut self, received: ReceivedTrade, now: UnixSeconds) {
        let token = received.trade.token;
        if token <= self.start {
            return self.unasked(received);
        }
        self.bytes = self.bytes.saturating_add(received.raw.len());
        let (ledger, closed_at) = (token.ledger(), received.trade.closed_at);
        if self.intake.is_possible(ledger, closed_at, now) {
            // Compare before the time is recorded, but record it even if it does not fit: one wrong time must not
            // outvote all later ones.
            let fits = self.fits(ledger, closed_at);
            self.recent.record(ledger, closed_at);
            if !fits {
                return self.quarantined(self.intake.misfit(received));
            }
        }
        match self.intake.decide(received, now) {
            IntakeDecision::Store(trade) => self.trades.push(*trade),
            IntakeDecision::Skip => self.skipped += 1,
            IntakeDecision::Quarantine(entry) => return self.quarantined(entry),
        }
        self.advance(token);
    }

    /// Drops a trade that was not asked for: pages read those ledgers, and its close time cannot be checked here. A
    /// server that ignores the cursor repeats recent trades. One far below is false, so it goes to quarantine.
    fn unasked(&mut self, received: ReceivedTrade) {
        if received.trade.token.ledger() < self.start.ledger().saturating_sub(BATCH_LEDGERS_MAX) {
            self.bytes = self.bytes.saturating_add(received.raw.len());
            self.quarantined(self.intake.unasked(received));
        }
    }

    /// Adds a record that is no trade.
    pub(super) fn refused(&mut self, refused: RecordError) {
        self.bytes = self.bytes.saturating_add(refused.raw.len());
        self.quarantined(self.intake.refuse(refused));
    }

    fn quarantined(&mut self, entry: QuarantineEntry) {
        let token = entry.token.unwrap_or(self.reached);
        self.quarantine.push(entry);
        self.advance(token);
    }

    fn advance(&mut self, token: PagingToken) {
        let is_first = self.opened.is_none();
        self.opened.get_or_insert_with(Instant::now);
        if token <= self.reached {
            return; // repeated or out of order: the cursor never goes back
        }
        self.next_ledger_came |= !is_first && token.ledger() > self.reached.ledger();
        self.reached = token;
    }

    /// Returns true if the batch must be committed although more records are coming.
    #[must_use]
    pub(super) fn is_due(&self) -> bool {
        let records = self.trades.len() + self.quarantine.len();
        // A later ledger shows that the batch's first ledger is complete, so there is no reason to wait for more of it.
        let patience = if self.next_ledger_came { QUIET } else { ONE_LEDGER_MAX };
        let waited = self.opened.is_some_and(|opened| opened.elapsed() >= patience);
        records >= BATCH_RECORDS_MAX || self.bytes >= BATCH_BYTES_MAX || waited
    }

    /// Returns the batches to commit, in their order. The collector keeps them until [`Self::committed`].
    ///
    /// The last batch is that of the stream. A trade far below it, which no honest stream has, is in another batch.
    #[must_use]
    pub(super) fn batches(&self) -> Vec<TradeBatch> {
        let (mut trades, misfits) = self.agreed();
        trades.sort_by_key(|incoming| incoming.trade.token);
        let mut batches = Vec::new();
        let mut kind = BatchKind::Live;
        let mut quarantine: Vec<_> = self.quarantine.iter().cloned().chain(misfits).collect();
        let mut cursor =
            Some(CursorMove { name: LIVE_CURSOR.into(), expected: self.stored, to: self.reached });
        loop {
            let newest = trades.last().map_or(0, |incoming| incoming.trade.token.ledger());
            let lowest = newest.saturating_sub(BATCH_LEDGERS_MAX);
            let first = trades.partition_point(|incoming| incoming.trade.token.ledger() < lowest);
            batches.push(TradeBatch {
                kind,
                cursor: cursor.take(),
                trades: trades.split_off(first),
                quarantine: std::mem::take(&mut quarantine),
                covered: None, // a stream may skip trades, so it completes no ledger
            });
            kind = BatchKind::Repair;
            if trades.is_empty() {
                batches.reverse();
                return batches;
            }
        }
    }

    /// Returns the trades that have the close time of most trades of their ledger, and the quarantine entries of the
    /// others. A ledger that two commits share is judged by its own trades in each: the first part may be wrong, so it
    /// must not outvote the second.
    fn agreed(&self) -> (Vec<IncomingTrade>, Vec<QuarantineEntry>) {
        let place = |incoming: &IncomingTrade| (incoming.trade.token.ledger(), incoming.trade.closed_at);
        let times = close_times::majority_times(self.trades.iter().map(place));
        let has_its_time =
            |incoming: &IncomingTrade| times.get(&place(incoming).0) == Some(&incoming.trade.closed_at);
        let (agreed, others): (Vec<_>, Vec<_>) = self.trades.iter().cloned().partition(has_its_time);
        let received = |IncomingTrade { trade, raw }| ReceivedTrade { trade, raw };
        (agreed, others.into_iter().map(|other| self.intake.misfit(received(other))).collect())
    }

    /// Trades skipped since the last commit.
    #[must_use]
    pub(super) const fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Starts the next batch, after a commit.
    pub(super) fn committed(&mut self) {
        let (anchor, recent, start) = (self.anchor, self.recent, self.start);
        *self = Self { anchor, recent, start, ..Self::new(Some(self.reached), self.reached, self.intake) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{close_times::EARLIEST, instant::DAY, test_support::address},
        horizon::wire,
    };
    use bytes::Bytes;

    const NOW: i64 = 1_795_457_237;

    fn now() -> UnixSeconds {
        UnixSeconds(NOW)
    }

    fn received(ledger: i64, order: i32, closed_at: i64) -> ReceivedTrade {
        let record = serde_json::json!({
            "paging_token": format!("{}-{order}", (ledger << 32) + 4097),
            "ledger_close_time": UnixSeconds(closed_at).to_rfc3339(),
            "base_amount": "1.0", "base_asset_type": "native", "base_account": address(1),
            "counter_amount": "2.0", "counter_asset_type": "credit_alphanum4", "counter_asset_code": "TEA",
            "counter_asset_issuer": address(2), "counter_account": address(3), "base_is_seller": true,
            "price": {"n": "2", "d": "1"}
        });
        wire::trade(serde_json::to_vec(&record).unwrap().into(), None).unwrap()
    }

    fn collector() -> Collector {
        let intake = Intake {
            source: "stream",
            ceiling: 1_000,
            latest_time: None,
            newest_at: None,
            retention_days: 8,
        };
        Collector::new(None, PagingToken::before_ledger(100), intake)
    }

    impl Collector {
        /// The batch of the stream.
        fn batch(&self) -> TradeBatch {
            self.batches().pop().unwrap()
        }
    }

    #[test]
    fn trades_far_below_the_others_are_in_narrow_batches_of_their_own() {
        let mut collector = collector();
        let intake = Intake { ceiling: 200_000, ..collector.intake };
        collector.set_intake(intake);
        collector.set_start(PagingToken::FIRST);
        assert_eq!(collector.batches().len(), 1, "a batch without trades moves the cursor");
        let ledgers = [100_000, 100_000 - i64::from(BATCH_LEDGERS_MAX), 7, 100_001, 350, 99_801, 9, 8];
        for ledger in ledgers {
            collector.trade(received(ledger, 0, NOW), now());
        }
        collector.refused(RecordError { token: None, reason: "x".into(), raw: Bytes::new() });
        let batches = collector.batches();
        let of = |batch: &TradeBatch| {
            let ledgers: Vec<u32> =
                batch.trades.iter().map(|incoming| incoming.trade.token.ledger()).collect();
            let cursor = batch.cursor.as_ref().map(|cursor| cursor.to.ledger());
            (batch.kind, cursor, batch.quarantine.len(), ledgers)
        };
        assert_eq!(
            batches.iter().map(of).collect::<Vec<_>>(),
            [
                (BatchKind::Repair, None, 0, vec![7, 8, 9]),
                (BatchKind::Repair, None, 0, vec![350]),
                (BatchKind::Repair, None, 0, vec![99_800]),
                (BatchKind::Live, Some(100_001), 1, vec![99_801, 100_000, 100_001]),
            ]
        );
        collector.committed();
        assert_eq!(collector.batch().trades.len(), 0);
    }

    #[test]
    fn future_trades_are_quarantined_and_old_ones_skipped_and_the_cursor_moves_on() {
        let mut collector = collector();
        collector.trade(received(100, 0, NOW + DAY + 1), now());
        let oldest_day = (NOW - 8 * DAY) - (NOW - 8 * DAY).rem_euclid(DAY);
        collector.trade(received(101, 0, oldest_day - 1), now());
        collector.trade(received(102, 0, NOW + DAY), now());
        collector.trade(received(103, 0, oldest_day), now());
        let batch = collector.batch();
        assert_eq!((batch.trades.len(), batch.quarantine.len(), collector.skipped()), (2, 1, 1));
        assert_eq!(batch.cursor.unwrap().to.ledger(), 103);
    }

    #[test]
    fn a_ledger_that_cannot_exist_yet_does_not_move_the_cursor() {
        let mut collector = collector();
        collector.trade(received(1_001, 0, NOW), now());
        collector.trade(received(1_000, 0, NOW), now());
        let batch = collector.batch();
        assert_eq!(
            (batch.trades.len(), batch.quarantine.len(), batch.cursor.unwrap().to.ledger()),
            (1, 1, 1_000)
        );
    }

    #[test]
    fn a_close_time_that_does_not_fit_earlier_ones_is_quarantined_and_the_next_is_stored() {
        let mut collector = collector();
        collector.set_anchor(Some((100, UnixSeconds(NOW))));
        collector.trade(received(100, 0, NOW - DAY), now()); // the anchor says nothing about its own ledger
        collector.trade(received(101, 0, NOW - SLACK_S), now());
        collector.trade(received(102, 0, NOW - SLACK_S - 1), now());
        assert_eq!((collector.batch().trades.len(), collector.batch().quarantine.len()), (2, 1));
        collector.committed();
        collector.trade(received(103, 0, NOW - 3 * DAY), now());
        collector.trade(received(104, 0, NOW + 20), now());
        let batch = collector.batch();
        assert_eq!(
            (batch.trades.len(), batch.quarantine.len(), batch.cursor.unwrap().to.ledger()),
            (1, 1, 104)
        );
        let reason = &batch.quarantine[0].reason;
        assert!(reason.contains("does not fit those of the ledgers around 103"), "{reason}");
        // Without the root's close time, earlier ledgers decide.
        collector.set_anchor(None);
        collector.trade(received(105, 0, NOW - 3 * DAY), now());
        assert_eq!(collector.batch().quarantine.len(), 2);
    }

    #[test]
    fn trades_of_a_ledger_that_closed_at_another_time_than_most_of_a_batch_are_quarantined() {
        let stored = |trades: &[(i64, i64)]| {
            let mut collector = collector();
            for (order, (ledger, after)) in (0..).zip(trades) {
                collector.trade(received(*ledger, order, NOW + after), now());
            }
            let batch = collector.batch();
            assert_eq!(batch.quarantine.len() + batch.trades.len(), trades.len());
            batch.trades.iter().map(|incoming| incoming.trade.closed_at.0 - NOW).collect::<Vec<_>>()
        };
        assert_eq!(stored(&[(100, 0), (100, 300), (100, 0), (101, 301)]), [0, 0, 301]);
        assert_eq!(stored(&[(100, 0), (100, 300)]), [300], "a tie goes to the latest");
        let mut collector = collector();
        collector.trade(received(100, 0, NOW + 300), now());
        collector.committed();
        collector.trade(received(100, 1, NOW), now());
        assert_eq!(collector.batch().trades.len(), 1, "the part of an earlier batch has no vote");
    }

    #[test]
    fn horizons_clock_bounds_the_future_closely_and_a_slow_clock_of_ours_does_no_harm() {
        let mut collector = collector();
        let intake = Intake { latest_time: Some(UnixSeconds(NOW)), ..collector.intake };
        collector.set_intake(intake);
        collector.trade(received(100, 0, NOW + SLACK_S), now());
        collector.trade(received(101, 0, NOW + SLACK_S + 1), now());
        assert_eq!((collector.batch().trades.len(), collector.batch().quarantine.len()), (1, 1));
        collector.trade(received(102, 0, NOW + SLACK_S), UnixSeconds(NOW - 3_600));
        assert_eq!(collector.batch().trades.len(), 2);
    }

    #[test]
    fn a_close_time_before_all_networks_is_quarantined() {
        let mut collector = collector();
        let intake = Intake { retention_days: 36_500, ..collector.intake };
        collector.set_intake(intake);
        collector.trade(received(100, 0, EARLIEST.0), now());
        collector.trade(received(101, 0, EARLIEST.0 - 1), now());
        assert_eq!((collector.batch().trades.len(), collector.batch().quarantine.len()), (1, 1));
    }

    #[test]
    fn the_cursor_never_goes_back() {
        let mut collector = collector();
        collector.trade(received(102, 1, NOW), now());
        collector.trade(received(101, 0, NOW), now());
        assert_eq!((collector.reached.ledger(), collector.batch().trades.len()), (102, 2));
    }

    #[test]
    fn a_trade_that_was_not_asked_for_is_never_stored_and_quarantined_if_it_is_far_below() {
        let mut collector = collector();
        collector.set_start(PagingToken::before_ledger(500));
        for ledger in [499, 500 - i64::from(BATCH_LEDGERS_MAX)] {
            collector.trade(received(ledger, 0, NOW), now());
        }
        assert!(collector.is_empty(), "recent trades, once more");
        for count in 1..3 {
            collector.trade(received(299, count, NOW), now()); // an old ledger with a recent time
            collector.trade(received(500, count, NOW), now());
            let batch = collector.batch();
            assert_eq!((collector.batches().len(), batch.trades.len(), batch.quarantine.len()), (1, 1, 1));
            collector.committed();
        }
    }

    #[test]
    fn a_refused_record_moves_the_cursor_if_it_has_a_position() {
        let mut collector = collector();
        let refused = |token| RecordError { token, reason: "x".into(), raw: Bytes::new() };
        collector.refused(refused(None));
        assert_eq!(collector.reached, PagingToken::before_ledger(100));
        collector.refused(refused(PagingToken::new(101 << 32, 5)));
        assert_eq!((collector.reached.order, collector.batch().quarantine.len()), (5, 2));
    }

    /// Makes the first record of the batch older by `time`.
    fn waits(collector: &mut Collector, time: Duration) {
        let opened = collector.opened.as_mut().unwrap();
        *opened = opened.checked_sub(time).unwrap();
    }

    /// Opens the next batch in the future, so that no time counts as waited.
    fn never_waits(collector: &mut Collector) {
        collector.opened = Instant::now().checked_add(Duration::from_secs(3_600));
    }

    #[test]
    fn a_commit_moves_the_cursor_only_if_something_was_collected() {
        let mut collector = collector();
        assert!(collector.has_advanced(), "the database has no cursor yet");
        collector.committed();
        assert!(!collector.has_advanced(), "the cursor has not moved");
        collector.trade(received(100, 0, NOW), now());
        assert!(collector.has_advanced());
    }

    #[test]
    fn impossible_close_times_are_not_evidence_against_later_ones() {
        let mut collector = collector();
        for ledger in 100..105 {
            collector.trade(received(ledger, 0, NOW + 2 * DAY), now());
        }
        collector.trade(received(105, 0, NOW), now());
        assert_eq!((collector.batch().trades.len(), collector.batch().quarantine.len()), (1, 5));
    }

    #[test]
    fn a_batch_waits_for_its_ledger_and_not_for_the_next_one() {
        let mut collector = collector();
        collector.trade(received(100, 0, NOW), now());
        collector.trade(received(100, 1, NOW), now());
        waits(&mut collector, QUIET);
        assert!(!collector.is_due(), "more of the ledger may come");
        collector.trade(received(101, 0, NOW), now());
        assert!(collector.is_due(), "the ledger is complete");
        collector.committed();
        collector.trade(received(101, 1, NOW), now());
        waits(&mut collector, ONE_LEDGER_MAX);
        assert!(collector.is_due(), "the server is too slow to wait for");
        collector.committed();
        collector.trade(received(102, 0, NOW), now());
        waits(&mut collector, QUIET);
        assert!(!collector.is_due(), "the first trade of a batch does not complete its ledger");
    }

    #[test]
    fn many_records_are_due_at_once() {
        let mut collector = collector();
        never_waits(&mut collector);
        for order in 0..i32::try_from(BATCH_RECORDS_MAX).unwrap() {
            assert!(!collector.is_due());
            collector.trade(received(100, order, NOW), now());
        }
        assert!(collector.is_due());
        collector.committed();
        assert!(collector.is_empty() && !collector.is_due());
    }

    #[test]
    fn few_long_records_are_due_as_well() {
        let mut collector = collector();
        never_waits(&mut collector);
        let raw = || Bytes::from(vec![b' '; BATCH_BYTES_MAX / 2]);
        collector.trade(ReceivedTrade { raw: raw(), ..received(100, 0, NOW) }, now());
        assert!(!collector.is_due());
        collector.refused(RecordError { token: None, reason: "x".into(), raw: raw() });
        assert!(collector.is_due());
        collector.committed();
        assert!(!collector.is_due());
    }
}
