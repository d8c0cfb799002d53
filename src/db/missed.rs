//! Read of the trades that a reader of the live stream missed: those of the batches after the last one that it got.

use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{
    Database, DbError,
    candles::READ_LIMITS,
    marks::Mark,
    trades::{BatchKind, columns::TradeReader, rows::window_trade},
    transaction,
};
use crate::domain::{
    changes::NEW_TRADE_S, conversions::SaturatingFrom, cursor::PagingToken, instant::UnixSeconds,
    trade_stats::WindowTrade, windows::MarketId,
};

/// Most batches with trades of an absence.
const BATCHES_MAX: usize = 20_000;
/// Most batches of an absence, those of books and assets included. Readers may have seen any of them. Their marks take
/// 24 bytes each.
const MARKS_MAX: usize = 100_000;
/// Most missed trades.
const TRADES_MAX: usize = 20_000;
/// Most rows that are read to find them. The batches name ranges, and a late trade makes a range wide.
const ROWS_MAX: usize = 50_000;
/// Seconds by which the clocks of the database and of a replica may differ.
pub const CLOCKS_S: i64 = 5;

/// Answer of the database about an absence.
#[derive(Clone, Debug)]
pub enum Missed {
    /// Everything that was missed.
    Known(MissedTrades),
    /// The batch is not held. True if it is later than all held ones.
    NoSuchBatch {
        /// True if the batch is later than all held ones, false if it was deleted.
        is_later: bool,
    },
    /// More was written than is read for a reader.
    TooMany,
}

/// Trades of the batches after one.
#[derive(Clone, Debug)]
pub struct MissedTrades {
    /// The batch and all later ones, without holes.
    pub batches: Vec<Mark>,
    /// New trades in the order of their tokens.
    pub trades: Vec<MissedTrade>,
}

/// A trade that was missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissedTrade {
    /// The batch that wrote it, or a later one.
    pub seq: i64,
    /// Its market.
    pub market: MarketId,
    /// Its figures.
    pub trade: WindowTrade,
}

/// Identities that a batch wrote, both ends inclusive.
#[derive(Clone, Copy, Debug)]
struct Range {
    seq: i64,
    from: PagingToken,
    to: PagingToken,
}

impl Database {
    /// Reads the trades that the batches after `after` and up to `upto` wrote. Leaves out trades that were too old to
    /// be news when they were written.
    ///
    /// # Errors
    ///
    /// Any error of the connection, or [`DbError::Corrupt`].
    pub async fn missed_trades(&self, after: i64, upto: i64) -> Result<Missed, DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin_snapshot(&mut client, READ_LIMITS).await?;
        let most = limit(MARKS_MAX);
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&after, Type::INT8), (&most, Type::INT8)];
        let rows = transaction.query_typed(include_str!("sql/batches/from.sql"), &params).await?;
        if rows.len() > MARKS_MAX {
            return Ok(Missed::TooMany);
        }
        let batches: Vec<Mark> = rows.iter().map(mark).collect::<Result<_, _>>()?;
        let Some(first) = batches.first() else { return Ok(Missed::NoSuchBatch { is_later: true }) };
        if first.seq != after {
            return Ok(Missed::NoSuchBatch { is_later: false });
        }
        let edge = UnixSeconds::from(first.committed_at).minus(NEW_TRADE_S + CLOCKS_S);
        let ranges: Vec<Range> =
            rows.iter().filter_map(|row| range(row, after, upto).transpose()).collect::<Result<_, _>>()?;
        if ranges.len() > BATCHES_MAX {
            return Ok(Missed::TooMany);
        }
        let (Some(from), Some(to)) =
            (ranges.iter().map(|range| range.from).min(), ranges.iter().map(|range| range.to).max())
        else {
            return Ok(Missed::Known(MissedTrades { batches, trades: Vec::new() }));
        };
        let most = limit(ROWS_MAX);
        let params: [(&(dyn ToSql + Sync), Type); 6] = [
            (&from.toid, Type::INT8),
            (&from.order, Type::INT4),
            (&to.toid, Type::INT8),
            (&to.order, Type::INT4),
            (&edge.to_utc(), Type::TIMESTAMPTZ),
            (&most, Type::INT8),
        ];
        let rows = transaction.query_typed(include_str!("sql/trades/missed.sql"), &params).await?;
        transaction.commit().await?;
        if rows.len() > ROWS_MAX {
            return Ok(Missed::TooMany);
        }
        let mut reader = TradeReader::default();
        let found = rows.iter().map(|row| window_trade(row, &mut reader)).collect::<Result<_, _>>()?;
        let trades = written(found, &ranges);
        Ok(if trades.len() > TRADES_MAX {
            Missed::TooMany
        } else {
            Missed::Known(MissedTrades { batches, trades })
        })
    }
}

/// One row more than `most`, so that too many are noticed.
fn limit(most: usize) -> i64 {
    i64::saturating_from(most).saturating_add(1)
}

fn mark(row: &Row) -> Result<Mark, DbError> {
    Ok(Mark { seq: row.try_get(0)?, committed_at: row.try_get(4)? })
}

/// Identities of a batch after `after` and up to `upto`; none if it wrote no trades.
fn range(row: &Row, after: i64, upto: i64) -> Result<Option<Range>, DbError> {
    let (seq, kind): (i64, &str) = (row.try_get(0)?, row.try_get(1)?);
    let (from, to): (Option<&str>, Option<&str>) = (row.try_get(2)?, row.try_get(3)?);
    let is_wanted = BatchKind::named(kind).is_some() && after < seq && seq <= upto;
    let (true, Some(from), Some(to)) = (is_wanted, from, to) else { return Ok(None) };
    let token = |text: &str| text.parse().map_err(|error| DbError::Corrupt(format!("batch {seq}: {error}")));
    Ok(Some(Range { seq, from: token(from)?, to: token(to)? }))
}

/// The trades that a batch wrote, each with the last batch that may have been it. `ranges` are in the order of the
/// batches, and contain other trades as well: a batch names only its first and its last one.
fn written(mut found: Vec<(MarketId, WindowTrade)>, ranges: &[Range]) -> Vec<MissedTrade> {
    found.sort_unstable_by_key(|(_, trade)| trade.token);
    let mut writers: Vec<Option<i64>> = vec![None; found.len()];
    for range in ranges {
        let first = found.partition_point(|(_, trade)| trade.token < range.from);
        let end = found.partition_point(|(_, trade)| trade.token <= range.to);
        writers.get_mut(first..end).unwrap_or_default().fill(Some(range.seq));
    }
    let written = found.into_iter().zip(writers);
    written.filter_map(|((market, trade), seq)| Some(MissedTrade { seq: seq?, market, trade })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::amount::Amount;

    fn token(toid: i64) -> PagingToken {
        PagingToken { toid, order: 0 }
    }

    fn trade(toid: i64) -> (MarketId, WindowTrade) {
        let amount = Amount::from_stroops(1).unwrap();
        let (token, closed_at) = (token(toid), UnixSeconds(toid));
        let trade = WindowTrade {
            token,
            closed_at,
            base_amount: amount,
            counter_amount: amount,
            price: None,
            is_buy: true,
            is_pool: false,
        };
        (1, trade)
    }

    #[test]
    fn a_trade_has_the_last_batch_that_may_have_written_it() {
        let range = |seq, from, to| Range { seq, from: token(from), to: token(to) };
        // Batch 6 wrote a late trade: its range contains those of batch 5.
        let ranges = [range(5, 10, 12), range(6, 3, 20), range(8, 21, 21)];
        let trades = written([21, 3, 11, 2, 30, 20].map(trade).to_vec(), &ranges);
        let seen: Vec<_> = trades.iter().map(|missed| (missed.trade.token.toid, missed.seq)).collect();
        assert_eq!(seen, [(3, 6), (11, 6), (20, 6), (21, 8)]);
    }
}
