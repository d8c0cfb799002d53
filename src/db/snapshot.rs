//! What the aggregator reads: everything, or what came after a `seq`; always of one moment.

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
    books, coverage, listing,
    marks::{self, Mark, Position},
    snapshot_read,
    trades::rows::{copied_trade, window_trade},
};
use crate::domain::{
    coverage::LedgerRange, cursor::PagingToken, directory::AssetId, instant::UnixSeconds,
    listed_asset::ListedAsset, orderbook::PolledBook, trade_stats::WindowTrade, windows::MarketId,
};

/// Ten million rows take seconds; what takes minutes will not end.
const LIMITS: &str = "SET LOCAL statement_timeout = '300s'; SET LOCAL lock_timeout = '10s'";
/// All trades are read along their indexes, by one process: neither sorted in files on disk nor in any order.
const IN_ORDER: &str = "SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off; SET LOCAL jit = off; \
                        SET LOCAL max_parallel_workers_per_gather = 0";

/// What was read beside the trades.
#[derive(Clone, Debug, Default)]
pub struct CatchUp {
    /// Up to which batch everything is in it.
    pub seq: i64,
    /// That batch; none before the first.
    pub newest: Option<Mark>,
    /// Assets: all that are valid, or those that changed; none for one that is not valid any more.
    pub assets: Vec<(AssetId, Option<ListedAsset>)>,
    /// Some asset was looked up at Horizon before; only told where everything is read.
    pub assets_were_checked: bool,
    /// When the first batch that is kept was committed; only told where everything is read.
    pub batches_since: Option<DateTime<Utc>>,
    /// Markets, their bases and counters: all of them, or those of the trades that were read.
    pub markets: Vec<(MarketId, AssetId, AssetId)>,
    /// The markets are all that there are: others are gone.
    pub markets_are_all: bool,
    /// Books: all of them, or those that changed.
    pub books: Vec<(MarketId, PolledBook)>,
    /// The books are all that there are: others are gone.
    pub books_are_all: bool,
    /// Ledgers that are held whole.
    pub coverage: Vec<LedgerRange>,
    /// The latest ledger with a trade, and when that closed.
    pub latest: Option<(u32, UnixSeconds)>,
}

/// Takes trades one by one, so that ten million rows need no memory of their own.
pub type TradeSink<'a> = &'a mut (dyn FnMut(MarketId, WindowTrade) + Send);

impl Database {
    /// Reads what was committed after `after` (none: everything), with the trades that closed after `edge`.
    ///
    /// # Errors
    ///
    /// [`DbError::Trimmed`] where the batches after `after` are not kept any more, [`DbError::Rewound`] where those of
    /// `known` are not there: read everything then. Or what the connection said; the sink may have got trades by then.
    pub async fn load_snapshot(
        &self,
        after: Option<i64>,
        known: &[Mark],
        edge: UnixSeconds,
        sink: TradeSink<'_>,
    ) -> Result<CatchUp, DbError> {
        let mut client = self.client().await?;
        let transaction = snapshot_read::begin(&mut client, LIMITS).await?;
        let Position { seq, newest } = marks::position(&transaction, known).await?;
        let mut told = CatchUp {
            seq,
            newest,
            coverage: coverage::merged(
                &transaction.query_typed(include_str!("sql/coverage/all.sql"), &[]).await?,
            )?,
            ..CatchUp::default()
        };
        match after {
            None => everything(&transaction, edge, sink, &mut told).await?,
            Some(seq) => only_after(&transaction, seq, edge, sink, &mut told).await?,
        }
        transaction.commit().await?;
        Ok(told)
    }
}

impl Database {
    /// Reads all assets, markets and books, and up to which batch everything is in them.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn load_lists(&self) -> Result<CatchUp, DbError> {
        let mut client = self.client().await?;
        let transaction = snapshot_read::begin(&mut client, LIMITS).await?;
        let seq = transaction.query_typed_one(include_str!("sql/lease/seq.sql"), &[]).await?.try_get(0)?;
        let mut told = CatchUp { seq, ..CatchUp::default() };
        lists(&transaction, &mut told).await?;
        transaction.commit().await?;
        Ok(told)
    }

    /// Reads the trades of some markets that closed after `edge`. Gives up to which batch everything is in them.
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
        let transaction = snapshot_read::begin(&mut client, LIMITS).await?;
        let seq = transaction.query_typed_one(include_str!("sql/lease/seq.sql"), &[]).await?.try_get(0)?;
        let params: [(&(dyn ToSql + Sync), Type); 2] =
            [(&edge.to_utc(), Type::TIMESTAMPTZ), (&markets, Type::INT4_ARRAY)];
        read_trades(&transaction, include_str!("sql/trades/of_markets.sql"), &params, sink).await?;
        transaction.commit().await?;
        Ok(seq)
    }
}

async fn everything(
    transaction: &Transaction<'_>,
    edge: UnixSeconds,
    sink: TradeSink<'_>,
    told: &mut CatchUp,
) -> Result<(), DbError> {
    lists(transaction, told).await?;
    let any_checked = include_str!("sql/assets/any_checked.sql");
    told.assets_were_checked = transaction.query_typed_one(any_checked, &[]).await?.try_get(0)?;
    let first = transaction.query_typed_opt(include_str!("sql/batches/first.sql"), &[]).await?;
    told.batches_since = first.map(|row| row.try_get(0)).transpose()?;
    transaction.batch_execute(IN_ORDER).await?;
    // The edge is a number of our own making.
    let sql = include_str!("sql/trades/since.sql").replace(":edge", &edge.0.to_string());
    // Closed with the end of this function, before the transaction: behind a pooler nobody else meets its name.
    let statement = transaction.prepare(&sql).await?;
    let mut rows = pin!(transaction.copy_out(&statement).await?);
    let mut newest: Option<(PagingToken, UnixSeconds)> = None;
    while let Some(row) = rows.try_next().await? {
        let Some(fields) = Fields::of(&row)? else { continue };
        let (market, trade) = copied_trade(fields)?;
        newest = newest.max(Some((trade.token, trade.closed_at)));
        sink(market, trade);
    }
    told.latest = newest.map(|(token, closed_at)| (token.ledger(), closed_at));
    Ok(())
}

async fn lists(transaction: &Transaction<'_>, told: &mut CatchUp) -> Result<(), DbError> {
    told.assets = listing::read(transaction, None).await?;
    all_markets(transaction, told).await?;
    all_books(transaction, told).await
}

async fn only_after(
    transaction: &Transaction<'_>,
    seq: i64,
    edge: UnixSeconds,
    sink: TradeSink<'_>,
    told: &mut CatchUp,
) -> Result<(), DbError> {
    let written = batches::read_after(transaction, seq, told.seq).await?;
    let mut seen: HashSet<MarketId> = HashSet::new();
    let mut newest: Option<(PagingToken, UnixSeconds)> = None;
    for (from, to) in &written.trades {
        let edge = edge.to_utc();
        let params: [(&(dyn ToSql + Sync), Type); 5] = [
            (&from.toid, Type::INT8),
            (&from.order, Type::INT4),
            (&to.toid, Type::INT8),
            (&to.order, Type::INT4),
            (&edge, Type::TIMESTAMPTZ),
        ];
        read_trades(transaction, include_str!("sql/trades/between.sql"), &params, &mut |market, trade| {
            seen.insert(market);
            newest = newest.max(Some((trade.token, trade.closed_at)));
            sink(market, trade);
        })
        .await?;
    }
    told.latest = newest.map(|(token, closed_at)| (token.ledger(), closed_at));
    if written.markets_removed {
        all_markets(transaction, told).await?;
    } else {
        let ids: Vec<MarketId> = seen.into_iter().collect();
        let by_id = include_str!("sql/markets/by_id.sql");
        told.markets = markets(&transaction.query_typed(by_id, &[(&ids, Type::INT4_ARRAY)]).await?)?;
    }
    if let Some(versions) = written.asset_versions {
        told.assets = listing::read(transaction, Some(versions)).await?;
    }
    if written.books_removed {
        all_books(transaction, told).await?;
    } else if let Some((first, last)) = written.book_versions {
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&first, Type::INT8), (&last, Type::INT8)];
        told.books = polled(&transaction.query_typed(include_str!("sql/books/changed.sql"), &params).await?)?;
    }
    Ok(())
}

async fn all_markets(transaction: &Transaction<'_>, told: &mut CatchUp) -> Result<(), DbError> {
    told.markets = markets(&transaction.query_typed(include_str!("sql/markets/all.sql"), &[]).await?)?;
    told.markets_are_all = true;
    Ok(())
}

async fn all_books(transaction: &Transaction<'_>, told: &mut CatchUp) -> Result<(), DbError> {
    told.books = polled(&transaction.query_typed(include_str!("sql/books/all.sql"), &[]).await?)?;
    told.books_are_all = true;
    Ok(())
}

async fn read_trades(
    transaction: &Transaction<'_>,
    sql: &str,
    params: &[(&(dyn ToSql + Sync), Type)],
    sink: TradeSink<'_>,
) -> Result<(), DbError> {
    let params = params.iter().map(|(value, kind)| (*value, kind.clone()));
    let mut rows = pin!(transaction.query_typed_raw(sql, params).await?);
    while let Some(row) = rows.try_next().await? {
        let (market, trade) = window_trade(&row)?;
        sink(market, trade);
    }
    Ok(())
}

fn polled(rows: &[Row]) -> Result<Vec<(MarketId, PolledBook)>, DbError> {
    rows.iter().map(books::book).collect()
}

fn markets(rows: &[Row]) -> Result<Vec<(MarketId, AssetId, AssetId)>, DbError> {
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
}
