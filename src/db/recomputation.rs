//! Recomputation for the audit: expected figures from the raw rows, as of one moment and of a publication's `seq`.
//!
//! Trades carry no `seq`. So the rows of later batches are excluded by their ranges of tokens, provided that these
//! ranges hold no other rows. If assets changed after the publication, or books or markets were removed, their earlier
//! values are lost. The caller then retries with a newer publication. The same holds for changed books, unless the
//! caller can leave them out: the poller stores some nearly each second.

mod lists;
mod rows;

pub use lists::Listed;
pub use rows::Summed;
pub(super) use rows::raw_trade;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    pin::pin,
};

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use futures_util::TryStreamExt;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{Database, DbError, batches, transaction};
use crate::{
    audit::{
        Expected,
        assets::ExpectedAsset,
        markets::{ExpectedMarket, PairBook, Side},
        sums::{Ratio, TradeSums},
    },
    domain::{
        cursor::PagingToken,
        instant::{DAY, HOUR, UnixSeconds},
    },
};

/// Ten million rows take tens of seconds. The limit stops only a statement that hangs.
const LIMITS: &str = "SET LOCAL statement_timeout = '600s'; SET LOCAL lock_timeout = '10s'";
/// Largest number of batches after the publication. With more, a newer publication is the better choice.
const LATER_BATCHES_MAX: i64 = 1_000;

/// Publication to audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audited {
    /// Last batch that the publication contains.
    pub seq: i64,
    /// End of its windows.
    pub as_of: UnixSeconds,
}

/// Result of a recomputation.
#[derive(Debug)]
pub enum Recomputed {
    /// Expected content of the publication.
    Expected(Expected),
    /// Reason for which the rows at that `seq` cannot be determined. Retry with a newer publication.
    Missed(&'static str),
}

/// Changes after the publication.
#[derive(Debug, Default)]
struct Later {
    /// Ranges of trades, both ends inclusive.
    ranges: Vec<(PagingToken, PagingToken)>,
    /// Number of trades in the later batches.
    trades: i64,
    /// First and last version of changed books. Their earlier figures are lost.
    books: Option<(i64, i64)>,
    /// True if assets changed too, or books or markets were removed, so that their earlier values are lost.
    has_others: bool,
}

/// Ranges of later trades, as arrays for a statement.
struct LaterColumns {
    /// Lowest toid of all ranges.
    first: i64,
    toids: [Vec<i64>; 2],
    orders: [Vec<i32>; 2],
}

impl Later {
    fn add_books(&mut self, from: i64, to: i64) {
        let (first, last) = self.books.unwrap_or((from, to));
        self.books = Some((first.min(from), last.max(to)));
    }

    /// Returns the ranges that can exclude a trade which closed after `since`.
    ///
    /// A scan compares each of its trades with each range. While history is filled, hundreds of later batches lie below
    /// the week.
    async fn columns_since(
        &self,
        transaction: &Transaction<'_>,
        since: UnixSeconds,
    ) -> Result<LaterColumns, DbError> {
        if self.ranges.is_empty() {
            return Ok(self.columns(i64::MIN));
        }
        // With the start of a day, the first row of each partition counts, so that none has to be skipped.
        let day = UnixSeconds(since.day().saturating_mul(DAY)).to_utc();
        let sql = include_str!("sql/audit/lowest_toid.sql");
        let lowest = transaction.query_typed_opt(sql, &[(&day, Type::TIMESTAMPTZ)]).await?;
        let lowest: Option<i64> = lowest.map(|row| row.try_get(0)).transpose()?;
        Ok(self.columns(lowest.unwrap_or(i64::MAX)))
    }

    /// Returns the ranges that reach up to `lowest` at least.
    fn columns(&self, lowest: i64) -> LaterColumns {
        let reaching = self.ranges.iter().copied().filter(|(_, to)| to.toid >= lowest);
        let (from, to): (Vec<PagingToken>, Vec<PagingToken>) = reaching.unzip();
        let first = from.first().map_or(i64::MAX, |token| token.toid);
        let ends = [from, to];
        LaterColumns {
            first,
            toids: ends.each_ref().map(|end| end.iter().map(|token| token.toid).collect()),
            orders: ends.each_ref().map(|end| end.iter().map(|token| token.order).collect()),
        }
    }
}

impl Database {
    /// Recomputes the content of a publication: the windows of 7 days and of the last `hours`, the assets and the
    /// issuers. Scans the whole week, which takes tens of seconds for ten million trades.
    ///
    /// # Errors
    ///
    /// Any error of the connection, or [`DbError::Corrupt`].
    pub async fn recompute(&self, audited: Audited, hours: i64) -> Result<Recomputed, DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin_snapshot(&mut client, LIMITS).await?;
        let later = match later(&transaction, audited.seq).await? {
            Ok(later) if later.has_others || later.books.is_some() => {
                return Ok(Recomputed::Missed("assets or books changed since the publication"));
            }
            Ok(later) => later,
            Err(missed) => return Ok(Recomputed::Missed(missed)),
        };
        let edges = [7 * DAY, hours.saturating_mul(HOUR)].map(|seconds| audited.as_of.minus(seconds));
        let expected = Expected {
            markets: markets(&transaction, edges, &later).await?,
            assets: assets(&transaction).await?,
            issuers: issuers(&transaction).await?,
        };
        transaction.commit().await?;
        Ok(Recomputed::Expected(expected))
    }
}

/// Returns the changes after `seq`, or the reason for which they cannot be excluded.
async fn later(transaction: &Transaction<'_>, seq: i64) -> Result<Result<Later, &'static str>, DbError> {
    let read: i64 = transaction.query_typed_one(include_str!("sql/lease/seq.sql"), &[]).await?.try_get(0)?;
    if read < seq {
        return Ok(Err("the publication is ahead of this database: is it the daemon's own?"));
    }
    let count = read.saturating_sub(seq);
    if count > LATER_BATCHES_MAX {
        return Ok(Err("the publication is far behind this database: is it the daemon's own?"));
    }
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&seq, Type::INT8), (&count, Type::INT8)];
    let rows = transaction.query_typed(include_str!("sql/audit/batches.sql"), &params).await?;
    if i64::try_from(rows.len()) != Ok(count) {
        return Ok(Err("the batches since the publication are no longer kept"));
    }
    let mut later = Later::default();
    for row in &rows {
        let (kind, trades): (&str, i32) = (row.try_get(1)?, row.try_get(4)?);
        let tokens: (Option<&str>, Option<&str>) = (row.try_get(2)?, row.try_get(3)?);
        match (kind, tokens) {
            ("live" | "backfill" | "repair", (Some(from), Some(to))) => {
                later.ranges.push((token(from)?, token(to)?));
                later.trades = later.trades.saturating_add(i64::from(trades));
            }
            ("books", (Some(from), Some(to))) => later.add_books(version(from)?, version(to)?),
            // The cleaner drops only days that no window reaches. A batch without tokens changed no row.
            ("clean", _) | ("live" | "backfill" | "repair" | "assets" | "books", (None, None)) => {}
            _ => later.has_others = true,
        }
    }
    later.ranges = batches::joined(later.ranges);
    // A range that also covers earlier rows would exclude those as well. The counts show it.
    let mut held = 0_i64;
    for (from, to) in &later.ranges {
        let params = [from.toid, to.toid];
        let orders = [from.order, to.order];
        held = held.saturating_add(count_between(transaction, params, orders).await?);
    }
    Ok(if held == later.trades { Ok(later) } else { Err("trades were filled in between others") })
}

async fn count_between(
    transaction: &Transaction<'_>,
    [from_toid, to_toid]: [i64; 2],
    [from_order, to_order]: [i32; 2],
) -> Result<i64, DbError> {
    let params: [(&(dyn ToSql + Sync), Type); 4] = [
        (&from_toid, Type::INT8),
        (&from_order, Type::INT4),
        (&to_toid, Type::INT8),
        (&to_order, Type::INT4),
    ];
    let sql = include_str!("sql/audit/count_between.sql");
    Ok(transaction.query_typed_one(sql, &params).await?.try_get(0)?)
}

fn token(text: &str) -> Result<PagingToken, DbError> {
    text.parse().map_err(|error| DbError::Corrupt(format!("batch from or to {text:?}: {error}")))
}

fn version(text: &str) -> Result<i64, DbError> {
    text.parse().map_err(|error| DbError::Corrupt(format!("batch from or to {text:?}: {error}")))
}

async fn markets(
    transaction: &Transaction<'_>,
    edges: [UnixSeconds; 2],
    later: &Later,
) -> Result<Vec<ExpectedMarket>, DbError> {
    let [week_edge, _] = edges;
    let [week, recent] = edges.map(UnixSeconds::to_utc);
    let LaterColumns { first, toids: [from_toids, to_toids], orders: [from_orders, to_orders] } =
        later.columns_since(transaction, week_edge).await?;
    let params: [(&(dyn ToSql + Sync), Type); 7] = [
        (&week, Type::TIMESTAMPTZ),
        (&recent, Type::TIMESTAMPTZ),
        (&first, Type::INT8),
        (&from_toids, Type::INT8_ARRAY),
        (&from_orders, Type::INT4_ARRAY),
        (&to_toids, Type::INT8_ARRAY),
        (&to_orders, Type::INT4_ARRAY),
    ];
    let rows = transaction.query_typed_raw(include_str!("sql/audit/markets.sql"), params).await?;
    let mut rows = pin!(rows);
    let mut markets: BTreeMap<(i32, i32), ExpectedMarket> = BTreeMap::new();
    while let Some(row) = rows.try_next().await? {
        let (sides, is_recent): ((i32, i32), bool) = ((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?);
        let sums = sums(&row)?;
        // A market has a row for its recent trades and one for the earlier ones. The week is the sum of both.
        let market = match markets.entry(sides) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(market(&row)?),
        };
        market.week.merge(&sums);
        if is_recent {
            market.recent = sums;
        }
    }
    Ok(markets.into_values().collect())
}

/// Returns the market of a row, without sums of trades.
fn market(row: &Row) -> Result<ExpectedMarket, DbError> {
    let side = |first: usize| -> Result<Side, DbError> {
        let (code, issuer) = (row.try_get(first)?, row.try_get(first + 1)?);
        Ok(Side { code, issuer, pair_code: row.try_get(first + 2)? })
    };
    let book = match row.try_get::<_, Option<i64>>(20)? {
        None => None,
        Some(bid_count) => Some(PairBook {
            bid_count,
            bid_volume: row.try_get(21)?,
            bid_max: row.try_get(22)?,
            ask_count: row.try_get(23)?,
            ask_volume: row.try_get(24)?,
            ask_min: row.try_get(25)?,
        }),
    };
    Ok(ExpectedMarket { base: side(14)?, counter: side(17)?, book, ..ExpectedMarket::default() })
}

fn sums(row: &Row) -> Result<TradeSums, DbError> {
    let corrupt = || DbError::Corrupt("sums of trades out of range".into());
    let sum =
        |at: usize| -> Result<i128, DbError> { row.try_get::<_, &str>(at)?.parse().map_err(|_| corrupt()) };
    let ratio = |at: usize| -> Result<Option<Ratio>, DbError> {
        let (d, n): (Option<i64>, Option<i64>) = (row.try_get(at)?, row.try_get(at + 1)?);
        Ok(d.zip(n))
    };
    // An array of toid, order, price_d and price_n.
    let placed = |at: usize| -> Result<Option<(PagingToken, Ratio)>, DbError> {
        let Some(array) = row.try_get::<_, Option<Vec<i64>>>(at)? else { return Ok(None) };
        let [toid, order, d, n] = array.try_into().map_err(|_| corrupt())?;
        let order = i32::try_from(order).map_err(|_| corrupt())?;
        Ok(Some((PagingToken { toid, order }, (d, n))))
    };
    let (first, last): (DateTime<Utc>, DateTime<Utc>) = (row.try_get(12)?, row.try_get(13)?);
    Ok(TradeSums {
        trade_count: row.try_get(3)?,
        base_volume: sum(4)?,
        counter_volume: sum(5)?,
        open: placed(6)?,
        low: ratio(7)?,
        high: ratio(9)?,
        close: placed(11)?,
        times: Some((first.into(), last.into())),
    })
}

async fn assets(transaction: &Transaction<'_>) -> Result<Vec<ExpectedAsset>, DbError> {
    let rows = transaction.query_typed(include_str!("sql/audit/assets.sql"), &[]).await?;
    rows.iter()
        .map(|row| {
            let (code, issuer) = (row.try_get(0)?, row.try_get(1)?);
            Ok(ExpectedAsset { code, issuer, object: row.try_get(2)?, answer: row.try_get(3)? })
        })
        .collect()
}

async fn issuers(transaction: &Transaction<'_>) -> Result<Vec<(String, String)>, DbError> {
    let rows = transaction.query_typed(include_str!("sql/audit/issuers.sql"), &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_trades_below_the_week_are_compared_with_no_row() {
        let token = |toid| PagingToken { toid, order: 0 };
        let ranges = [(1, 3), (5, 10), (20, 30)].map(|(from, to)| (token(from), token(to)));
        let later = Later { ranges: ranges.to_vec(), ..Later::default() };
        let compared = |lowest| {
            let columns = later.columns(lowest);
            (columns.first, columns.toids)
        };
        assert_eq!(compared(i64::MIN), (1, [vec![1, 5, 20], vec![3, 10, 30]]));
        assert_eq!(compared(10), (5, [vec![5, 20], vec![10, 30]]));
        assert_eq!(compared(11), (20, [vec![20], vec![30]]));
        assert_eq!(compared(31), (i64::MAX, [vec![], vec![]]));
    }
}
