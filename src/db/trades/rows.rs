//! Rows of `trades`, in and out.

use std::{collections::HashMap, pin::pin};

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use futures_util::SinkExt;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{DbError, IncomingTrade, MarketId, MarketIds, PagingToken, Resolved, Trade, WindowTrade};
use crate::{
    db::binary::{Encoder, Fields},
    domain::{amount::Amount, instant::UnixSeconds, price::Price},
};

/// Trades with no more ledgers than these between them are looked up in one range: it costs less to read past the few
/// rows between than to look into every partition's index once more.
const RANGE_GAP_LEDGERS: u32 = 16;

/// A row that is held already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Held {
    market: MarketId,
    closed_at: UnixSeconds,
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

/// What is held of these identities, which are in order, and perhaps of some between them.
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
    rows.iter().map(held).collect()
}

/// The first and the last toid of ranges in which tokens lie close together. The tokens are in order.
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

/// Inserts trades that are not held, and gives them as windows want them.
pub(super) async fn insert(
    transaction: &Transaction<'_>,
    trades: &[&Trade],
    resolved: &Resolved,
) -> Result<Vec<(MarketId, WindowTrade)>, DbError> {
    if trades.is_empty() {
        return Ok(Vec::new());
    }
    // Has a name, but is gone again before the commit: behind a pooler nobody else meets it.
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

/// The columns of `insert.sql`.
fn encode(rows: &mut Encoder, trade: &Trade, ids: MarketIds) -> Result<(), DbError> {
    rows.row(14);
    rows.int8(trade.token.toid);
    rows.int4(trade.token.order);
    rows.timestamptz(trade.closed_at.to_utc());
    for id in [ids.market, ids.base, ids.counter] {
        rows.int4(id);
    }
    for figure in figures(trade) {
        rows.int8(figure);
    }
    rows.bool(trade.base_is_seller);
    for party in parties(trade) {
        rows.text(party)?;
    }
    Ok(())
}

/// A row of `between.sql`.
pub(in crate::db) fn window_trade(row: &Row) -> Result<(MarketId, WindowTrade), DbError> {
    let closed_at: DateTime<Utc> = row.try_get(3)?;
    let trade = WindowTrade {
        token: PagingToken { toid: row.try_get(1)?, order: row.try_get(2)? },
        closed_at: closed_at.into(),
        base_amount: amount(row.try_get(4)?)?,
        counter_amount: amount(row.try_get(5)?)?,
        price: Price::new(row.try_get(6)?, row.try_get(7)?),
    };
    Ok((row.try_get(0)?, trade))
}

/// A row of `since.sql`.
pub(in crate::db) fn copied_trade(mut fields: Fields<'_>) -> Result<(MarketId, WindowTrade), DbError> {
    let market = fields.int4()?;
    let trade = WindowTrade {
        token: PagingToken { toid: fields.int8()?, order: fields.int4()? },
        closed_at: fields.timestamptz()?,
        base_amount: amount(fields.int8()?)?,
        counter_amount: amount(fields.int8()?)?,
        price: Price::new(fields.int8()?, fields.int8()?),
    };
    Ok((market, trade))
}

fn amount(stroops: i64) -> Result<Amount, DbError> {
    Amount::from_stroops(stroops).map_err(|error| DbError::Corrupt(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        asset::{AccountId, Asset},
        test_support::address,
        trade::{Side, TradeRecord},
    };

    #[test]
    fn tokens_that_lie_close_together_are_looked_up_at_once() {
        let toid = |ledger: u32| i64::from(ledger) << 32 | 4_097;
        let tokens = [5, 5, 6, 22, 39, 1_000_000].map(|ledger| PagingToken { toid: toid(ledger), order: 0 });
        let (low, high) = ranges(tokens.into_iter());
        assert_eq!((low, high), ([5, 39, 1_000_000].map(toid).into(), [22, 39, 1_000_000].map(toid).into()));
    }

    #[test]
    fn figures_and_parties_stand_in_the_order_of_the_columns() {
        let side = |asset, stroops, party: u8| Side {
            asset,
            amount: Amount::from_stroops(stroops).unwrap(),
            account: Some(AccountId::parse(&address(party)).unwrap()),
            pool: None,
        };
        let record = TradeRecord {
            token: PagingToken::before_ledger(5),
            closed_at: UnixSeconds(1_795_457_237),
            base: side(Asset::Native, 10, 1),
            counter: side(Asset::issued("TEA", &address(2)).unwrap(), 20, 3),
            price_n: 2,
            price_d: 1,
            base_is_seller: true,
        };
        let trade = record.normalise().unwrap();
        assert_eq!(figures(&trade), [10, 20, 2, 1]);
        let (base, counter) = (address(1), address(3));
        assert_eq!(parties(&trade), [Some(base.as_str()), Some(counter.as_str()), None]);
    }
}
