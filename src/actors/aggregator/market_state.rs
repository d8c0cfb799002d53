//! Data of publications, as of one `seq`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use actor_tree::test_hooks::TestHooks;
use chrono::{DateTime, Utc};

use super::bulk::{WindowFiller, aside};
use crate::{
    actors::{subjects, test_hooks, trace::subject::Subject},
    db::{Database, DbError, marks::Mark, snapshot::LoadedRows, trades::CommittedBatch},
    domain::{
        coverage::{self, ClosedLedger, LedgerRange},
        directory::Directory,
        instant::UnixSeconds,
        market_snapshot::MarketSnapshot,
        span::Span,
        trade_stats::WindowTrade,
        window::MarketWindow,
        windows::{MarketId, Windows},
    },
};

/// Batches appended between two checks of the database, half a second apart. Further ones are read from the database.
const UNVERIFIED_MAX: usize = 10_000;
/// Longest read of what was committed since. Reading everything takes less time than that.
const READ_MAX: Duration = Duration::from_secs(45);
/// Trades that are applied in one part: some milliseconds, so that messages do not wait for long.
const PART_TRADES: usize = 10_000;

/// Committed trades, assets, markets and books up to a `seq`, as far as publications need them.
#[derive(Debug, Default)]
pub struct MarketState {
    windows: Windows,
    directory: Directory,
    /// Last batch that everything below contains, apart from rebuilt windows.
    seq: i64,
    /// Batch from which all windows agree. Rebuilt windows may be ahead of or behind `seq`. Nothing is published until
    /// `seq >= settles_at`.
    settles_at: i64,
    /// Latest ledger with a trade, and its close time.
    latest: Option<ClosedLedger>,
    /// Complete ledgers, merged and in order.
    coverage: Arc<Vec<LedgerRange>>,
    /// Commit time of the oldest batch, if any asset had been looked up when it was loaded.
    checked_since: Option<DateTime<Utc>>,
    /// Batches appended since the database was last seen to hold all known ones, and the newest one of that time.
    unverified: Vec<Mark>,
}

/// Data read from the database to bring a state up to date.
#[derive(Debug)]
pub struct Update {
    /// Last batch that was known before.
    after: i64,
    rows: LoadedRows,
    /// New trades, in order.
    trades: Vec<(MarketId, WindowTrade)>,
    /// Number of those that are in the windows already.
    applied: usize,
}

impl Update {
    /// Numbers by which it is found in traces: its last batch, and the trades that it read.
    /// Among them may be known ones.
    #[must_use]
    pub fn subject(&self) -> Subject {
        subjects::read(self.rows.seq, &self.trades)
    }
}

impl MarketState {
    /// Loads everything that the windows of `now` contain.
    ///
    /// # Errors
    ///
    /// Any error of the database.
    pub async fn load(database: &Database, now: UnixSeconds) -> Result<Self, DbError> {
        Self::load_in_steps(database, now, &|| {}).await
    }

    /// Like [`Self::load`], but calls `step` after each part of the trades, so that the supervisor sees progress.
    ///
    /// # Errors
    ///
    /// Any error of the database.
    pub async fn load_in_steps(
        database: &Database,
        now: UnixSeconds,
        step: &(dyn Fn() + Sync),
    ) -> Result<Self, DbError> {
        let edge = Span::Week.edge(now);
        let (filler, mut runs) = WindowFiller::start();
        let rows = database
            .load_snapshot(None, &[], edge, &mut |market, trade| {
                if runs.push(market, trade) {
                    step();
                }
            })
            .await?;
        let windows = filler.finish(runs).await?;
        step();
        // This sums all markets and sorts all assets for the first time, which takes too long for the actor's thread.
        aside(move || {
            let mut state = Self { windows, ..Self::default() };
            state.learn(rows);
            state.windows.advance(now);
            state.directory.listing();
            state
        })
        .await
    }

    /// Reads what was committed after `seq`; none if nothing was. Fails if the database does not hold `known` any
    /// more.
    ///
    /// # Errors
    ///
    /// [`DbError::Trimmed`], [`DbError::Rewound`] or [`DbError::TooFarBehind`] if the state must be reloaded, or any
    /// other error of the database.
    pub async fn read_after(
        database: &Database,
        seq: i64,
        known: &[Mark],
        now: UnixSeconds,
    ) -> Result<Option<Update>, DbError> {
        Self::read_after_within(READ_MAX, database, seq, known, now).await
    }

    /// Like [`Self::read_after`], with another limit on the time. [`DbError::TooFarBehind`] if the read takes longer
    /// although the database answers.
    ///
    /// # Errors
    ///
    /// Those of [`Self::read_after`].
    pub async fn read_after_within(
        limit: Duration,
        database: &Database,
        seq: i64,
        known: &[Mark],
        now: UnixSeconds,
    ) -> Result<Option<Update>, DbError> {
        if database.current_seq_after(known).await? <= seq {
            return Ok(None);
        }
        let edge = Span::Week.edge(now);
        let mut trades = Vec::new();
        let mut sink = |market, trade| trades.push((market, trade));
        let read = database.within(limit, database.load_snapshot(Some(seq), known, edge, &mut sink)).await;
        // The next attempt would take as long again. But while the database hangs, the windows are all there is.
        if matches!(read, Err(DbError::Silent(_))) && database.current_seq().await.is_ok() {
            return Err(DbError::TooFarBehind { after: seq });
        }
        let rows = read?;
        Ok(Some(Update { after: seq, rows, trades, applied: 0 }))
    }

    /// Returns the batches that the database must still hold.
    #[must_use]
    pub fn unverified(&self) -> Vec<Mark> {
        self.unverified.clone()
    }

    /// Records that the database holds `known`, which were all unverified batches when it was asked. The newest one
    /// stands for all of them from now on.
    pub fn verified(&mut self, known: &[Mark]) {
        self.unverified.drain(..known.len().min(self.unverified.len()));
        self.unverified.extend(known.iter().max_by_key(|mark| mark.seq));
    }

    /// Applies an update or its next part. Returns true if nothing of it is left. Until then nothing may be published
    /// and [`Self::is_settled`] is false. Applying known trades again changes nothing.
    pub fn update(&mut self, update: &mut Update) -> bool {
        if update.after > self.seq {
            return true; // a rebuild moved `seq` back meanwhile: what lies between is read first
        }
        let left = update.trades.get(update.applied..).unwrap_or_default();
        let part = left.get(..PART_TRADES).unwrap_or(left);
        self.windows.add_run(part);
        update.applied += part.len();
        if update.applied < update.trades.len() {
            self.settles_at = self.settles_at.max(update.rows.seq);
            return false;
        }
        self.learn(std::mem::take(&mut update.rows));
        true
    }

    /// Reads the windows of some markets from the database. Returns them with the last batch that they contain.
    ///
    /// # Errors
    ///
    /// Any error of the database.
    pub async fn read_markets(
        database: &Database,
        markets: Arc<[MarketId]>,
        now: UnixSeconds,
    ) -> Result<(i64, BTreeMap<MarketId, MarketWindow>), DbError> {
        let edge = Span::Week.edge(now);
        let (filler, mut runs) = WindowFiller::start();
        let mut push = |market, trade| {
            runs.push(market, trade);
        };
        let seq = database.load_markets(&markets, edge, &mut push).await?;
        // Markets without any trade left get an empty window.
        let mut windows: BTreeMap<MarketId, MarketWindow> =
            markets.iter().map(|market| (*market, MarketWindow::default())).collect();
        windows.extend(filler.finish(runs).await?.into_windows());
        Ok((seq, windows))
    }

    /// Replaces windows by those that [`Self::read_markets`] read at batch `seq`. Moves `seq` back to that batch, so
    /// that everything committed since is read again.
    pub fn replace(&mut self, seq: i64, windows: BTreeMap<MarketId, MarketWindow>) {
        for (market, window) in windows {
            self.windows.replace(market, window);
        }
        self.settles_at = self.settles_at.max(self.seq).max(seq);
        self.seq = self.seq.min(seq);
    }

    /// Replaces assets, markets and books by those in `rows`. Moves `seq` back like [`Self::replace`].
    pub fn replace_directory(&mut self, rows: LoadedRows) {
        self.directory = Directory::default();
        self.settles_at = self.settles_at.max(self.seq).max(rows.seq);
        self.seq = self.seq.min(rows.seq);
        self.directory.update_assets(rows.assets);
        self.directory.replace_names(rows.names);
        self.directory.replace_markets(rows.markets);
        self.directory.update_books(rows.books, true);
    }

    /// Corrupts the data if a test hook asks for it.
    pub(super) fn corrupt_if_armed(&mut self, hooks: &TestHooks) {
        test_hooks::corrupt_if_armed(hooks, &mut self.windows, &mut self.directory);
    }

    /// Returns true if all windows are of one batch. Otherwise nothing may be published.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.seq >= self.settles_at
    }

    /// Applies a batch that directly follows `seq`. Returns true if the batch is known now, false if the database must
    /// be read first.
    pub fn append(&mut self, batch: &CommittedBatch) -> bool {
        // A known batch is done. Before a later one, batches are missing, which only the database has.
        if batch.seq != self.seq + 1 {
            return batch.seq <= self.seq;
        }
        if self.unverified.len() >= UNVERIFIED_MAX {
            return false;
        }
        // New assets are not valid yet. A later batch, of the look-ups, makes them valid.
        let markets = batch.new_markets.iter().map(|ids| (ids.market, ids.base, ids.counter));
        self.directory.add_names(batch.names.iter().copied());
        self.directory.add_markets(markets);
        self.windows.add_run(&batch.trades);
        let ledgers = batch.trades.iter().map(|(_, trade)| (trade.token.ledger(), trade.closed_at));
        self.latest = self.latest.max(ledgers.max());
        if let Some(covered) = batch.covered {
            let held = self.coverage.iter().copied().chain([covered]);
            self.coverage = Arc::new(coverage::merge(held.collect()));
        }
        self.seq = batch.seq;
        self.unverified.push(Mark { seq: batch.seq, committed_at: batch.committed_at });
        true
    }

    fn learn(&mut self, rows: LoadedRows) {
        if rows.has_checked_assets {
            self.checked_since = self.checked_since.or(rows.batches_since);
        }
        self.directory.update_assets(rows.assets);
        if rows.has_all_markets {
            self.directory.replace_names(rows.names);
            self.directory.replace_markets(rows.markets);
        } else {
            self.directory.add_names(rows.names);
            self.directory.add_markets(rows.markets);
        }
        self.directory.update_books(rows.books, rows.has_all_books);
        self.latest = self.latest.max(rows.latest);
        // Batches that were appended while these rows were read may have completed further ledgers.
        if rows.seq >= self.seq {
            self.coverage = Arc::new(rows.coverage);
        }
        self.seq = self.seq.max(rows.seq);
        self.unverified.extend(rows.newest);
    }

    /// Last batch that this state contains.
    #[must_use]
    pub const fn seq(&self) -> i64 {
        self.seq
    }

    /// Complete ledgers, whose trades are in the windows.
    #[must_use]
    pub fn coverage(&self) -> Arc<Vec<LedgerRange>> {
        Arc::clone(&self.coverage)
    }

    /// Latest ledger with a trade, and its close time.
    #[must_use]
    pub const fn latest(&self) -> Option<ClosedLedger> {
        self.latest
    }

    /// Returns true if trades were loaded whose assets were looked up before the run that began at `run_began`.
    ///
    /// Otherwise the first trades of all may have come while the windows were loaded, and the assets that were looked
    /// up may be others.
    #[must_use]
    pub fn was_validated_before(&self, run_began: DateTime<Utc>) -> bool {
        self.has_trades() && self.checked_since.is_some_and(|since| since < run_began)
    }

    /// Returns true if any trade was ever seen.
    #[must_use]
    pub const fn has_trades(&self) -> bool {
        self.latest.is_some()
    }

    /// Moves the windows forward to `now` and returns a snapshot for a publication.
    pub fn snapshot_at(&mut self, now: UnixSeconds) -> MarketSnapshot {
        self.windows.advance(now);
        self.directory.listing(); // sorts and keeps the listing, which snapshots share until an asset changes
        MarketSnapshot::new(self.windows.view(), self.directory.clone()).with_coverage(self.coverage())
    }

    /// Time of the windows.
    #[must_use]
    pub const fn as_of(&self) -> UnixSeconds {
        self.windows.as_of()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: u32, to: u32) -> LedgerRange {
        let time = |ledger: u32| UnixSeconds(10 * i64::from(ledger));
        LedgerRange { from, to, from_time: time(from), to_time: time(to) }
    }

    fn batch(seq: i64, covered: Option<LedgerRange>) -> CommittedBatch {
        CommittedBatch {
            seq,
            committed_at: DateTime::UNIX_EPOCH,
            trades: Vec::new(),
            new_assets: Vec::new(),
            names: Vec::new(),
            new_markets: Vec::new(),
            covered,
            repeats: 0,
            conflicts: 0,
            quarantined: Vec::new(),
            quarantine_left_out: 0,
        }
    }

    fn complete(state: &mut MarketState) -> Vec<(u32, u32)> {
        let snapshot = state.snapshot_at(UnixSeconds(1_000));
        snapshot.coverage().iter().map(|range| (range.from, range.to)).collect()
    }

    #[test]
    fn a_snapshot_has_the_complete_ledgers_of_its_own_batch() {
        let mut state = MarketState::default();
        assert!(state.append(&batch(1, Some(range(1, 9)))));
        let before = state.snapshot_at(UnixSeconds(1_000));
        assert!(state.append(&batch(2, None)) && state.append(&batch(3, Some(range(12, 14)))));
        assert_eq!(before.coverage(), [range(1, 9)]);
        assert_eq!(complete(&mut state), [(1, 9), (12, 14)]);
        assert!(state.append(&batch(4, Some(range(10, 11)))));
        assert_eq!(complete(&mut state), [(1, 14)]);
        // Ledgers may also be removed, which only the database says.
        let rows = LoadedRows { seq: 5, coverage: vec![range(1, 9)], ..LoadedRows::default() };
        assert!(state.update(&mut Update { after: 4, rows, trades: Vec::new(), applied: 0 }));
        assert_eq!(complete(&mut state), [(1, 9)]);
    }

    #[test]
    fn rows_that_were_read_before_the_last_batch_take_back_no_ledger() {
        let mut state = MarketState::default();
        assert!(state.append(&batch(1, Some(range(1, 9)))) && state.append(&batch(2, Some(range(10, 12)))));
        let rows = LoadedRows { seq: 1, coverage: vec![range(1, 9)], ..LoadedRows::default() };
        assert!(state.update(&mut Update { after: 0, rows, trades: Vec::new(), applied: 0 }));
        assert_eq!((state.seq(), complete(&mut state)), (2, vec![(1, 12)]));
    }
}
