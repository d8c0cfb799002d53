//! Reading of a stretch of ledgers from the lake, from new to old, with a commit per batch. Rows and coverage are
//! committed together, so that a stop at any moment loses at most the reading of one batch.

use std::{cell::Cell, rc::Rc, time::Instant};

use metrics::counter;
use tokio::sync::mpsc;

use super::{
    Backfill, HistoryError, SharedByLoops,
    lake_ahead::{self, Ahead},
    lake_read_state::LakeReadState,
};
use crate::{
    actors::{
        lake_reader::{HASH_TIMEOUT, LakeReader, RefusedFor, RefusedLedgers},
        subjects,
        trace::{context::TraceContext, step::Step},
        worker::WorkContext,
    },
    db::trades::{BatchKind, IncomingTrade, QuarantineEntry, TradeBatch},
    domain::{coverage::LedgerRange, instant::UnixSeconds},
    horizon::budget::Class,
    lake::{Batch, Content, LakeError, Link, RefusedLedger, VerifiedLedger},
    published::{HashCheck, LakeUse},
};

/// Most trades in a transaction.
const WRITTEN_MAX: usize = 20_000;
/// Missing objects in a row after which the next one that exists is searched for.
const MISSING_MAX: u32 = 16;
/// Ledgers in a row with another hash than Horizon's after which the lake is not believed at all.
const DIFFERING_MAX: u32 = 3;

/// Ledgers to read from `to` down to `from`, or until they are older than wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LakeStretch {
    /// Lowest ledger to read.
    pub(super) from: u32,
    /// Highest ledger to read.
    pub(super) to: u32,
    /// Lowest missing ledger, at most `from`. The next object below a large hole is searched for down to here.
    pub(super) floor: u32,
    /// Start of the wanted time.
    pub(super) since: UnixSeconds,
}

/// Dependencies of reading from the lake.
pub(super) struct LakeRead<'a> {
    /// Dependencies of the backfiller.
    pub(super) deps: &'a Backfill,
    /// Reader of the lake.
    pub(super) reader: &'a LakeReader,
    /// Frame of the actor: reports progress to the supervisor.
    pub(super) context: &'a WorkContext,
    /// Knowledge of all loops: Horizon's history, and the ledgers that are left to it.
    pub(super) shared: &'a SharedByLoops,
    /// Kind of the batches that are written.
    pub(super) kind: BatchKind,
    /// Number of stored trades that were not there before. Shared with the progress.
    pub(super) stored: Rc<Cell<u64>>,
    /// Findings until now.
    pub(super) found: Cell<Found>,
}

/// Findings of reading a stretch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// True if a ledger of the stretch was believed.
    pub(super) has_some: bool,
    /// True if the lake has an object below the stretch, and all ledgers above that are left to Horizon.
    pub(super) has_older: bool,
}

impl LakeRead<'_> {
    /// Reads a stretch. Ledgers that are missing or refused are left to Horizon.
    ///
    /// `confirmed` is the lowest ledger that was read before this stretch, if a hash of Horizon leads down to it. The
    /// reading replaces it by its own lowest ledger. If the reading is dropped, it is none.
    pub(super) async fn read(
        &self,
        stretch: LakeStretch,
        confirmed: &mut Option<Link>,
    ) -> Result<(), HistoryError> {
        let above = confirmed.take().filter(|link| link.is_directly_above(stretch.to));
        let mut state = LakeReadState::new(above);
        let mut top = stretch.to;
        let read = loop {
            match self.read_run(stretch, top, &mut state).await {
                Ok(Some(next)) if next >= stretch.from && !state.is_done => top = next,
                Ok(_) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        // Earlier ledgers are valid, so they are stored.
        self.write(&mut state).await?;
        state.end(&read);
        // Without Horizon's hashes a link is the only evidence, and nothing would give it again.
        let may_carry = state.is_confirmed || !self.reader.hashes.is_enabled();
        *confirmed = state.above.filter(|_| may_carry);
        read
    }

    /// Reads down from `top`. Returns where to go on below a large hole.
    ///
    /// The next objects are fetched and decoded while ledgers are stored.
    async fn read_run(
        &self,
        stretch: LakeStretch,
        top: u32,
        state: &mut LakeReadState,
    ) -> Result<Option<u32>, HistoryError> {
        let lake = &self.reader.lake;
        let begun = async { Ok((lake.objects_ahead().await?, lake.descending(stretch.from, top).await?)) };
        let (ahead, batches) =
            begun.await.inspect_err(|error| self.reader.reports.note_failure(LakeUse::History, error))?;
        let room = lake_ahead::room();
        let (sender, receiver) = mpsc::channel(ahead);
        let fetching = lake_ahead::read_ahead(batches, trades_of, &room, sender);
        let mut storing = std::pin::pin!(self.store_run(stretch, top, state, receiver));
        tokio::select! {
            stored = &mut storing => return stored,
            () = fetching => {}
        }
        storing.await
    }

    /// Stores what is read from `top` down.
    async fn store_run(
        &self,
        stretch: LakeStretch,
        top: u32,
        state: &mut LakeReadState,
        mut batches: mpsc::Receiver<Ahead<'_, Result<Batch, LakeError>>>,
    ) -> Result<Option<u32>, HistoryError> {
        while let Some(Ahead { item: batch, room: _room }) = batches.recv().await {
            self.context.advance();
            let batch =
                batch.inspect_err(|error| self.reader.reports.note_failure(LakeUse::History, error))?;
            if matches!(batch.content, Content::Missing) {
                self.check_presence(batch.read_at, state).await?;
            }
            self.reader.reports.note_answer(LakeUse::History);
            let (from, to) = (batch.first.max(stretch.from), batch.last.min(top));
            match batch.content {
                Content::Missing => {
                    self.leave(from, to, state).await?;
                    state.missing = state.missing.saturating_add(1);
                    if state.missing >= MISSING_MAX && from > stretch.floor {
                        let next = self.reader.lake.newest_below(from, stretch.floor).await?;
                        self.check_presence(Instant::now(), state).await?;
                        let left = next.map_or(stretch.floor, |next| next.saturating_add(1));
                        let has_older = next.is_some_and(|next| next < stretch.from);
                        self.found.set(Found { has_older, ..self.found.get() });
                        self.leave(left, from - 1, state).await?;
                        state.missing = 0;
                        return Ok(next);
                    }
                    continue;
                }
                Content::Unreadable(reason) => {
                    let refused = RefusedLedgers { from, to, reason, cause: RefusedFor::Content };
                    self.refuse(refused, state).await?;
                }
                Content::Ledgers(ledgers) => self.take_all(ledgers, (from, to), stretch, state).await?,
            }
            if state.is_done {
                return Ok(None);
            }
            state.missing = 0;
        }
        Ok(None)
    }

    /// Fails unless the lake was there after `missed_at`, when it did not have an object. If it is not there, nothing
    /// may be left to Horizon.
    async fn check_presence(
        &self,
        missed_at: Instant,
        state: &mut LakeReadState,
    ) -> Result<(), HistoryError> {
        if state.present_at.is_some_and(|present_at| missed_at <= present_at) {
            return Ok(());
        }
        let asked_at = Instant::now();
        let present = self.reader.lake.check_presence().await;
        present.inspect_err(|error| self.reader.reports.note_failure(LakeUse::History, error))?;
        state.present_at = Some(asked_at);
        Ok(())
    }

    /// Takes the ledgers of an object, the newest first, until one is older than wanted.
    async fn take_all(
        &self,
        ledgers: Vec<Result<VerifiedLedger, RefusedLedger>>,
        (from, to): (u32, u32),
        stretch: LakeStretch,
        state: &mut LakeReadState,
    ) -> Result<(), HistoryError> {
        for ledger in ledgers.into_iter().rev() {
            match ledger {
                Ok(ledger) => self.take(ledger, stretch, state).await?,
                Err(RefusedLedger { sequence, reason }) if (from..=to).contains(&sequence) => {
                    let refused = RefusedLedgers::one(sequence, reason, RefusedFor::Content);
                    self.refuse(refused, state).await?;
                }
                Err(_) => state.above = None,
            }
            if state.is_done {
                return Ok(());
            }
            if state.is_due() {
                self.write(state).await?;
            }
        }
        Ok(())
    }

    /// Takes a ledger into the next batch, if it fits its neighbours and its hash is the one that Horizon has.
    async fn take(
        &self,
        ledger: VerifiedLedger,
        stretch: LakeStretch,
        state: &mut LakeReadState,
    ) -> Result<(), HistoryError> {
        let sequence = ledger.sequence;
        if sequence < stretch.from {
            return Ok(());
        }
        if sequence > stretch.to {
            // Held already. Its link to the ledger below is not used, because its own hash was not compared again.
            return Ok(());
        }
        if self.reader.checks_chain() {
            if let Some(broken) = state.above.and_then(|above| above.check_below(&ledger).err()) {
                let refused = RefusedLedgers::one(sequence, broken.to_string(), RefusedFor::Chain);
                return self.refuse(refused, state).await;
            }
            if state.above.is_none() && !self.passes_hash_check(&ledger, state).await? {
                return Ok(());
            }
        }
        if let Err(ahead) = self.reader.check_clock(&ledger) {
            if self.closed_before(sequence, ledger.closed_at).await? {
                let refused = RefusedLedgers::one(sequence, ahead.to_string(), RefusedFor::Content);
                return self.refuse(refused, state).await;
            }
            return Err(ahead.into());
        }
        self.found.set(Found { has_some: true, ..self.found.get() });
        // The first ledger that is older is taken too. So the wanted time is held at once.
        state.is_done = ledger.closed_at < stretch.since;
        let now = UnixSeconds::from(self.deps.writer.clock.now());
        state.note(&ledger);
        state.collected.add(ledger, self.reader.reports.newest_at(), self.deps.retention_days, now);
        Ok(())
    }

    /// Returns true if a higher ledger is held that closed before this time: then the time is wrong, and not the clock.
    async fn closed_before(&self, sequence: u32, at: UnixSeconds) -> Result<bool, HistoryError> {
        let held = self.deps.held().await?;
        Ok(held.iter().any(|range| range.from > sequence && range.from_time < at))
    }

    /// Compares the hash of a ledger that no link confirms with Horizon's. Returns false if the ledger is refused.
    async fn passes_hash_check(
        &self,
        ledger: &VerifiedLedger,
        state: &mut LakeReadState,
    ) -> Result<bool, HistoryError> {
        let hash = ledger.hash.to_string();
        // As urgent as new trades: without an answer all history below would be unconfirmed.
        let trace = state.trace(self.context);
        let hashes = self.reader.hashes.caused_by(&trace);
        let mut check = hashes.check(ledger.sequence, &hash, Class::Live).await;
        let is_forgotten = check == HashCheck::Unchecked && self.is_forgotten(ledger.sequence, &trace).await;
        if check == HashCheck::Unchecked && !is_forgotten && !self.found.get().has_some {
            check = hashes.check_again(ledger.sequence, &hash).await;
        }
        if check == HashCheck::Unchecked && self.reader.reports.is_contradicted() {
            return Err(HistoryError::OtherHashes); // it had a wrong ledger, so it is not believed unconfirmed
        }
        state.is_confirmed =
            matches!(check, HashCheck::Agrees { .. }) || check == HashCheck::Unchecked && is_forgotten;
        if let HashCheck::Differs { .. } = check {
            let reason = "its hash is not the one that Horizon has";
            let refused = RefusedLedgers::one(ledger.sequence, reason, RefusedFor::Chain);
            self.refuse(refused, state).await?;
            state.differing = state.differing.saturating_add(1);
            return if state.differing < DIFFERING_MAX { Ok(false) } else { Err(HistoryError::OtherHashes) };
        }
        state.differing = 0;
        Ok(true)
    }

    /// True if Horizon no longer has the ledger. Horizon is not asked if hashes are not compared.
    async fn is_forgotten(&self, ledger: u32, cause: &TraceContext) -> bool {
        if !self.reader.hashes.is_enabled() {
            return false;
        }
        if self.shared.history.get().is_none() && !self.reader.hashes.is_horizon_silent() {
            // Without an answer it may have it.
            let horizon = self.deps.horizon.of_class(Class::History).caused_by(cause);
            let asked = self.deps.history(&horizon, self.shared);
            tokio::time::timeout(HASH_TIMEOUT, asked).await.ok();
        }
        ledger < self.shared.oldest_of_horizon()
    }

    /// Ends the batch and leaves ledgers to Horizon.
    async fn leave(&self, from: u32, to: u32, state: &mut LakeReadState) -> Result<(), HistoryError> {
        self.write(state).await?;
        state.above = None;
        if from <= to {
            counter!("ticker_lake_missing_ledgers_total").increment(u64::from(to - from) + 1);
            self.shared.left.borrow_mut().add_missing(from, to, Instant::now());
        }
        Ok(())
    }

    /// Ends the batch, quarantines ledgers as a range, and leaves them to Horizon.
    async fn refuse(&self, refused: RefusedLedgers, state: &mut LakeReadState) -> Result<(), HistoryError> {
        self.write(state).await?;
        state.above = None;
        let entry = self.reader.reports.note_refused(&refused);
        self.shared.left.borrow_mut().add(refused.from, refused.to, Instant::now());
        state.collected.quarantine.push(entry);
        self.write(state).await
    }

    async fn write(&self, state: &mut LakeReadState) -> Result<(), HistoryError> {
        let covered = state.pending.take();
        let collected = std::mem::take(&mut state.collected);
        let begun = std::mem::replace(&mut state.written_at, Instant::now());
        if covered.is_none() && collected.quarantine.is_empty() {
            return Ok(());
        }
        counter!("ticker_trades_passed_over_total").increment(collected.skipped);
        let mut trades = collected.trades;
        // A huge ledger goes in parts, the last of which says that it is complete.
        while trades.len() > WRITTEN_MAX {
            let part = trades.split_off(trades.len() - WRITTEN_MAX);
            let read = state.take_step(self.context, begun);
            self.commit(part, Vec::new(), None, read).await?;
        }
        let unconfirmed = covered.filter(|_| std::mem::take(&mut state.holds_unconfirmed));
        let read = state.take_step(self.context, begun);
        let writing = self.commit(trades, collected.quarantine, covered, read);
        self.reader.unconfirmed.note_around(&self.deps.writer, unconfirmed, writing).await?;
        if let Some(covered) = covered {
            let ledgers = u64::from(covered.to - covered.from) + 1;
            self.reader.reports.note_stored(covered, ledgers);
        }
        Ok(())
    }

    async fn commit(
        &self,
        trades: Vec<IncomingTrade>,
        quarantine: Vec<QuarantineEntry>,
        covered: Option<LedgerRange>,
        mut read: Step,
    ) -> Result<(), HistoryError> {
        let batch = TradeBatch { kind: self.kind, cursor: None, trades, quarantine, covered };
        read.set_subject(subjects::incoming(&batch));
        let written = self.deps.writer.write(&batch, &read.done(), self.context).await?;
        self.stored.set(self.stored.get().saturating_add(written.new));
        Ok(())
    }
}

/// Trades that an object holds.
fn trades_of(batch: &Result<Batch, LakeError>) -> usize {
    match batch {
        Ok(Batch { content: Content::Ledgers(ledgers), .. }) => {
            ledgers.iter().flatten().map(|ledger| ledger.trades.len() + ledger.refused.len()).sum()
        }
        _ => 0,
    }
}
