//! Origin of one trade: its row, the batches that may have brought it, and its entries in quarantine.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{Database, DbError, candles::READ_LIMITS, trades::columns::TradeReader, transaction};
use crate::domain::{cursor::PagingToken, instant::UnixSeconds, windows::MarketId};

/// Value of a query and its type.
type Value<'a> = (&'a (dyn ToSql + Sync), Type);

/// Most batches and most entries of quarantine.
const ROWS_MAX: i64 = 10;

/// Traces of a trade in the database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TradeOrigin {
    /// The stored trade; null if it is not stored (any more).
    pub stored: Option<StoredTrade>,
    /// Batches whose range of trades contains it, the oldest first. Old batches are deleted.
    pub batches: Vec<OriginBatch>,
    /// Refused records of this paging token, the oldest first.
    pub quarantine: Vec<OriginRefusal>,
}

/// Row of a trade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredTrade {
    /// Close time of its ledger.
    pub ledger_close_time: DateTime<Utc>,
    /// Id of its market in the database.
    pub market: MarketId,
    /// Amount of the market's base, in stroops.
    pub base_stroops: i64,
    /// Amount of the market's counter, in stroops.
    pub counter_stroops: i64,
    /// Numerator of the price, counter per base.
    pub price_n: i64,
    /// Denominator of the price.
    pub price_d: i64,
}

/// A committed batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OriginBatch {
    /// Number of the batch.
    pub seq: i64,
    /// `live`, `backfill` or `repair`.
    pub kind: String,
    /// Start of its transaction, by the clock of the server.
    pub committed_at: DateTime<Utc>,
}

/// A refused record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OriginRefusal {
    /// Time of the refusal.
    pub seen_at: DateTime<Utc>,
    /// Source of the record.
    pub source: String,
    /// Reason.
    pub reason: String,
}

/// Query for `psql` that lists the trades of a market that closed after `from` and up to `to`.
#[must_use]
pub fn query_of_window(market: MarketId, from: UnixSeconds, to: UnixSeconds) -> String {
    let query = include_str!("sql/trades/of_window.sql").replace('\n', " ");
    let query = query.replace(":market", &market.to_string()).replace(":from", &from.to_rfc3339());
    query.replace(":to", &to.to_rfc3339()).trim_end().to_owned()
}

impl Database {
    /// Looks for one trade everywhere.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn trade_origin(&self, token: PagingToken) -> Result<TradeOrigin, DbError> {
        let mut client = self.client().await?;
        // The asking side gives up after some seconds. The statements must end as well: one reads all batches.
        let transaction = transaction::begin_snapshot(&mut client, READ_LIMITS).await?;
        let text = token.to_string();
        let (toid, order): (Value<'_>, Value<'_>) = ((&token.toid, Type::INT8), (&token.order, Type::INT4));
        let limit: Value<'_> = (&ROWS_MAX, Type::INT8);
        let stored = [toid.clone(), order];
        let stored = transaction.query_typed(include_str!("sql/trades/origin.sql"), &stored).await?;
        let sql = include_str!("sql/batches/of_trade.sql");
        let batches = transaction.query_typed(sql, &[toid, limit.clone()]).await?;
        let refused: [Value<'_>; 2] = [(&text, Type::TEXT), limit];
        let refused = transaction.query_typed(include_str!("sql/quarantine/of_token.sql"), &refused).await?;
        transaction.commit().await?;
        Ok(TradeOrigin {
            stored: stored.first().map(stored_trade).transpose()?,
            batches: batches.iter().map(batch).collect::<Result<_, _>>()?,
            quarantine: refused.iter().map(refusal).collect::<Result<_, _>>()?,
        })
    }
}

fn stored_trade(row: &Row) -> Result<StoredTrade, DbError> {
    let mut reader = TradeReader::default();
    let (market, figures) = (reader.market(row)?, reader.figures(row)?);
    Ok(StoredTrade {
        ledger_close_time: figures.closed_at.to_utc(),
        market,
        base_stroops: figures.base_amount,
        counter_stroops: figures.counter_amount,
        price_n: figures.price_n,
        price_d: figures.price_d,
    })
}

fn batch(row: &Row) -> Result<OriginBatch, DbError> {
    Ok(OriginBatch { seq: row.try_get(0)?, kind: row.try_get(1)?, committed_at: row.try_get(2)? })
}

fn refusal(row: &Row) -> Result<OriginRefusal, DbError> {
    Ok(OriginRefusal { seen_at: row.try_get(0)?, source: row.try_get(1)?, reason: row.try_get(2)? })
}
