//! Everything that a publication is made of, as of one `seq`.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};

use super::bulk::{Adder, aside};
use crate::{
    actors::test_hooks::{self, TestHooks},
    db::{Database, DbError, marks::Mark, snapshot::CatchUp, trades::CommittedBatch},
    domain::{
        coverage::LedgerRange,
        directory::Directory,
        instant::UnixSeconds,
        market_snapshot::MarketSnapshot,
        ranking::{self, RankedMarket},
        trade_stats::WindowTrade,
        window::{MarketWindow, published_edges},
        windows::{MarketId, Windows},
    },
};

/// Batches taken in between two looks at the database, half a second apart; beyond it they are read from there.
const UNVERIFIED_MAX: usize = 10_000;
/// Trades that are taken in at once: some milliseconds, so that messages never wait for long.
const PART_TRADES: usize = 10_000;

/// The committed trades, assets and markets up to a `seq`, as far as publications need them.
#[derive(Debug, Default)]
pub struct MarketState {
    windows: Windows,
    directory: Directory,
    seq: i64,
    /// Windows that were made anew may know more than `seq` says, or less than the others, until that reaches this.
    settles_at: i64,
    latest: Option<(u32, UnixSeconds)>,
    /// When the first batch was committed, if some asset had been looked up as it was loaded.
    checked_since: Option<DateTime<Utc>>,
    /// Batches that were taken in since the database was last seen to hold all that is known, and the one of then.
    unverified: Vec<Mark>,
}

/// What was read from the database to bring a state up to date.
#[derive(Debug)]
pub struct Update {
    /// Everything up to this batch was known.
    after: i64,
    told: CatchUp,
    trades: Vec<(MarketId, WindowTrade)>,
    /// Number of them that went into the windows.
    taken: usize,
}

impl Update {
    /// Which ledgers are held whole.
    #[must_use]
    pub fn coverage(&self) -> &[LedgerRange] {
        &self.told.coverage
    }
}

impl MarketState {
    /// Reads everything that the windows of `now` reach.
    ///
    /// # Errors
    ///
    /// Any error of the database.
    pub async fn load(database: &Database, now: UnixSeconds) -> Result<(Self, Vec<LedgerRange>), DbError> {
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
    ) -> Result<(Self, Vec<LedgerRange>), DbError> {
        let [_, edge] = published_edges(now);
        let (adder, mut runs) = Adder::start();
        let told = database
            .load_snapshot(None, &[], edge, &mut |market, trade| {
                if runs.push(market, trade) {
                    step();
                }
            })
            .await?;
        let windows = adder.finish(runs).await?;
        step();
        let coverage = told.coverage.clone();
        // All markets are summed for the first time, and all assets sorted: too long for the actor's thread.
        let state = aside(move || {
            let mut state = Self { windows, ..Self::default() };
            state.learn(told);
            state.windows.advance(now);
            state.directory.listing();
            state
        });
        Ok((state.await?, coverage))
    }

    /// Reads what was committed after `seq`; none where that is nothing. `known` must still be there.
    pub async fn read_after(
        database: &Database,
        seq: i64,
        known: &[Mark],
        now: UnixSeconds,
    ) -> Result<Option<Update>, DbError> {
        if database.current_seq_after(known).await? <= seq {
            return Ok(None);
        }
        let [_, edge] = published_edges(now);
        let mut trades = Vec::new();
        let told = database
            .load_snapshot(Some(seq), known, edge, &mut |market, trade| trades.push((market, trade)))
            .await?;
        Ok(Some(Update { after: seq, told, trades, taken: 0 }))
    }

    /// What the database must still hold.
    #[must_use]
    pub fn unverified(&self) -> Vec<Mark> {
        self.unverified.clone()
    }

    /// The database still holds these, which were all that was unverified when it was asked; the newest stands for all.
    pub fn verified(&mut self, known: &[Mark]) {
        self.unverified.drain(..known.len().min(self.unverified.len()));
        self.unverified.extend(known.iter().max_by_key(|mark| mark.seq));
    }

    /// Applies an update, or the next part of it. Parts that are known already do no harm. Returns true if nothing
    /// of the update is left. Until then nothing may be published, and [`Self::is_settled`] is false.
    pub fn update(&mut self, update: &mut Update) -> bool {
        if update.after > self.seq {
            return true; // windows were rebuilt meanwhile: what lies in between is read again first
        }
        let left = update.trades.get(update.taken..).unwrap_or_default();
        let part = left.get(..PART_TRADES).unwrap_or(left);
        self.windows.add_run(part);
        update.taken += part.len();
        if update.taken < update.trades.len() {
            self.settles_at = self.settles_at.max(update.told.seq);
            return false;
        }
        self.learn(std::mem::take(&mut update.told));
        true
    }

    /// Reads the windows of some markets anew, and up to which batch everything is in them.
    pub async fn read_markets(
        database: &Database,
        markets: Arc<[MarketId]>,
        now: UnixSeconds,
    ) -> Result<(i64, BTreeMap<MarketId, MarketWindow>), DbError> {
        let [_, edge] = published_edges(now);
        let (adder, mut runs) = Adder::start();
        let mut push = |market, trade| {
            runs.push(market, trade);
        };
        let seq = database.load_markets(&markets, edge, &mut push).await?;
        let mut windows: BTreeMap<MarketId, MarketWindow> =
            markets.iter().map(|market| (*market, MarketWindow::default())).collect();
        windows.extend(adder.finish(runs).await?.into_windows());
        Ok((seq, windows))
    }

    /// Puts windows that were read anew in place of those that it has. What was committed since they were read is read
    /// again: so far it goes back.
    pub fn replace(&mut self, seq: i64, windows: BTreeMap<MarketId, MarketWindow>) {
        for (market, window) in windows {
            self.windows.replace(market, window);
        }
        self.settles_at = self.settles_at.max(self.seq).max(seq);
        self.seq = self.seq.min(seq);
    }

    /// Puts assets, markets and books that were read anew in place of those that it has; as [`Self::replace`].
    pub fn replace_directory(&mut self, told: CatchUp) {
        self.directory = Directory::default();
        self.settles_at = self.settles_at.max(self.seq).max(told.seq);
        self.seq = self.seq.min(told.seq);
        self.directory.learn_assets(told.assets);
        self.directory.learn_all_markets(told.markets);
        self.directory.learn_books(told.books, true);
    }

    /// Corrupts the data if a test hook asks for it.
    pub(super) fn corrupt_if_armed(&mut self, hooks: &TestHooks) {
        test_hooks::corrupt_if_armed(hooks, &mut self.windows, &mut self.directory);
    }

    /// Whether all windows are of one batch: else nothing may be published.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.seq >= self.settles_at
    }

    /// For tests of the audit: adds a trade that never was to a market, or to the first. Says to which.
    pub fn skew(&mut self, market: Option<MarketId>) -> Option<MarketId> {
        test_hooks::skew_windows(&mut self.windows, market)
    }

    /// Takes in a batch that follows directly on what is known. Says whether it did.
    pub fn follow(&mut self, batch: &CommittedBatch) -> bool {
        if batch.seq != self.seq + 1 {
            return batch.seq <= self.seq;
        }
        if self.unverified.len() >= UNVERIFIED_MAX {
            return false;
        }
        // New assets are not valid yet: they become so by a batch of their own.
        let markets = batch.new_markets.iter().map(|ids| (ids.market, ids.base, ids.counter));
        self.directory.learn_markets(markets);
        self.windows.add_run(&batch.trades);
        let ledgers = batch.trades.iter().map(|(_, trade)| (trade.token.ledger(), trade.closed_at));
        self.latest = self.latest.max(ledgers.max());
        self.seq = batch.seq;
        self.unverified.push(Mark { seq: batch.seq, committed_at: batch.committed_at });
        true
    }

    fn learn(&mut self, told: CatchUp) {
        if told.assets_were_checked {
            self.checked_since = self.checked_since.or(told.batches_since);
        }
        self.directory.learn_assets(told.assets);
        if told.markets_are_all {
            self.directory.learn_all_markets(told.markets);
        } else {
            self.directory.learn_markets(told.markets);
        }
        self.directory.learn_books(told.books, told.books_are_all);
        self.latest = self.latest.max(told.latest);
        self.seq = self.seq.max(told.seq);
        self.unverified.extend(told.newest);
    }

    /// Up to which batch it goes.
    #[must_use]
    pub const fn seq(&self) -> i64 {
        self.seq
    }

    /// The latest ledger with a trade, and when it closed.
    #[must_use]
    pub const fn latest(&self) -> Option<(u32, UnixSeconds)> {
        self.latest
    }

    /// Whether trades were loaded that had their assets looked up in a run before that which began then.
    #[must_use]
    pub fn is_of_a_run_before(&self, begun: DateTime<Utc>) -> bool {
        self.has_trades() && self.checked_since.is_some_and(|since| since < begun)
    }

    /// Whether any trade was ever taken in.
    #[must_use]
    pub const fn has_trades(&self) -> bool {
        self.latest.is_some()
    }

    /// Moves time on (never back) and gives the markets that traded in the last 7 days, the busiest first.
    #[must_use]
    pub fn ranked_at(&mut self, now: UnixSeconds) -> Vec<RankedMarket> {
        self.windows.advance(now);
        ranking::rank(self.windows.figures(), &self.directory)
    }

    /// Moves time on (never back) and gives everything that a publication is made of.
    pub fn snapshot_at(&mut self, now: UnixSeconds) -> MarketSnapshot {
        self.windows.advance(now);
        self.directory.listing(); // kept, so that boards share it until an asset changes
        MarketSnapshot::new(self.windows.view(), self.directory.clone())
    }

    /// The second that time has moved on to.
    #[must_use]
    pub const fn as_of(&self) -> UnixSeconds {
        self.windows.as_of()
    }
}
