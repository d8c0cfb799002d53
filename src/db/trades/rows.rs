//! Rows of `trades`, in and out.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{DbError, IncomingTrade, MarketId, PagingToken, Resolved, Trade, WindowTrade};
use crate::domain::{amount::Amount, instant::Second, price::Price};

/// A row that is held already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Held {
    market: MarketId,
    closed_at: Second,
    figures: [i64; 4],
    base_is_seller: bool,
    parties: [Option<String>; 3],
}

impl Held {
    /// Whether the row is this very trade.
    pub(super) fn is(&self, trade: &Trade, resolved: &Resolved) -> bool {
        resolved.get(&trade.market).is_some_and(|ids| {
            let text = |party: Option<&str>| party.map(str::to_owned);
            *self
                == Self {
                    market: ids.market,
                    closed_at: trade.closed_at,
                    figures: figures(trade),
                    base_is_seller: trade.base_is_seller,
                    parties: parties(trade).map(text),
                }
        })
    }
}

fn figures(trade: &Trade) -> [i64; 4] {
    [trade.base_amount.stroops(), trade.counter_amount.stroops(), trade.price_n, trade.price_d]
}

fn parties(trade: &Trade) -> [Option<&str>; 3] {
    [
        trade.base_account.as_ref().map(|account| account.as_str()),
        trade.counter_account.as_ref().map(|account| account.as_str()),
        trade.liquidity_pool.as_ref().map(|pool| pool.as_str()),
    ]
}

/// What is held of these identities.
pub(super) async fn find(
    transaction: &Transaction<'_>,
    trades: &[&IncomingTrade],
) -> Result<HashMap<PagingToken, Held>, DbError> {
    if trades.is_empty() {
        return Ok(HashMap::new());
    }
    let toids: Vec<i64> = trades.iter().map(|incoming| incoming.trade.token.toid).collect();
    let orders: Vec<i32> = trades.iter().map(|incoming| incoming.trade.token.order).collect();
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&toids, Type::INT8_ARRAY), (&orders, Type::INT4_ARRAY)];
    let rows = transaction.query_typed(include_str!("../sql/trades/find.sql"), &params).await?;
    rows.iter().map(held).collect()
}

fn held(row: &Row) -> Result<(PagingToken, Held), DbError> {
    let closed_at: DateTime<Utc> = row.try_get(2)?;
    let held = Held {
        market: row.try_get(3)?,
        closed_at: closed_at.into(),
        figures: [row.try_get(4)?, row.try_get(5)?, row.try_get(6)?, row.try_get(7)?],
        base_is_seller: row.try_get(8)?,
        parties: [row.try_get(9)?, row.try_get(10)?, row.try_get(11)?],
    };
    Ok((PagingToken { toid: row.try_get(0)?, order: row.try_get(1)? }, held))
}

/// The columns of an insert, one array each.
#[derive(Default)]
struct Columns<'a> {
    toid: Vec<i64>,
    order: Vec<i32>,
    closed_at: Vec<DateTime<Utc>>,
    ids: [Vec<i32>; 3],
    figures: [Vec<i64>; 4],
    base_is_seller: Vec<bool>,
    parties: [Vec<Option<&'a str>>; 3],
}

/// Inserts trades that are not held, and gives them as windows want them.
pub(super) async fn insert(
    transaction: &Transaction<'_>,
    trades: &[&Trade],
    resolved: &Resolved,
) -> Result<Vec<(MarketId, WindowTrade)>, DbError> {
    if trades.is_empty() {
        return Ok(Vec::new());
    }
    let mut columns = Columns::default();
    let mut written = Vec::with_capacity(trades.len());
    for trade in trades {
        let ids =
            resolved.get(&trade.market).ok_or_else(|| DbError::Corrupt(format!("{:?}", trade.market)))?;
        columns.toid.push(trade.token.toid);
        columns.order.push(trade.token.order);
        columns.closed_at.push(trade.closed_at.to_utc());
        for (column, id) in columns.ids.iter_mut().zip([ids.market, ids.base, ids.counter]) {
            column.push(id);
        }
        for (column, figure) in columns.figures.iter_mut().zip(figures(trade)) {
            column.push(figure);
        }
        columns.base_is_seller.push(trade.base_is_seller);
        for (column, party) in columns.parties.iter_mut().zip(parties(trade)) {
            column.push(party);
        }
        written.push((ids.market, WindowTrade::from(*trade)));
    }
    let [market, base, counter] = &columns.ids;
    let [base_amount, counter_amount, price_n, price_d] = &columns.figures;
    let [base_account, counter_account, pool] = &columns.parties;
    let params: [(&(dyn ToSql + Sync), Type); 14] = [
        (&columns.toid, Type::INT8_ARRAY),
        (&columns.order, Type::INT4_ARRAY),
        (&columns.closed_at, Type::TIMESTAMPTZ_ARRAY),
        (market, Type::INT4_ARRAY),
        (base, Type::INT4_ARRAY),
        (counter, Type::INT4_ARRAY),
        (base_amount, Type::INT8_ARRAY),
        (counter_amount, Type::INT8_ARRAY),
        (price_n, Type::INT8_ARRAY),
        (price_d, Type::INT8_ARRAY),
        (&columns.base_is_seller, Type::BOOL_ARRAY),
        (base_account, Type::TEXT_ARRAY),
        (counter_account, Type::TEXT_ARRAY),
        (pool, Type::TEXT_ARRAY),
    ];
    transaction.execute_typed(include_str!("../sql/trades/insert.sql"), &params).await?;
    Ok(written)
}

/// A row of `since.sql` or `between.sql`.
pub(in crate::db) fn window_trade(row: &Row) -> Result<(MarketId, WindowTrade), DbError> {
    let closed_at: DateTime<Utc> = row.try_get(3)?;
    let amount = |index| -> Result<Amount, DbError> {
        Amount::from_stroops(row.try_get(index)?).map_err(|error| DbError::Corrupt(error.to_string()))
    };
    let trade = WindowTrade {
        token: PagingToken { toid: row.try_get(1)?, order: row.try_get(2)? },
        closed_at: closed_at.into(),
        base_amount: amount(4)?,
        counter_amount: amount(5)?,
        price: Price::new(row.try_get(6)?, row.try_get(7)?),
    };
    Ok((row.try_get(0)?, trade))
}
