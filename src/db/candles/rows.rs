//! Rows of the tables of candles. Apart from the SQL, only this file knows their columns.

use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use crate::{
    db::{DbError, binary::Encoder, numeric::Whole},
    domain::{
        cursor::PagingToken,
        instant::UnixSeconds,
        price::Price,
        trade_stats::{CleanStats, PricedAt, Prices, TradeStats, Volume},
    },
};

/// Number of a market in the tables of candles.
pub(super) type CandleMarketId = i32;

/// Columns of a row.
const FIELDS: i16 = 38;
/// Columns of four prices, two of them with a position.
const PRICE_FIELDS: usize = 12;
/// Position of the first column of the prices of all trades.
const PRICES: usize = 7;
/// Position of the first column of the prices of clean trades.
const CLEAN_PRICES: usize = 26;

/// Encodes a row, in the order of the columns. `stats` must hold a trade.
pub(super) fn encode(
    rows: &mut Encoder,
    market: CandleMarketId,
    start: UnixSeconds,
    stats: &TradeStats,
) -> Result<(), DbError> {
    let corrupt = |what: &str| DbError::Corrupt(format!("candle of {}: {what}", start.to_rfc3339()));
    let count = |count: u64| i64::try_from(count).map_err(|_| corrupt("too many trades"));
    let (first, last) = stats.times.ok_or_else(|| corrupt("no trade"))?;
    rows.row(FIELDS);
    rows.int4(market);
    rows.timestamptz(start.to_utc());
    rows.int8(count(stats.trade_count)?);
    rows.numeric(stats.base_volume);
    rows.numeric(stats.counter_volume);
    rows.timestamptz(first.to_utc());
    rows.timestamptz(last.to_utc());
    encode_prices(rows, stats.prices.as_ref());
    for volume in [stats.bought.base, stats.bought.counter, stats.pool.base, stats.pool.counter] {
        rows.numeric(volume);
    }
    rows.int8(count(stats.clean.trade_count)?);
    if stats.clean.trade_count == stats.trade_count {
        (0..PRICE_FIELDS + 2).for_each(|_| rows.null());
    } else {
        rows.numeric(stats.clean.volume.base);
        rows.numeric(stats.clean.volume.counter);
        encode_prices(rows, stats.clean.prices.as_ref());
    }
    Ok(())
}

fn encode_prices(rows: &mut Encoder, prices: Option<&Prices>) {
    let Some(prices) = prices else {
        (0..PRICE_FIELDS).for_each(|_| rows.null());
        return;
    };
    let placed = |rows: &mut Encoder, at: &PricedAt| {
        rows.int8(at.token.toid);
        rows.int4(at.token.order);
        encode_price(rows, at.price);
    };
    placed(rows, &prices.open);
    encode_price(rows, prices.max);
    encode_price(rows, prices.min);
    placed(rows, &prices.close);
}

fn encode_price(rows: &mut Encoder, price: Price) {
    rows.int8(price.n());
    rows.int8(price.d());
}

/// Returns market, start and statistics of a row.
///
/// # Errors
///
/// [`DbError::Corrupt`]. Then this row alone is bad, not the connection.
pub(super) fn decode(row: &Row) -> Result<(CandleMarketId, UnixSeconds, TradeStats), DbError> {
    decode_cells(row).map_err(|error| match error {
        corrupt @ DbError::Corrupt(_) => corrupt,
        // A NULL or a number out of range, for example.
        of_cell => DbError::Corrupt(format!("candle: {of_cell}")),
    })
}

fn decode_cells(row: &Row) -> Result<(CandleMarketId, UnixSeconds, TradeStats), DbError> {
    let sum = |at: usize| -> Result<i128, DbError> { Ok(row.try_get::<_, Whole>(at)?.0) };
    let time = |at: usize| -> Result<UnixSeconds, DbError> {
        Ok(row.try_get::<_, DateTime<Utc>>(at).map(UnixSeconds::from)?)
    };
    let count = |at: usize| -> Result<u64, DbError> {
        u64::try_from(row.try_get::<_, i64>(at)?)
            .map_err(|_| DbError::Corrupt("candle: a count is negative".into()))
    };
    let mut stats = TradeStats {
        trade_count: count(2)?,
        base_volume: sum(3)?,
        counter_volume: sum(4)?,
        times: Some((time(5)?, time(6)?)),
        prices: prices(row, PRICES)?,
        bought: Volume { base: sum(19)?, counter: sum(20)? },
        pool: Volume { base: sum(21)?, counter: sum(22)? },
        clean: CleanStats { trade_count: count(23)?, ..CleanStats::default() },
    };
    let clean: Option<Whole> = row.try_get(24)?;
    match clean {
        Some(Whole(base)) => {
            stats.clean.volume = Volume { base, counter: sum(25)? };
            stats.clean.prices = prices(row, CLEAN_PRICES)?;
        }
        None => {
            stats.clean.volume = Volume { base: stats.base_volume, counter: stats.counter_volume };
            stats.clean.prices = stats.prices;
        }
    }
    Ok((row.try_get(0)?, time(1)?, stats))
}

/// Returns market and start of a row, as far as they are readable.
pub(super) fn key(row: &Row) -> (Option<CandleMarketId>, Option<UnixSeconds>) {
    let start = row.try_get::<_, DateTime<Utc>>(1);
    (row.try_get(0).ok(), start.ok().map(UnixSeconds::from))
}

fn prices(row: &Row, first: usize) -> Result<Option<Prices>, DbError> {
    let Some(toid) = row.try_get::<_, Option<i64>>(first)? else { return Ok(None) };
    let price = |at: usize| -> Result<Price, DbError> {
        Price::new(row.try_get(first + at)?, row.try_get(first + at + 1)?)
            .ok_or_else(|| DbError::Corrupt("candle: a price is not positive".into()))
    };
    let open = PagingToken { toid, order: row.try_get(first + 1)? };
    let close = PagingToken { toid: row.try_get(first + 8)?, order: row.try_get(first + 9)? };
    Ok(Some(Prices {
        open: PricedAt { token: open, price: price(2)? },
        max: price(4)?,
        min: price(6)?,
        close: PricedAt { token: close, price: price(10)? },
    }))
}
