//! Deletion of markets without trades, and of the assets and issuers that only they used. A numbered batch makes every
//! replica forget them.
//!
//! `trades` has no foreign keys, because they would be checked at every insert. Instead, every write shares a lock, and
//! a deletion of ids holds it exclusively. So a write has either committed, and its trades keep their market, or it
//! begins later and finds a new generation of ids; see `ids`.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use deadpool_postgres::Transaction;
use tokio_postgres::{error::SqlState, types::Type};
use tracing::{debug, warn};

use super::{
    Database, DbError, batches,
    fenced::{self, ChangedRows},
    snapshot_read,
};
use crate::domain::windows::MarketId;

/// Limits of the scan of a day of trades. No index by market exists. No other work waits for the scan.
const SCAN_LIMITS: &str = "SET LOCAL statement_timeout = '120s'; SET LOCAL lock_timeout = '1s'; \
                           SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off";
/// Longest search for markets without a trade. The facts that views show are not read meanwhile.
const SEARCH_MAX: Duration = Duration::from_secs(120);
/// Markets deleted in one transaction. Writes of trades wait for its duration.
const MARKETS_AT_ONCE: usize = 1_000;
/// Assets deleted in one transaction. PostgreSQL scans all markets for each of them, because no index by counter asset
/// exists.
const ASSETS_AT_ONCE: i64 = 200;

impl Database {
    /// Deletes markets without a trade and a book, assets that are in no market and do not meet the rules, and issuers
    /// without an asset. Returns the number of deleted rows.
    ///
    /// Valid assets stay, traded or not, because `assets.json` lists them. Assets that meet the rules and wait for
    /// their stellar.toml stay as well. Calls `advance` before each transaction.
    ///
    /// If a statement takes too long, the rest is left to the next pass. That is no error: a pass that failed would be
    /// repeated soon, with all its scans.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection. Earlier steps stay committed.
    pub(super) async fn retire(&self, epoch: i64, advance: impl Fn()) -> Result<u64, DbError> {
        let mut deleted = 0;
        match self.retire_all(epoch, &mut deleted, &advance).await {
            // A long write holds the lock of the ids, or somebody locked a table.
            Err(error) if error.is(&SqlState::LOCK_NOT_AVAILABLE) => {
                debug!(%error, "deletion of unused markets is left to the next pass");
            }
            Err(error) if error.is_timeout() => {
                warn!(%error, "deletion of unused markets took too long and is left to the next pass");
            }
            retired => retired?,
        }
        Ok(deleted)
    }

    /// Adds the number of deleted rows to `deleted`, also if a later step fails.
    async fn retire_all(&self, epoch: i64, deleted: &mut u64, advance: &impl Fn()) -> Result<(), DbError> {
        let (seq, untraded) = self.untraded_markets(advance).await?;
        for part in untraded.chunks(MARKETS_AT_ONCE) {
            advance();
            *deleted += self.retire_markets(epoch, seq, part).await?;
        }
        loop {
            advance();
            match self.retire_assets(epoch).await? {
                0 => return Ok(()),
                step => *deleted += step,
            }
        }
    }

    /// Returns the markets without a trade and a book, and the last batch that this takes into account. Scans the days
    /// of trades one by one, and only until each market without a book is found in one. A search that takes too long
    /// names none.
    async fn untraded_markets(&self, advance: &impl Fn()) -> Result<(i64, Vec<MarketId>), DbError> {
        advance();
        let begun = Instant::now();
        let (seq, mut untraded, days) = self.markets_without_books().await?;
        for day in days {
            if untraded.is_empty() {
                break;
            }
            if begun.elapsed() >= SEARCH_MAX {
                warn!("the search for markets without a trade took too long, none is deleted");
                return Ok((seq, Vec::new()));
            }
            advance();
            let traded = self.markets_traded_in(&day).await?;
            untraded.retain(|market| !traded.contains(market));
        }
        Ok((seq, untraded))
    }

    /// Returns the last batch, and the markets without a book and all partitions of `trades` at that moment. Trades
    /// that a scan of a partition misses are of later batches.
    async fn markets_without_books(&self) -> Result<(i64, Vec<MarketId>, Vec<String>), DbError> {
        let mut client = self.client().await?;
        let transaction = snapshot_read::begin(&mut client, SCAN_LIMITS).await?;
        let seq = seq(&transaction).await?;
        let markets =
            transaction.query_typed(include_str!("sql/clean/markets_without_books.sql"), &[]).await?;
        let markets = markets.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let parts = transaction.query_typed(include_str!("sql/clean/partitions.sql"), &[]).await?;
        let parts = parts.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        transaction.commit().await?;
        Ok((seq, markets, parts))
    }

    /// Returns the markets with a trade in a partition. `partition` is its name as SQL, quoted if needed.
    async fn markets_traded_in(&self, partition: &str) -> Result<HashSet<MarketId>, DbError> {
        let mut client = self.client().await?;
        let transaction = snapshot_read::begin(&mut client, SCAN_LIMITS).await?;
        let sql = include_str!("sql/clean/traded_markets.sql").replace(":partition", partition);
        let rows = transaction.query_typed(&sql, &[]).await?;
        let markets = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        transaction.commit().await?;
        Ok(markets)
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

async fn seq(transaction: &Transaction<'_>) -> Result<i64, DbError> {
    Ok(transaction.query_typed_one(include_str!("sql/lease/seq.sql"), &[]).await?.try_get(0)?)
}

/// Returns the markets of the trades that were committed after a batch.
async fn traded_since(transaction: &Transaction<'_>, since: i64) -> Result<HashSet<MarketId>, DbError> {
    let written = batches::read_after(transaction, since, seq(transaction).await?).await?;
    let mut traded = HashSet::new();
    for (from, to) in written.trades {
        let sql = include_str!("sql/trades/markets_between.sql");
        let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] = [
            (&from.toid, Type::INT8),
            (&from.order, Type::INT4),
            (&to.toid, Type::INT8),
            (&to.order, Type::INT4),
        ];
        for row in &transaction.query_typed(sql, &params).await? {
            traded.insert(row.try_get(0)?);
        }
    }
    Ok(traded)
}
