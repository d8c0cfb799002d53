//! Volumes of an asset over all of its markets, summed up by the database: XLM has thousands of markets.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use super::{
    super::{Database, DbError, numeric::Whole, snapshot_read},
    of_table,
    read::{LIMITS, complete},
    rows::CandleMarketId,
};
use crate::domain::{
    asset::Asset,
    candles::Stored,
    conversions::SaturatingFrom,
    coverage::TimeSpan,
    instant::UnixSeconds,
    market::Market,
    volume::{QuoteKind, VolumePart},
};

/// Selection of volumes of an asset.
#[derive(Clone, Debug)]
pub struct VolumeQuery {
    /// The asset.
    pub asset: Asset,
    /// Assets that count as one dollar.
    pub anchors: Vec<Asset>,
    /// Length of a candle: an hour or a day.
    pub stored: Stored,
    /// First start of a candle.
    pub from: UnixSeconds,
    /// End of the starts, exclusive.
    pub to: UnixSeconds,
}

/// Markets of an asset, as columns of a statement.
#[derive(Debug, Default)]
struct Columns {
    ids: Vec<CandleMarketId>,
    kinds: Vec<i32>,
    is_counter: Vec<bool>,
    valued_is_counter: Vec<bool>,
}

impl Database {
    /// Sums up the volumes of an asset's markets by the start of their candles and their kind.
    /// Also returns the times of complete ledgers.
    ///
    /// # Errors
    ///
    /// Any error of the connection, or [`DbError::Corrupt`].
    pub async fn candle_volumes(
        &self,
        query: &VolumeQuery,
    ) -> Result<(Vec<VolumePart>, Vec<TimeSpan>), DbError> {
        let mut client = self.client().await?;
        let transaction = snapshot_read::begin(&mut client, LIMITS).await?;
        let columns = columns(&transaction, query).await?;
        let (from, to) = (query.from.to_utc(), query.to.to_utc());
        let params: [(&(dyn ToSql + Sync), Type); 6] = [
            (&columns.ids, Type::INT4_ARRAY),
            (&columns.kinds, Type::INT4_ARRAY),
            (&columns.is_counter, Type::BOOL_ARRAY),
            (&columns.valued_is_counter, Type::BOOL_ARRAY),
            (&from, Type::TIMESTAMPTZ),
            (&to, Type::TIMESTAMPTZ),
        ];
        let stored = if query.stored == Stored::Minute { Stored::Hour } else { query.stored };
        let sql = of_table(include_str!("../sql/candles/volumes.sql"), stored);
        let rows = transaction.query_typed(&sql, &params).await?;
        let complete = complete(&transaction).await?;
        transaction.commit().await?;
        let parts = rows
            .iter()
            .map(|row| {
                let start: DateTime<Utc> = row.try_get(0)?;
                let kind: i32 = row.try_get(1)?;
                let count: i64 = row.try_get(2)?;
                let sum = |at: usize| -> Result<i128, DbError> { Ok(row.try_get::<_, Whole>(at)?.0) };
                Ok(VolumePart {
                    start: start.into(),
                    kind: QuoteKind::ALL
                        .into_iter()
                        .find(|known| number(*known) == kind)
                        .unwrap_or(QuoteKind::Other),
                    volume: sum(3)?,
                    pool: sum(4)?,
                    valued_volume: sum(5)?,
                    trade_count: u64::saturating_from(count),
                })
            })
            .collect::<Result<_, DbError>>()?;
        Ok((parts, complete))
    }
}

/// Number of a kind within a statement.
const fn number(kind: QuoteKind) -> i32 {
    match kind {
        QuoteKind::Dollar => 0,
        QuoteKind::Xlm => 1,
        QuoteKind::Other => 2,
    }
}

async fn columns(transaction: &Transaction<'_>, query: &VolumeQuery) -> Result<Columns, DbError> {
    let name = query.asset.to_string();
    let sql = include_str!("../sql/candles/markets_of.sql");
    let rows = transaction.query_typed(sql, &[(&name, Type::TEXT)]).await?;
    let mut columns = Columns::default();
    for row in &rows {
        let (base, counter): (&str, &str) = (row.try_get(1)?, row.try_get(2)?);
        // Only a hand in the database can make a name that is none. One such row must not stop all others.
        let (Ok(base), Ok(counter)) = (base.parse(), counter.parse()) else { continue };
        let Some((market, false)) = Market::of(base, counter) else { continue };
        let (base, quote) = market.quoted();
        let (kind, valued) = QuoteKind::of_market(base, quote, &query.anchors);
        columns.ids.push(row.try_get(0)?);
        columns.kinds.push(number(kind));
        columns.is_counter.push(*market.counter() == query.asset);
        columns.valued_is_counter.push(valued == market.counter());
    }
    Ok(columns)
}
