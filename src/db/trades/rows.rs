//! Reading and writing rows of `trades`. Their columns are in [`super::columns`].

use std::{collections::HashMap, pin::pin};

use deadpool_postgres::Transaction;
use futures_util::{SinkExt, TryStreamExt};
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{
    DbError, IncomingTrade, MarketId, MarketIds, PagingToken, Resolved, Trade, WindowTrade,
    columns::{self, StoredFigures, StoredParties, TradeReader},
};
use crate::{
    db::binary::{Encoder, Fields},
    domain::{amount::Amount, price::Price},
};

/// Largest gap, in ledgers, between trades that one range looks up. Reading past the few rows in the gap costs less
/// than looking into the index of every partition once more.
pub(in crate::db) const RANGE_GAP_LEDGERS: u32 = 16;

/// A stored row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Held {
    market: MarketId,
    figures: StoredFigures,
    parties: StoredParties,
}

impl Held {
    /// Returns true if the row is exactly this trade.
    pub(super) fn is(&self, trade: &Trade, resolved: &Resolved) -> bool {
        resolved.get(&trade.market).is_some_and(|ids| {
            self.market == ids.market
                && self.figures == StoredFigures::from(trade)
                && self.parties.match_trade(trade)
        })
    }
}

/// Returns the stored rows of these identities, which must be in order. Rows between them may be among the results.
pub(super) async fn find(
    transaction: &Transaction<'_>,
    trades: &[&IncomingTrade],
) -> Result<HashMap<PagingToken, Held>, DbError> {
    if trades.is_empty() {
        return Ok(HashMap::new());
    }
    let (low, high) = ranges(trades.iter().map(|incoming| incoming.trade.token));
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&low, Type::INT8_ARRAY), (&high, Type::INT8_ARRAY)];
    let rows = transaction.query_typed(include_str!("../sql/trades/find.sql"), &params).await?;
    let mut reader = TradeReader::default();
    rows.iter().map(|row| held(row, &mut reader)).collect()
}

/// Returns the first and the last toid of each range of tokens that are close together. The tokens must be in order.
fn ranges(tokens: impl Iterator<Item = PagingToken>) -> (Vec<i64>, Vec<i64>) {
    let (mut low, mut high): (Vec<i64>, Vec<i64>) = (Vec::new(), Vec::new());
    let mut ledger = 0_u32;
    for token in tokens {
        match high.last_mut() {
            Some(last) if token.ledger() <= ledger.saturating_add(RANGE_GAP_LEDGERS) => *last = token.toid,
            _ => {
                low.push(token.toid);
                high.push(token.toid);
            }
        }
        ledger = token.ledger();
    }
    (low, high)
}

fn held(row: &Row, reader: &mut TradeReader) -> Result<(PagingToken, Held), DbError> {
    let (market, figures) = (reader.market(row)?, reader.figures(row)?);
    Ok((figures.token, Held { market, figures, parties: columns::stored_parties(row)? }))
}

/// Inserts trades that are not stored yet. Returns them in the form that windows take.
pub(super) async fn insert(
    transaction: &Transaction<'_>,
    trades: &[&Trade],
    resolved: &Resolved,
) -> Result<Vec<(MarketId, WindowTrade)>, DbError> {
    if trades.is_empty() {
        return Ok(Vec::new());
    }
    // COPY needs a named statement. It is closed before the commit, so behind a pooler no other session can meet its
    // name.
    let statement = transaction.prepare(include_str!("../sql/trades/insert.sql")).await?;
    let mut sink = pin!(transaction.copy_in(&statement).await?);
    let mut rows = Encoder::new();
    let mut written = Vec::with_capacity(trades.len());
    for trade in trades {
        let ids =
            resolved.get(&trade.market).ok_or_else(|| DbError::Corrupt(format!("{:?}", trade.market)))?;
        encode(&mut rows, trade, ids)?;
        if let Some(chunk) = rows.full_chunk() {
            sink.send(chunk).await?;
        }
        written.push((ids.market, WindowTrade::from(*trade)));
    }
    sink.send(rows.finish()).await?;
    sink.finish().await?;
    Ok(written)
}

/// Writes the columns of `insert.sql`, in their order.
fn encode(rows: &mut Encoder, trade: &Trade, ids: MarketIds) -> Result<(), DbError> {
    let figures = StoredFigures::from(trade);
    rows.row(14);
    rows.int8(figures.token.toid);
    rows.int4(figures.token.order);
    rows.timestamptz(figures.closed_at.to_utc());
    for id in [ids.market, ids.base, ids.counter] {
        rows.int4(id);
    }
    for figure in [figures.base_amount, figures.counter_amount, figures.price_n, figures.price_d] {
        rows.int8(figure);
    }
    rows.bool(trade.base_is_seller);
    for party in columns::parties(trade) {
        rows.text(party)?;
    }
    Ok(())
}

/// Reads the trades that a statement selects, and passes them to `sink` one by one, so that ten million rows are never
/// in memory at once.
pub(in crate::db) async fn read_trades(
    transaction: &Transaction<'_>,
    sql: &str,
    params: &[(&(dyn ToSql + Sync), Type)],
    mut sink: impl FnMut(MarketId, WindowTrade),
) -> Result<(), DbError> {
    let params = params.iter().map(|(value, kind)| (*value, kind.clone()));
    let mut rows = pin!(transaction.query_typed_raw(sql, params).await?);
    let mut reader = TradeReader::default();
    while let Some(row) = rows.try_next().await? {
        let (market, trade) = window_trade(&row, &mut reader)?;
        sink(market, trade);
    }
    Ok(())
}

/// Returns a row as windows take it.
pub(in crate::db) fn window_trade(
    row: &Row,
    reader: &mut TradeReader,
) -> Result<(MarketId, WindowTrade), DbError> {
    Ok((reader.market(row)?, checked(reader.figures(row)?)?))
}

/// Returns a row of `since.sql` as windows take it.
pub(in crate::db) fn copied_trade(fields: Fields<'_>) -> Result<(MarketId, WindowTrade), DbError> {
    let (market, figures) = columns::copied_figures(fields)?;
    Ok((market, checked(figures)?))
}

fn checked(figures: StoredFigures) -> Result<WindowTrade, DbError> {
    Ok(WindowTrade {
        token: figures.token,
        closed_at: figures.closed_at,
        base_amount: amount(figures.base_amount)?,
        counter_amount: amount(figures.counter_amount)?,
        price: Price::new(figures.price_n, figures.price_d),
        is_buy: figures.base_is_seller,
        is_pool: figures.is_pool,
    })
}

fn amount(stroops: i64) -> Result<Amount, DbError> {
    Amount::from_stroops(stroops).map_err(|error| DbError::Corrupt(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_close_together_are_looked_up_in_one_range() {
        let toid = |ledger: u32| i64::from(ledger) << 32 | 4_097;
        let tokens = [5, 5, 6, 22, 39, 1_000_000].map(|ledger| PagingToken { toid: toid(ledger), order: 0 });
        let (low, high) = ranges(tokens.into_iter());
        assert_eq!((low, high), ([5, 39, 1_000_000].map(toid).into(), [22, 39, 1_000_000].map(toid).into()));
    }
}
