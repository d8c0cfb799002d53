//! Deletion of markets without trades, and of the assets and issuers that only they used. A numbered batch makes every
//! replica forget them.
//!
//! `trades` has no foreign keys, because they would be checked at every insert. Instead, every write shares a lock, and
//! a deletion of ids holds it exclusively. So a write has either committed, and its trades keep their market, or it
//! begins later and finds a new generation of ids; see `ids`.

mod search;

use deadpool_postgres::Transaction;
use tokio_postgres::{error::SqlState, types::Type};
use tracing::{debug, warn};

use self::search::traded_since;
use super::{
    Database, DbError, batches,
    fenced::{self, ChangedRows},
    unfinished_search::Search,
};
use crate::domain::windows::MarketId;

/// Markets deleted in one transaction. Writes of trades wait for its duration.
const MARKETS_AT_ONCE: usize = 1_000;
/// Assets deleted in one transaction. PostgreSQL scans all markets for each of them, because no index by counter asset
/// exists.
const ASSETS_AT_ONCE: i64 = 200;

/// Result of a pass.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retired {
    /// Number of deleted rows.
    pub(super) rows: u64,
    /// True if the search for unused markets was not finished: the time of the pass was over, a table was locked, or
    /// a statement took too long. The next pass goes on.
    pub(super) is_searching: bool,
}

impl Database {
    /// Deletes markets without a trade and a book, assets that are in no market and do not meet the rules, and issuers
    /// without an asset.
    ///
    /// Valid assets stay, traded or not, because `assets.json` lists them. Assets that meet the rules and wait for
    /// their stellar.toml stay as well. Calls `advance` before each transaction.
    ///
    /// If a statement takes too long, the rest is left to the next pass. That is no error: a pass that failed would be
    /// repeated soon.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection. Earlier steps stay committed.
    pub(super) async fn retire(&self, epoch: i64, advance: impl Fn()) -> Result<Retired, DbError> {
        let mut retired = Retired::default();
        match self.retire_all(epoch, &mut retired, &advance).await {
            // A long write holds the lock of the ids, or somebody locked a table.
            Err(error) if error.is(&SqlState::LOCK_NOT_AVAILABLE) => {
                debug!(%error, "deletion of unused markets is left to the next pass");
            }
            Err(error) if error.is_timeout() => {
                warn!(%error, "deletion of unused markets took too long and is left to the next pass");
            }
            // Too many batches since the scans. The next pass begins a new search.
            Err(error @ (DbError::Trimmed { .. } | DbError::TooFarBehind { .. })) => {
                debug!(%error, "search for unused markets is out of date");
            }
            outcome => outcome?,
        }
        Ok(retired)
    }

    /// Adds the number of deleted rows to `retired`, also if a later step fails.
    async fn retire_all(
        &self,
        epoch: i64,
        retired: &mut Retired,
        advance: &impl Fn(),
    ) -> Result<(), DbError> {
        retired.is_searching = true; // whatever ends this pass early
        advance();
        let mut search = self.resume_search().await?;
        let searched = self.retire_untraded(epoch, &mut search, &mut retired.rows, advance).await;
        retired.is_searching = !matches!(searched, Ok(true));
        self.unfinished_search.replace(retired.is_searching.then_some(search));
        searched?;
        loop {
            advance();
            match self.retire_assets(epoch).await? {
                0 => return Ok(()),
                step => retired.rows += step,
            }
        }
    }

    /// Scans the days that are left, then deletes the markets that are in none. Returns false if the time of a pass is
    /// over before.
    async fn retire_untraded(
        &self,
        epoch: i64,
        search: &mut Search,
        deleted: &mut u64,
        advance: &impl Fn(),
    ) -> Result<bool, DbError> {
        if !self.scan_days(search, advance).await? {
            return Ok(false);
        }
        for part in search.untraded.chunks(MARKETS_AT_ONCE) {
            advance();
            *deleted += self.retire_markets(epoch, search.position.seq, part).await?;
        }
        Ok(true)
    }

    /// Deletes those of these markets that were not traded after the batch `since` either.
    async fn retire_markets(&self, epoch: i64, since: i64, markets: &[MarketId]) -> Result<u64, DbError> {
        let mut client = self.client().await?;
        let transaction = fenced::begin_alone(&mut client).await?;
        let traded = traded_since(&transaction, since).await?;
        let gone: Vec<MarketId> = markets.iter().filter(|market| !traded.contains(market)).copied().collect();
        let sql = include_str!("sql/clean/retire_markets.sql");
        let deleted = transaction.execute_typed(sql, &[(&gone, Type::INT4_ARRAY)]).await?;
        if deleted > 0 {
            self.commit_retired(transaction, epoch, batches::MARKETS_REMOVED).await?;
        }
        Ok(deleted)
    }

    async fn retire_assets(&self, epoch: i64) -> Result<u64, DbError> {
        let mut client = self.client().await?;
        let transaction = fenced::begin_alone(&mut client).await?;
        let sql = include_str!("sql/clean/retire_assets.sql");
        let assets = transaction.execute_typed(sql, &[(&ASSETS_AT_ONCE, Type::INT8)]).await?;
        let issuers = transaction.execute_typed(include_str!("sql/clean/retire_issuers.sql"), &[]).await?;
        if assets + issuers > 0 {
            // The kind `clean` makes no replica read anything again: in memory are only valid
            // assets and those of markets.
            self.commit_retired(transaction, epoch, "clean").await?;
        }
        Ok(assets + issuers)
    }

    async fn commit_retired(
        &self,
        transaction: Transaction<'_>,
        epoch: i64,
        kind: &str,
    ) -> Result<(), DbError> {
        transaction.execute_typed(include_str!("sql/clean/next_generation.sql"), &[]).await?;
        fenced::commit(transaction, epoch, kind, &ChangedRows::default()).await?;
        Ok(())
    }
}
