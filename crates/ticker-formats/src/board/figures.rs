//! Figures of a row as the feed sends them.

use serde::Serialize;
use serde_json::value::RawValue;
use ticker_domain::windows::MarketId;

use super::{Board, BoardRow};
use crate::shown;

/// Names of the columns in the order in which an event of the stream holds them.
pub(super) const COLUMNS: [&str; 15] = [
    "number",
    "price",
    "change_1h",
    "change_24h",
    "change_7d",
    "low",
    "high",
    "bid",
    "ask",
    "spread",
    "volume_usd",
    "volume",
    "trades",
    "age",
    "flags",
];

type Whole = Option<i64>;
type Number = Option<Box<RawValue>>;

/// Figures of a row in the order of [`COLUMNS`].
pub(super) type Figures = (
    MarketId,
    Option<String>,
    Whole,
    Whole,
    Whole,
    Whole,
    Whole,
    Whole,
    Whole,
    Whole,
    Number,
    Number,
    u64,
    Whole,
    u32,
);

/// Figures of a row.
pub(super) fn figures(row: &BoardRow) -> Figures {
    let [hour, day, week] = row.changes;
    (
        row.market,
        price(row),
        hour,
        day,
        week,
        from_price(row, row.low),
        from_price(row, row.high),
        from_price(row, row.bid),
        from_price(row, row.ask),
        row.spread,
        row.volume_usd.and_then(amount),
        amount(row.volume),
        row.trades,
        row.age_s,
        row.flags.bits(),
    )
}

/// Sums over all markets, rounded once: markets have rounded volumes, whose sum would differ.
#[derive(Serialize)]
pub(super) struct FeedTotals {
    /// Null if no market that traded has a volume in dollars.
    volume_usd: Number,
    /// Markets that traded and are not in `volume_usd`.
    unpriced: u64,
    trades: u64,
    warned: u64,
}

impl FeedTotals {
    pub(super) fn of(board: &Board) -> Self {
        let totals = board.totals();
        Self {
            volume_usd: totals.volume_usd.known().and_then(amount),
            unpriced: totals.volume_usd.unpriced,
            trades: totals.trades,
            warned: totals.warned,
        }
    }
}

/// Text of the last price.
pub(super) fn price(row: &BoardRow) -> Option<String> {
    Some(row.scale?.plain(row.price?))
}

/// Distance of a price of the row from its last price.
pub(super) fn from_price(row: &BoardRow, value: Option<i64>) -> Option<i64> {
    value.zip(row.price).map(|(value, price)| value.saturating_sub(price))
}

/// Number of an amount in stroops.
pub(super) fn amount(stroops: i128) -> Number {
    RawValue::from_string(shown::feed_amount(stroops)).ok()
}
