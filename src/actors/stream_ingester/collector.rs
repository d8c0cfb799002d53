//! What the stream told since the last commit, until it is worth a transaction. No I/O.

use std::time::{Duration, Instant};

use crate::{
    actors::intake::{Intake, IntakeDecision},
    db::trades::{BatchKind, CursorMove, IncomingTrade, LIVE_CURSOR, QuarantineEntry, TradeBatch},
    domain::{
        close_times::{Recent, SLACK_S},
        cursor::PagingToken,
        instant::UnixSeconds,
    },
    horizon::wire::{Received, Refused},
};

/// A batch is committed when it holds this many records: a large ledger is one transaction, and one publication.
pub(super) const BATCH_RECORDS_MAX: usize = 5_000;
/// A batch is committed when its records are this long: those of a sane Horizon have some 1.2 KB each.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// A batch is committed when nothing came for so long.
pub(super) const QUIET: Duration = Duration::from_millis(50);

/// A batch of one ledger is committed when it was begun so long ago, for who tells it slowly is never quiet.
const ONE_LEDGER_MAX: Duration = Duration::from_millis(500);

/// Collects what the stream tells into batches.
#[derive(Debug)]
pub(super) struct Collector {
    /// The cursor as the database has it.
    stored: Option<PagingToken>,
    intake: Intake,
    /// A ledger and when it closed, by the root; ledgers above it closed later. None if the root does not say.
    anchor: Option<(u32, UnixSeconds)>,
    recent: Recent,
    /// Everything up to here is collected or committed, as far as the stream can be believed.
    reached: PagingToken,
    trades: Vec<IncomingTrade>,
    quarantine: Vec<QuarantineEntry>,
    /// How long its records are.
    bytes: usize,
    /// Trades older than the retention since the last commit.
    passed_over: u64,
    /// When the first record of the batch came.
    opened: Option<Instant>,
    /// A trade of a later ledger than the batch's first came.
    next_ledger_came: bool,
}

impl Collector {
    /// A collector that goes on behind `start`, while the database still has `stored`.
    #[must_use]
    pub(super) fn new(stored: Option<PagingToken>, start: PagingToken, intake: Intake) -> Self {
        Self {
            stored,
            intake,
            anchor: None,
            recent: Recent::default(),
            reached: start,
            trades: Vec::new(),
            quarantine: Vec::new(),
            bytes: 0,
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

    /// The ledger up to which everything is collected, as far as the stream can be believed.
    #[must_use]
    pub(super) fn ledger(&self) -> u32 {
        self.reached.ledger()
    }

    /// The place from which a stream would go on behind what is collected.
    #[must_use]
    pub(super) const fn reached(&self) -> PagingToken {
        self.reached
    }

    /// Returns true if a commit moves the cursor.
    #[must_use]
    pub(super) fn has_advanced(&self) -> bool {
        self.stored.is_none_or(|stored| self.reached > stored)
    }

    /// From now on records are taken in by these rules.
    pub(super) const fn set_intake(&mut self, intake: Intake) {
        self.intake = intake;
    }

    /// Ledgers above this one closed after this time.
    pub(super) const fn set_anchor(&mut self, anchor: Option<(u32, UnixSeconds)>) {
        self.anchor = anchor;
    }

    /// Returns true if a ledger closed after the known ledgers below it: the root's, and those received earlier.
    fn fits(&self, ledger: u32, closed_at: UnixSeconds) -> bool {
        let known = [self.anchor, self.recent.middle()];
        let mut below = known.into_iter().flatten().filter(|(known, _)| *known < ledger);
        below.all(|(_, at)| closed_at.plus(SLACK_S) >= at)
    }

    /// Takes in a trade.
    pub(super) fn trade(&mut self, received: Received, now: UnixSeconds) {
        let token = received.trade.token;
        self.bytes = self.bytes.saturating_add(received.raw.len());
        let (ledger, closed_at) = (token.ledger(), received.trade.closed_at);
        if self.intake.can_be(ledger, closed_at, now) {
            let fits = self.fits(ledger, closed_at);
            self.recent.saw(ledger, closed_at);
            if !fits {
                return self.quarantined(self.intake.misfit(received));
            }
        }
        match self.intake.judge(received, now) {
            IntakeDecision::Stored(trade) => self.trades.push(*trade),
            IntakeDecision::PassedOver => self.passed_over += 1,
            IntakeDecision::Quarantined(entry) => return self.quarantined(entry),
        }
        self.advance(token);
    }

    /// Takes in a record that is no trade.
    pub(super) fn refused(&mut self, refused: Refused) {
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
            return; // a repeat, or out of order: the cursor never goes back
        }
        self.next_ledger_came |= !is_first && token.ledger() > self.reached.ledger();
        self.reached = token;
    }

    /// Whether the batch shall be committed although more is coming.
    #[must_use]
    pub(super) fn is_due(&self) -> bool {
        let records = self.trades.len() + self.quarantine.len();
        let patience = if self.next_ledger_came { QUIET } else { ONE_LEDGER_MAX };
        let waited = self.opened.is_some_and(|opened| opened.elapsed() >= patience);
        records >= BATCH_RECORDS_MAX || self.bytes >= BATCH_BYTES_MAX || waited
    }

    /// What to commit. The collector keeps it until [`Self::committed`].
    #[must_use]
    pub(super) fn batch(&self) -> TradeBatch {
        TradeBatch {
            kind: BatchKind::Live,
            cursor: Some(CursorMove { name: LIVE_CURSOR.into(), expected: self.stored, to: self.reached }),
            trades: self.trades.clone(),
            quarantine: self.quarantine.clone(),
            covered: None, // pages tell what is whole: a stream may skip
        }
    }

    /// Trades passed over since the last commit.
    #[must_use]
    pub(super) const fn passed_over(&self) -> u64 {
        self.passed_over
    }

    /// The batch is in the database.
    pub(super) fn committed(&mut self) {
        let (anchor, recent) = (self.anchor, self.recent);
        *self = Self { anchor, recent, ..Self::new(Some(self.reached), self.reached, self.intake) };
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

    fn received(ledger: i64, order: i32, closed_at: i64) -> Received {
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
        let intake = Intake { source: "stream", ceiling: 1_000, latest_time: None, retention_days: 8 };
        Collector::new(None, PagingToken::before_ledger(100), intake)
    }

    #[test]
    fn the_future_is_quarantined_and_the_far_past_only_counted_and_the_cursor_goes_on() {
        let mut collector = collector();
        collector.trade(received(100, 0, NOW + DAY + 1), now());
        collector.trade(received(101, 0, NOW - 8 * DAY - 1), now());
        collector.trade(received(102, 0, NOW + DAY), now());
        collector.trade(received(103, 0, NOW - 8 * DAY), now());
        let batch = collector.batch();
        assert_eq!((batch.trades.len(), batch.quarantine.len(), collector.passed_over()), (2, 1, 1));
        assert_eq!(batch.cursor.unwrap().to.ledger(), 103);
    }

    #[test]
    fn a_ledger_that_cannot_be_there_yet_does_not_carry_the_cursor_away() {
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
    fn a_time_that_does_not_fit_what_came_before_is_quarantined_and_the_next_one_counts() {
        let mut collector = collector();
        collector.set_anchor(Some((100, UnixSeconds(NOW))));
        collector.trade(received(100, 0, NOW - DAY), now()); // the anchor says nothing of this ledger
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
        // Without the root's close time the earlier ledgers decide.
        collector.set_anchor(None);
        collector.trade(received(105, 0, NOW - 3 * DAY), now());
        assert_eq!(collector.batch().quarantine.len(), 2);
    }

    #[test]
    fn the_clock_of_horizon_bounds_the_future_closely_and_a_clock_of_ours_that_is_behind_does_no_harm() {
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
    fn a_time_before_all_networks_has_no_table_and_is_quarantined() {
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
    fn a_refused_record_moves_the_cursor_if_it_has_a_place() {
        let mut collector = collector();
        let refused = |token| Refused { token, reason: "x".into(), raw: Bytes::new() };
        collector.refused(refused(None));
        assert_eq!(collector.reached, PagingToken::before_ledger(100));
        collector.refused(refused(PagingToken::new(101 << 32, 5)));
        assert_eq!((collector.reached.order, collector.batch().quarantine.len()), (5, 2));
    }

    /// As if the first record of the batch had come so long before.
    fn waits(collector: &mut Collector, time: Duration) {
        let opened = collector.opened.as_mut().unwrap();
        *opened = opened.checked_sub(time).unwrap();
    }

    /// Opens the next batch in the future, so that no time counts as waited.
    fn never_waits(collector: &mut Collector) {
        collector.opened = Instant::now().checked_add(Duration::from_secs(3_600));
    }

    #[test]
    fn a_commit_advances_the_cursor_only_where_something_was_collected() {
        let mut collector = collector();
        assert!(collector.has_advanced(), "the database has no cursor yet");
        collector.committed();
        assert!(!collector.has_advanced(), "the cursor stands where it stood");
        collector.trade(received(100, 0, NOW), now());
        assert!(collector.has_advanced());
    }

    #[test]
    fn times_that_cannot_be_do_not_speak_against_those_that_come_after() {
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
        assert!(collector.is_due(), "it comes too slowly to be waited for");
        collector.committed();
        collector.trade(received(102, 0, NOW), now());
        waits(&mut collector, QUIET);
        assert!(!collector.is_due(), "the first trade of a batch completes no ledger of it");
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
    fn few_records_that_are_long_are_due_as_well() {
        let mut collector = collector();
        never_waits(&mut collector);
        let raw = || Bytes::from(vec![b' '; BATCH_BYTES_MAX / 2]);
        collector.trade(Received { raw: raw(), ..received(100, 0, NOW) }, now());
        assert!(!collector.is_due());
        collector.refused(Refused { token: None, reason: "x".into(), raw: raw() });
        assert!(collector.is_due());
        collector.committed();
        assert!(!collector.is_due());
    }
}
