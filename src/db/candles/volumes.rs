//! Volumes of an asset over all of its markets, summed up by the database: XLM has thousands of markets.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use super::{
    super::{Database, DbError, numeric::Whole, transaction},
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
    /// Parts of the time, without overlaps.
    pub spans: Vec<VolumeSpan>,
}

/// Part of the time, and the candles by which its volumes are summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeSpan {
    /// Length of a candle: an hour or a day.
    pub stored: Stored,
    /// First start of a candle.
    pub from: UnixSeconds,
    /// End of the starts, exclusive.
    pub to: UnixSeconds,
}

impl VolumeSpan {
    /// Parts of a time that begins and ends with full hours, to be shown by the day: the whole days, and the hours
    /// before and after them. An asset with thousands of markets has too many hours in a year.
    #[must_use]
    pub fn by_day(from: UnixSeconds, to: UnixSeconds) -> Vec<Self> {
        let days = Stored::Day.buckets();
        let first = days.next_start(from).min(to);
        let end = days.start_of(to).max(first);
        let hours = |from, to| Self { stored: Stored::Hour, from, to };
        let spans = [hours(from, first), Self { stored: Stored::Day, from: first, to: end }, hours(end, to)];
        spans.into_iter().filter(|span| span.from < span.to).collect()
    }
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
        let transaction = transaction::begin_snapshot(&mut client, LIMITS).await?;
        let columns = columns(&transaction, query).await?;
        let mut rows = Vec::new();
        for span in &query.spans {
            let (from, to) = (span.from.to_utc(), span.to.to_utc());
            let params: [(&(dyn ToSql + Sync), Type); 6] = [
                (&columns.ids, Type::INT4_ARRAY),
                (&columns.kinds, Type::INT4_ARRAY),
                (&columns.is_counter, Type::BOOL_ARRAY),
                (&columns.valued_is_counter, Type::BOOL_ARRAY),
                (&from, Type::TIMESTAMPTZ),
                (&to, Type::TIMESTAMPTZ),
            ];
            let stored = if span.stored == Stored::Minute { Stored::Hour } else { span.stored };
            let sql = of_table(include_str!("../sql/candles/volumes.sql"), stored);
            rows.extend(transaction.query_typed(&sql, &params).await?);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instant::{DAY, HOUR};

    #[test]
    fn days_are_summed_by_the_day_and_only_the_ends_by_the_hour() {
        let span = |stored, from, to| VolumeSpan { stored, from: UnixSeconds(from), to: UnixSeconds(to) };
        let (hour, day) = (Stored::Hour, Stored::Day);
        let by_day = |from, to| VolumeSpan::by_day(UnixSeconds(from), UnixSeconds(to));
        assert_eq!(
            by_day(13 * HOUR, 9 * DAY + HOUR),
            [span(hour, 13 * HOUR, DAY), span(day, DAY, 9 * DAY), span(hour, 9 * DAY, 9 * DAY + HOUR)]
        );
        assert_eq!(by_day(DAY, 3 * DAY), [span(day, DAY, 3 * DAY)]);
        assert_eq!(by_day(HOUR, 3 * HOUR), [span(hour, HOUR, 3 * HOUR)]);
        assert_eq!(by_day(HOUR, DAY), [span(hour, HOUR, DAY)]);
        assert_eq!(
            by_day(HOUR, DAY + HOUR),
            [span(hour, HOUR, DAY), span(hour, DAY, DAY + HOUR)],
            "no whole day between them"
        );
        assert_eq!(by_day(5 * HOUR, HOUR), []);
    }
}
