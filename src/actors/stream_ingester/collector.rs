//! Collector of streamed records between two commits. Pure, apart from reading the clock for the age of a batch.

use std::time::{Duration, Instant};

use crate::{
    actors::intake::{Intake, IntakeDecision},
    db::trades::{BatchKind, CursorMove, IncomingTrade, LIVE_CURSOR, QuarantineEntry, TradeBatch},
    domain::{
        close_times::{self, RecentCloseTimes, SLACK_S},
        coverage::ClosedLedger,
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
    anchor: Option<ClosedLedger>,
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
    pub(super) const fn set_anchor(&mut self, anchor: Option<ClosedLedger>) {
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
mod tests;
