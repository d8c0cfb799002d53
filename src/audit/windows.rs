//! The self-audit of some markets: the windows of a snapshot, and the pairs that were rendered from them, against the raw
//! rows. Trade by trade: a row that differs in any figure is found, also where no published figure shows it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use xxhash_rust::xxh3::xxh3_128;

use super::{
    Comparison, Unreadable,
    markets::{ExpectedPair, PairBook, compare_some},
    sums::{Ratio, RawTrade, TradeSums, compared},
};
use crate::domain::{
    cursor::PagingToken,
    instant::UnixSeconds,
    market_snapshot::MarketSnapshot,
    trade_stats::{TradeStats, WindowTrade},
    window::published_edges,
    windows::{Figures, MarketId},
};

impl From<&WindowTrade> for RawTrade {
    fn from(trade: &WindowTrade) -> Self {
        Self {
            token: trade.token,
            closed_at: trade.closed_at,
            base_amount: trade.base_amount.stroops(),
            counter_amount: trade.counter_amount.stroops(),
            price_n: trade.price.map_or(0, |price| price.n()),
            price_d: trade.price.map_or(0, |price| price.d()),
        }
    }
}

impl RawTrade {
    /// All that windows keep of it; the sum over a set of trades tells any two sets apart, whatever their order.
    fn digest(&self) -> u128 {
        // A price that is none is none, whatever it was written as.
        let (d, n) = self.price().unwrap_or_default();
        let figures = [
            self.token.toid,
            self.token.order.into(),
            self.closed_at.0,
            self.base_amount,
            self.counter_amount,
            n,
            d,
        ];
        let mut bytes = [0; 56];
        for (place, figure) in bytes.chunks_exact_mut(8).zip(figures) {
            place.copy_from_slice(&figure.to_le_bytes());
        }
        xxh3_128(&bytes)
    }
}

/// What the rows of a market come to; the default has none.
#[derive(Clone, Copy, Debug, Default)]
pub struct MarketSums {
    day: TradeSums,
    week: TradeSums,
    digest: u128,
}

impl MarketSums {
    /// Adds a row of the last 7 days; those that closed after `day` are of the last 24 hours too.
    pub fn add(&mut self, trade: &RawTrade, day: UnixSeconds) {
        let sum = TradeSums::of(trade);
        self.week.merge(&sum);
        if trade.closed_at > day {
            self.day.merge(&sum);
        }
        self.digest = self.digest.wrapping_add(trade.digest());
    }

    fn merge(&mut self, other: &Self) {
        self.week.merge(&other.week);
        self.day.merge(&other.day);
    }
}

/// What was found in a slice.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The figures.
    pub comparison: Comparison,
    /// The markets whose windows, or whose pair's row, differ.
    pub markets: BTreeSet<MarketId>,
}

/// Compares some markets of a publication with what their rows come to at its `seq`: each market's windows, and the rows
/// of `markets.json` whose markets are all among them. Names, validity and books are taken as the snapshot has them.
///
/// # Errors
///
/// [`Unreadable`]: what is served as `markets.json` is no such file at all.
pub fn compare(
    snapshot: &MarketSnapshot,
    markets_json: &[u8],
    markets: &[MarketId],
    sums: &BTreeMap<MarketId, MarketSums>,
) -> Result<Found, Unreadable> {
    let mut found = Found::default();
    let none = MarketSums::default();
    let rows_of = |market: &MarketId| sums.get(market).unwrap_or(&none);
    for market in markets {
        if !compare_market(&mut found.comparison, snapshot, *market, rows_of(market)) {
            found.markets.insert(*market);
        }
    }
    let mut pairs: BTreeMap<String, Vec<MarketId>> = BTreeMap::new();
    for market in markets.iter().filter(|market| !rows_of(market).week.is_empty()) {
        if let Some(name) = snapshot.pair_of(*market) {
            pairs.entry(name).or_default().push(*market);
        }
    }
    // A pair is compared where it is whole; and what is served of no market at all is too much.
    let here: BTreeSet<MarketId> = markets.iter().copied().collect();
    let mut names = BTreeSet::new();
    for (market, _) in snapshot.windows().figures() {
        let Some(name) = snapshot.pair_of(market) else { continue };
        if !here.contains(&market) {
            pairs.remove(&name);
        }
        names.insert(name);
    }
    let expected: Vec<ExpectedPair> =
        pairs.iter().map(|(name, of)| expected(snapshot, name, of, &rows_of)).collect();
    let differing = compare_some(&mut found.comparison, markets_json, &expected, &names)?;
    found.markets.extend(differing.iter().filter_map(|name| pairs.get(name)).flatten());
    Ok(found)
}

fn expected<'a>(
    snapshot: &MarketSnapshot,
    name: &str,
    markets: &[MarketId],
    rows_of: &impl Fn(&MarketId) -> &'a MarketSums,
) -> ExpectedPair {
    let mut sums = MarketSums::default();
    for market in markets {
        sums.merge(rows_of(market));
    }
    let book = snapshot.book_of_pair(name);
    let count = |levels: u64| i64::try_from(levels).unwrap_or(i64::MAX);
    ExpectedPair {
        name: name.to_owned(),
        recent: sums.day,
        week: sums.week,
        book: PairBook {
            bid_count: count(book.bid_count),
            bid_volume: book.bid_volume,
            bid_max: book.bid_max,
            ask_count: count(book.ask_count),
            ask_volume: book.ask_volume,
            ask_min: book.ask_min,
        },
    }
}

/// Says whether all agrees.
fn compare_market(
    comparison: &mut Comparison,
    snapshot: &MarketSnapshot,
    market: MarketId,
    rows: &MarketSums,
) -> bool {
    let before = comparison.difference_count;
    let entry = format!("market {market} {}", snapshot.pair_of(market).unwrap_or_default());
    let figures = snapshot.windows().figures_of(market).copied().unwrap_or_default();
    let Figures { day, week } = figures;
    compare_window(comparison, &entry, "24h", &day, &rows.day);
    compare_window(comparison, &entry, "7d", &week, &rows.week);
    let latest = [week.times.map_or(UnixSeconds::default(), |(_, latest)| latest), rows.week.latest()];
    let [told, right] = latest.map(UnixSeconds::to_rfc3339);
    comparison.compared(told == right, &entry, "close_time", &told, &right);
    let digest = digest(snapshot, market);
    let hex = |digest: u128| format!("{digest:032x}");
    comparison.compared(digest == rows.digest, &entry, "trades", &hex(digest), &hex(rows.digest));
    comparison.difference_count == before
}

fn digest(snapshot: &MarketSnapshot, market: MarketId) -> u128 {
    let [_, week] = published_edges(snapshot.as_of());
    let trades = snapshot.windows().trades_of(market).filter(|trade| trade.closed_at > week);
    trades.fold(0, |sum, trade| sum.wrapping_add(RawTrade::from(&trade).digest()))
}

fn compare_window(
    comparison: &mut Comparison,
    entry: &str,
    window: &str,
    told: &TradeStats,
    rows: &TradeSums,
) {
    let mut number = |name: &str, told: i128, rows: i128| {
        let field = format!("{window} {name}");
        comparison.compared(told == rows, entry, &field, &told.to_string(), &rows.to_string());
    };
    number("trade_count", told.trade_count.into(), rows.trade_count.into());
    number("base_volume", told.base_volume, rows.base_volume);
    number("counter_volume", told.counter_volume, rows.counter_volume);
    // Base per counter turns smallest and greatest round.
    let legacy = |price: crate::domain::price::Price| (price.d(), price.n());
    let told =
        told.prices.map(|prices| [prices.open.price, prices.max, prices.min, prices.close.price].map(legacy));
    let placed = |placed: Option<(PagingToken, Ratio)>| placed.map(|(_, ratio)| ratio);
    let rows = [placed(rows.open), rows.low, rows.high, placed(rows.close)];
    let shown = |ratio: Option<Ratio>| ratio.map_or_else(|| "none".to_owned(), |(n, d)| format!("{n}/{d}"));
    let told: Vec<Option<Ratio>> =
        told.map_or_else(|| vec![None; rows.len()], |told| told.map(Some).to_vec());
    for ((name, told), rows) in ["open", "low", "high", "close"].iter().zip(told).zip(rows) {
        let agrees = match (told, rows) {
            (Some(told), Some(rows)) => compared(told, rows).is_eq(),
            (told, rows) => told.is_none() && rows.is_none(),
        };
        comparison.compared(agrees, entry, &format!("{window} {name}"), &shown(told), &shown(rows));
    }
}

/// The ledgers of trades in which the windows of some markets differ from one snapshot to another.
#[must_use]
pub fn differing_ledgers(
    before: &MarketSnapshot,
    after: &MarketSnapshot,
    markets: &BTreeSet<MarketId>,
) -> BTreeSet<u32> {
    let mut ledgers = BTreeSet::new();
    let [_, week] = published_edges(after.as_of());
    // What came up between the two is no difference.
    let newest =
        before.windows().figures().filter_map(|(_, figures)| figures.week.times).map(|(_, last)| last).max();
    for market in markets {
        let trades = |snapshot: &MarketSnapshot| -> HashMap<PagingToken, WindowTrade> {
            let counts = |trade: &WindowTrade| trade.closed_at > week && Some(trade.closed_at) <= newest;
            snapshot.windows().trades_of(*market).filter(counts).map(|trade| (trade.token, trade)).collect()
        };
        let (before, after) = (trades(before), trades(after));
        let lacks = |other: &HashMap<PagingToken, WindowTrade>, trade: &&WindowTrade| {
            other.get(&trade.token) != Some(trade)
        };
        ledgers
            .extend(before.values().filter(|trade| lacks(&after, trade)).map(|trade| trade.token.ledger()));
        ledgers
            .extend(after.values().filter(|trade| lacks(&before, trade)).map(|trade| trade.token.ledger()));
    }
    ledgers
}

#[cfg(test)]
#[path = "windows_tests.rs"]
mod tests;
