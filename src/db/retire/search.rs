//! Search for markets without a trade and a book. It may have to scan all stored trades, which takes longer than a pass
//! of the cleaner may. So a pass goes on where the last one ended.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use deadpool_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};
use tracing::debug;

use crate::{
    db::{Database, DbError, batches, marks, transaction, unfinished_search::Search},
    domain::windows::MarketId,
};

/// Limits of the scan of a day of trades. No index by market exists. No other work waits for the scan.
const SCAN_LIMITS: &str = "SET LOCAL statement_timeout = '120s'; SET LOCAL lock_timeout = '1s'; \
                           SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off";
/// Time after which a pass begins no further scan. The facts that views show are not read meanwhile.
const SCANS_MAX: Duration = Duration::from_secs(120);

impl Database {
    /// Returns the search that the last pass did not finish, as of now, or a new one.
    pub(super) async fn resume_search(&self) -> Result<Search, DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin_snapshot(&mut client, SCAN_LIMITS).await?;
        let resumed = match self.unfinished_search.copy() {
            Some(search) => resumed(&transaction, search).await?,
            None => None,
        };
        let search = match resumed {
            Some(search) => search,
            None => begun(&transaction).await?,
        };
        transaction.commit().await?;
        Ok(search)
    }

    /// Scans the days that are left one by one, until each market is found in one. Returns false if the time of a pass
    /// is over before. Scans one day at least.
    pub(super) async fn scan_days(&self, search: &mut Search, advance: &impl Fn()) -> Result<bool, DbError> {
        let begun = Instant::now();
        while !search.untraded.is_empty() {
            let Some(day) = search.days.last() else { break };
            if begun.elapsed() >= SCANS_MAX {
                debug!(days_left = search.days.len(), "search for unused markets goes on in the next pass");
                return Ok(false);
            }
            advance();
            let traded = self.markets_traded_in(day).await?;
            search.untraded.retain(|market| !traded.contains(market));
            search.days.pop();
        }
        Ok(true)
    }

    /// Returns the markets with a trade in a partition. `partition` is its name as SQL, quoted if needed.
    async fn markets_traded_in(&self, partition: &str) -> Result<HashSet<MarketId>, DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin_snapshot(&mut client, SCAN_LIMITS).await?;
        let sql = include_str!("../sql/clean/traded_markets.sql").replace(":partition", partition);
        let rows = transaction.query_typed(&sql, &[]).await?;
        let markets = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        transaction.commit().await?;
        Ok(markets)
    }
}

/// Begins a search: the markets without a book and all partitions of `trades` at this moment.
async fn begun(transaction: &Transaction<'_>) -> Result<Search, DbError> {
    let position = marks::position(transaction, &[]).await?;
    let sql = include_str!("../sql/clean/markets_without_books.sql");
    let markets = transaction.query_typed(sql, &[]).await?;
    let untraded = markets.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    Ok(Search { position, untraded, days: partitions(transaction).await? })
}

/// Takes the batches since the last pass into account. Returns `None` if they are unknown, because they were trimmed,
/// are too many, or the database lost some.
async fn resumed(transaction: &Transaction<'_>, mut search: Search) -> Result<Option<Search>, DbError> {
    let known = search.position.newest;
    let position = match marks::position(transaction, known.as_slice()).await {
        Err(DbError::Rewound { .. }) => return Ok(None),
        position => position?,
    };
    let traded = match traded_since(transaction, search.position.seq).await {
        Err(DbError::Trimmed { .. } | DbError::TooFarBehind { .. }) => return Ok(None),
        traded => traded?,
    };
    // Days may be dropped between two passes. Trades of later days are of later batches.
    let kept = partitions(transaction).await?;
    search.position = position;
    search.untraded.retain(|market| !traded.contains(market));
    search.days.retain(|day| kept.contains(day));
    Ok(Some(search))
}

/// Returns the names of all partitions of `trades`, the newest day last.
async fn partitions(transaction: &Transaction<'_>) -> Result<Vec<String>, DbError> {
    let rows = transaction.query_typed(include_str!("../sql/clean/partitions.sql"), &[]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Returns the number of the last batch.
async fn seq(transaction: &Transaction<'_>) -> Result<i64, DbError> {
    Ok(transaction.query_typed_one(include_str!("../sql/lease/seq.sql"), &[]).await?.try_get(0)?)
}

/// Returns the markets of the trades that were committed after a batch.
pub(super) async fn traded_since(
    transaction: &Transaction<'_>,
    since: i64,
) -> Result<HashSet<MarketId>, DbError> {
    let written = batches::read_after(transaction, since, seq(transaction).await?).await?;
    let mut traded = HashSet::new();
    for (from, to) in written.trades {
        let sql = include_str!("../sql/trades/markets_between.sql");
        let params: [(&(dyn ToSql + Sync), Type); 4] = [
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
