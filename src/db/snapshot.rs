//! Reads of the aggregator: everything, or the changes after a `seq`. Each read sees one moment of the database.

use std::{collections::HashSet, pin::pin};

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use futures_util::TryStreamExt;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{
    Database, DbError, batches,
    binary::Fields,
    books, coverage, ids, listing,
    marks::{self, Mark, Position},
    trades::rows::{copied_trade, read_trades},
    transaction,
};
use crate::domain::{
    asset::Asset,
    coverage::{ClosedLedger, LedgerRange},
    cursor::PagingToken,
    directory::AssetId,
    instant::UnixSeconds,
    listed_asset::ListedAsset,
    orderbook::PolledBook,
    trade_stats::WindowTrade,
    windows::MarketId,
};

/// Ten million rows take seconds. The limit stops only a statement that hangs.
const LIMITS: &str = "SET LOCAL statement_timeout = '300s'; SET LOCAL lock_timeout = '10s'";
/// Makes PostgreSQL read all trades in order, by one process and along the indexes. A sort would spill to disk.
const IN_ORDER: &str = "SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off; SET LOCAL jit = off; \
                        SET LOCAL max_parallel_workers_per_gather = 0";

/// Most ranges of trades that a reader catches up with. Each takes a statement: together some seconds, or half a minute
/// across a slow network.
const RANGES_MAX: usize = 2_000;
/// Most trades that a reader catches up with. It collects them before it applies them: 40 MB. Reading everything takes
/// no such list.
const TRADES_MAX: i64 = 500_000;

/// Rows that were read, except for the trades.
#[derive(Clone, Debug, Default)]
pub struct LoadedRows {
    /// Last batch that the read contains.
    pub seq: i64,
    /// Mark of that batch; none before the first.
    pub newest: Option<Mark>,
    /// All valid assets, or the changed ones. None stands for an asset that is not valid any more.
    pub assets: Vec<(AssetId, Option<ListedAsset>)>,
    /// True if any asset was looked up at Horizon before. Only set if everything is read.
    pub has_checked_assets: bool,
    /// Commit time of the oldest batch that is kept. Only set if everything is read.
    pub batches_since: Option<DateTime<Utc>>,
    /// Identities of XLM and of the assets of `markets`.
    pub names: Vec<(AssetId, Asset)>,
    /// Markets with their bases and counters: all of them, or those of the trades that were read.
    pub markets: Vec<(MarketId, AssetId, AssetId)>,
    /// True if `markets` is complete, so that all others were deleted.
    pub has_all_markets: bool,
    /// Books: all of them, or the changed ones.
    pub books: Vec<(MarketId, PolledBook)>,
    /// True if `books` is complete, so that all others were deleted.
    pub has_all_books: bool,
    /// Complete ledgers.
    pub coverage: Vec<LedgerRange>,
    /// Latest ledger with a trade among those read, and its close time.
    pub latest: Option<ClosedLedger>,
}

/// Receives trades one by one, so that ten million rows are never in memory at once.
pub type TradeSink<'a> = &'a mut (dyn FnMut(MarketId, WindowTrade) + Send);

impl Database {
    /// Reads the changes after `after`, or everything for none. Passes the trades that closed after `edge` to `sink`.
    ///
    /// # Errors
    ///
    /// [`DbError::Trimmed`] if the batches after `after` were deleted, [`DbError::Rewound`] if a batch of `known` is
    /// missing, [`DbError::TooFarBehind`] if too much was committed: read everything then. [`DbError::OtherNetwork`] or
    /// [`DbError::Replaced`] if the database is not the one of the start. Or an error of the connection. The sink may
    /// have received trades by then.
    pub async fn load_snapshot(
        &self,
        after: Option<i64>,
        known: &[Mark],
        edge: UnixSeconds,
        sink: TradeSink<'_>,
    ) -> Result<LoadedRows, DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin_snapshot(&mut client, LIMITS).await?;
        // Known batches that the database still holds show that it is the same one.
        if known.is_empty() {
            self.claim.check(&*transaction).await?;
        }
        let Position { seq, newest } = marks::position(&transaction, known).await?;
        let mut read = LoadedRows {
            seq,
            newest,
            coverage: coverage::merged(
                &transaction.query_typed(include_str!("sql/coverage/all.sql"), &[]).await?,
            )?,
            ..LoadedRows::default()
        };
        match after {
            None => load_everything(&transaction, edge, sink, &mut read).await?,
            Some(seq) => load_changes(&transaction, seq, edge, sink, &mut read).await?,
        }
        transaction.commit().await?;
        Ok(read)
    }
}

impl Database {
    /// Reads all assets, markets and books. `seq` of the result is the last batch that they contain.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn load_lists(&self) -> Result<LoadedRows, DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin_snapshot(&mut client, LIMITS).await?;
        self.claim.check(&*transaction).await?;
        let seq = last_seq(&transaction).await?;
        let mut read = LoadedRows { seq, ..LoadedRows::default() };
        load_lists_into(&transaction, &mut read).await?;
        transaction.commit().await?;
        Ok(read)
    }

    /// Reads the trades of some markets that closed after `edge`. Returns the last batch that they contain.
    ///
    /// # Errors
    ///
    /// Any error of the connection. The sink may have received trades by then.
    pub async fn load_markets(
        &self,
        markets: &[MarketId],
        edge: UnixSeconds,
        sink: TradeSink<'_>,
    ) -> Result<i64, DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin_snapshot(&mut client, LIMITS).await?;
        self.claim.check(&*transaction).await?;
        let seq = last_seq(&transaction).await?;
        let params: [(&(dyn ToSql + Sync), Type); 2] =
            [(&edge.to_utc(), Type::TIMESTAMPTZ), (&markets, Type::INT4_ARRAY)];
        read_trades(&transaction, include_str!("sql/trades/of_markets.sql"), &params, sink).await?;
        transaction.commit().await?;
        Ok(seq)
    }
}

/// Returns the number of the last batch.
async fn last_seq(transaction: &Transaction<'_>) -> Result<i64, DbError> {
    Ok(transaction.query_typed_one(include_str!("sql/lease/seq.sql"), &[]).await?.try_get(0)?)
}

async fn load_everything(
    transaction: &Transaction<'_>,
    edge: UnixSeconds,
    sink: TradeSink<'_>,
    read: &mut LoadedRows,
) -> Result<(), DbError> {
    load_lists_into(transaction, read).await?;
    let any_checked = include_str!("sql/assets/any_checked.sql");
    read.has_checked_assets = transaction.query_typed_one(any_checked, &[]).await?.try_get(0)?;
    let first = transaction.query_typed_opt(include_str!("sql/batches/first.sql"), &[]).await?;
    read.batches_since = first.map(|row| row.try_get(0)).transpose()?;
    transaction.batch_execute(IN_ORDER).await?;
    // COPY takes no parameters. The edge is a number, so it needs no quoting.
    let sql = include_str!("sql/trades/since.sql").replace(":edge", &edge.0.to_string());
    // COPY needs a named statement. It is closed before the commit, so behind a pooler no other session can meet its
    // name.
    let statement = transaction.prepare(&sql).await?;
    let mut rows = pin!(transaction.copy_out(&statement).await?);
    let mut newest: Option<(PagingToken, UnixSeconds)> = None;
    while let Some(row) = rows.try_next().await? {
        let Some(fields) = Fields::of(&row)? else { continue };
        let (market, trade) = copied_trade(fields)?;
        newest = newest.max(Some((trade.token, trade.closed_at)));
        sink(market, trade);
    }
    read.latest = newest.map(|(token, closed_at)| (token.ledger(), closed_at));
    Ok(())
}

async fn load_lists_into(transaction: &Transaction<'_>, read: &mut LoadedRows) -> Result<(), DbError> {
    read.assets = listing::read(transaction, None).await?;
    load_all_markets(transaction, read).await?;
    load_all_books(transaction, read).await
}

async fn load_changes(
    transaction: &Transaction<'_>,
    seq: i64,
    edge: UnixSeconds,
    sink: TradeSink<'_>,
    read: &mut LoadedRows,
) -> Result<(), DbError> {
    // Rows carry no `seq`. The batches name ranges of tokens and versions, and the ranges may contain older rows as
    // well. The caller must therefore accept repeats.
    let written = batches::read_after(transaction, seq, read.seq).await?;
    if written.count > TRADES_MAX || written.trades.len() > RANGES_MAX {
        return Err(DbError::TooFarBehind { after: seq });
    }
    let mut seen: HashSet<MarketId> = HashSet::new();
    let mut newest: Option<(PagingToken, UnixSeconds)> = None;
    let mut left = TRADES_MAX;
    for (from, to) in &written.trades {
        let (edge, most) = (edge.to_utc(), left.saturating_add(1));
        let params: [(&(dyn ToSql + Sync), Type); 6] = [
            (&from.toid, Type::INT8),
            (&from.order, Type::INT4),
            (&to.toid, Type::INT8),
            (&to.order, Type::INT4),
            (&edge, Type::TIMESTAMPTZ),
            (&most, Type::INT8),
        ];
        read_trades(transaction, include_str!("sql/trades/between.sql"), &params, |market, trade| {
            left -= 1;
            seen.insert(market);
            newest = newest.max(Some((trade.token, trade.closed_at)));
            sink(market, trade);
        })
        .await?;
        // One late trade makes the range of its batch wide, so the batches may name fewer trades than there are.
        if left < 0 {
            return Err(DbError::TooFarBehind { after: seq });
        }
    }
    read.latest = newest.map(|(token, closed_at)| (token.ledger(), closed_at));
    // A removal names no markets, so all are read. Otherwise only the markets of the trades can be new.
    if written.has_removed_markets {
        load_all_markets(transaction, read).await?;
    } else {
        let ids: Vec<MarketId> = seen.into_iter().collect();
        let by_id = include_str!("sql/markets/by_id.sql");
        read.markets = markets(&transaction.query_typed(by_id, &[(&ids, Type::INT4_ARRAY)]).await?)?;
        let sides: Vec<AssetId> =
            read.markets.iter().flat_map(|(_, base, counter)| [*base, *counter]).collect();
        let by_id = include_str!("sql/assets/names_by_id.sql");
        read.names = names(&transaction.query_typed(by_id, &[(&sides, Type::INT4_ARRAY)]).await?)?;
    }
    if let Some(versions) = written.asset_versions {
        read.assets = listing::read(transaction, Some(versions)).await?;
    }
    if written.has_removed_books {
        load_all_books(transaction, read).await?;
    } else if let Some((first, last)) = written.book_versions {
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&first, Type::INT8), (&last, Type::INT8)];
        read.books = polled(&transaction.query_typed(include_str!("sql/books/changed.sql"), &params).await?)?;
    }
    Ok(())
}

async fn load_all_markets(transaction: &Transaction<'_>, read: &mut LoadedRows) -> Result<(), DbError> {
    read.markets = markets(&transaction.query_typed(include_str!("sql/markets/all.sql"), &[]).await?)?;
    read.has_all_markets = true;
    read.names = names(&transaction.query_typed(include_str!("sql/assets/names.sql"), &[]).await?)?;
    Ok(())
}

async fn load_all_books(transaction: &Transaction<'_>, read: &mut LoadedRows) -> Result<(), DbError> {
    read.books = polled(&transaction.query_typed(include_str!("sql/books/all.sql"), &[]).await?)?;
    read.has_all_books = true;
    Ok(())
}

fn polled(rows: &[Row]) -> Result<Vec<(MarketId, PolledBook)>, DbError> {
    rows.iter().map(books::book).collect()
}

/// Returns the identities of rows. Leaves out an asset whose name is none, which only a hand in the database can make:
/// one such row must not stop the loading of all others.
fn names(rows: &[Row]) -> Result<Vec<(AssetId, Asset)>, DbError> {
    let mut names = Vec::with_capacity(rows.len());
    for row in rows {
        if let Ok(asset) = ids::asset(row.try_get(1)?, row.try_get(2)?) {
            names.push((row.try_get(0)?, asset));
        }
    }
    Ok(names)
}

fn markets(rows: &[Row]) -> Result<Vec<(MarketId, AssetId, AssetId)>, DbError> {
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
}
