//! Self-audit of some markets. It compares the windows of a snapshot, and the pairs rendered from them, with the raw
//! rows.
//!
//! The comparison covers every trade: it finds a row that differs in any figure, even if no published figure shows it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use xxhash_rust::xxh3::xxh3_128;

use super::{
    Comparison, UnreadableError,
    markets::{ExpectedPair, PairBook, compare_some},
    parts::{CleanPrices, PartSums},
    sums::{Ratio, RawTrade, TradeSums, compare_ratios},
};
use crate::domain::{
    conversions::SaturatingFrom,
    cursor::PagingToken,
    instant::UnixSeconds,
    market_snapshot::MarketSnapshot,
    span::Span,
    trade_stats::{PricedAt, TradeStats, WindowTrade},
    windows::MarketId,
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
            is_buy: trade.is_buy,
            is_pool: trade.is_pool,
        }
    }
}

impl RawTrade {
    /// Hash of everything that windows keep of a trade. The sum of digests identifies a set of trades, whatever their
    /// order.
    fn digest(&self) -> u128 {
        // Treat all spellings of "no price" alike: windows keep only that there is none.
        let (d, n) = self.price().unwrap_or_default();
        let figures = [
            self.token.toid,
            self.token.order.into(),
            self.closed_at.0,
            self.base_amount,
            self.counter_amount,
            n,
            d,
            i64::from(self.is_buy) << 1 | i64::from(self.is_pool),
        ];
        let mut bytes = [0; 64];
        for (place, figure) in bytes.chunks_exact_mut(8).zip(figures) {
            place.copy_from_slice(&figure.to_le_bytes());
        }
        xxh3_128(&bytes)
    }
}

/// Statistics of a market's rows. The default is that of no rows.
#[derive(Clone, Copy, Debug, Default)]
pub struct MarketSums {
    hour: SpanSums,
    day: SpanSums,
    week: SpanSums,
    digest: u128,
}

/// Statistics of the rows of one span.
#[derive(Clone, Copy, Debug, Default)]
struct SpanSums {
    trades: TradeSums,
    parts: PartSums,
}

impl MarketSums {
    /// Adds a row of the 7 days before `as_of`. It counts in each span that it closed in.
    pub fn add(&mut self, trade: &RawTrade, as_of: UnixSeconds) {
        let sum = TradeSums::of(trade);
        for span in Span::ALL.into_iter().filter(|span| trade.closed_at > span.edge(as_of)) {
            let sums = self.of_mut(span);
            sums.trades.merge(&sum);
            sums.parts.add(trade);
        }
        self.digest = self.digest.wrapping_add(trade.digest());
    }

    /// Adds the statistics that a pair of `markets.json` shows.
    fn merge(&mut self, other: &Self) {
        for span in Span::KEPT {
            self.of_mut(span).trades.merge(&other.of(span).trades);
        }
    }

    const fn of(&self, span: Span) -> &SpanSums {
        match span {
            Span::Hour => &self.hour,
            Span::Day => &self.day,
            Span::Week => &self.week,
        }
    }

    const fn of_mut(&mut self, span: Span) -> &mut SpanSums {
        match span {
            Span::Hour => &mut self.hour,
            Span::Day => &mut self.day,
            Span::Week => &mut self.week,
        }
    }
}

/// Result of comparing one slice of the markets.
#[derive(Clone, Debug, Default)]
pub struct SliceComparison {
    /// Figures compared, and their differences.
    pub comparison: Comparison,
    /// Markets whose windows differ, or whose pair's row differs.
    pub markets: BTreeSet<MarketId>,
}

/// Compares some markets of a publication with the sums of their rows at its `seq`.
///
/// Covers the windows of each market, and the rows of `markets.json` whose markets are all in this slice. Names,
/// validity and books are taken from the snapshot.
///
/// # Errors
///
/// [`UnreadableError`] if the served `markets.json` is not valid JSON.
pub fn compare(
    snapshot: &MarketSnapshot,
    markets_json: &[u8],
    markets: &[MarketId],
    sums: &BTreeMap<MarketId, MarketSums>,
) -> Result<SliceComparison, UnreadableError> {
    let mut found = SliceComparison::default();
    let none = MarketSums::default();
    let rows_of = |market: &MarketId| sums.get(market).unwrap_or(&none);
    for market in markets {
        if !compare_market(&mut found.comparison, snapshot, *market, rows_of(market)) {
            found.markets.insert(*market);
        }
    }
    let mut pairs: BTreeMap<String, Vec<MarketId>> = BTreeMap::new();
    for market in markets.iter().filter(|market| !rows_of(market).week.trades.is_empty()) {
        if let Some(name) = snapshot.pair_of(*market) {
            pairs.entry(name).or_default().push(*market);
        }
    }
    // Compare a pair only if this slice has all of its markets. A served pair that no market belongs to is unexpected.
    let here: BTreeSet<MarketId> = markets.iter().copied().collect();
    let mut names = BTreeSet::new();
    for (market, _) in snapshot.windows().figures() {
        let Some(name) = snapshot.pair_of(market) else { continue };
        // The pair has a market outside this slice, so its row cannot be recomputed here.
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
    ExpectedPair {
        name: name.to_owned(),
        recent: sums.day.trades,
        week: sums.week.trades,
        book: PairBook {
            bid_count: i64::saturating_from(book.bid_count),
            bid_volume: book.bid_volume,
            bid_max: book.bid_max,
            ask_count: i64::saturating_from(book.ask_count),
            ask_volume: book.ask_volume,
            ask_min: book.ask_min,
        },
    }
}

/// Compares the windows of one market. Returns true if nothing differs.
fn compare_market(
    comparison: &mut Comparison,
    snapshot: &MarketSnapshot,
    market: MarketId,
    rows: &MarketSums,
) -> bool {
    let before = comparison.difference_count;
    let entry = format!("market {market} {}", snapshot.pair_of(market).unwrap_or_default());
    for span in Span::ALL {
        let (held, rows) = (snapshot.windows().stats(market, span), rows.of(span));
        compare_window(comparison, &entry, span.name(), &held, &rows.trades);
        compare_parts(comparison, &entry, span.name(), &held, &rows.parts);
    }
    let week = snapshot.windows().stats(market, Span::Week);
    let latest = [week.times.map_or(UnixSeconds::default(), |(_, latest)| latest), rows.week.trades.latest()];
    let [held, expected] = latest.map(UnixSeconds::to_rfc3339);
    comparison.record(held == expected, &entry, "close_time", &held, &expected);
    let digest = digest(snapshot, market);
    let hex = |digest: u128| format!("{digest:032x}");
    comparison.record(digest == rows.digest, &entry, "trades", &hex(digest), &hex(rows.digest));
    comparison.difference_count == before
}

fn digest(snapshot: &MarketSnapshot, market: MarketId) -> u128 {
    let week = Span::Week.edge(snapshot.as_of());
    let trades = snapshot.windows().trades_of(market).filter(|trade| trade.closed_at > week);
    trades.fold(0, |sum, trade| sum.wrapping_add(RawTrade::from(&trade).digest()))
}

fn compare_window(
    comparison: &mut Comparison,
    entry: &str,
    window: &str,
    held: &TradeStats,
    rows: &TradeSums,
) {
    let mut number = |name: &str, held: i128, rows: i128| {
        let field = format!("{window} {name}");
        comparison.record(held == rows, entry, &field, &held.to_string(), &rows.to_string());
    };
    number("trade_count", held.trade_count.into(), rows.trade_count.into());
    number("base_volume", held.base_volume, rows.base_volume);
    number("counter_volume", held.counter_volume, rows.counter_volume);
    // In base per counter, the highest price of the windows is the lowest one here, and vice versa.
    let legacy = |price: crate::domain::price::Price| (price.d(), price.n());
    let held =
        held.prices.map(|prices| [prices.open.price, prices.max, prices.min, prices.close.price].map(legacy));
    let placed = |placed: Option<(PagingToken, Ratio)>| placed.map(|(_, ratio)| ratio);
    let rows = [placed(rows.open), rows.low, rows.high, placed(rows.close)];
    let shown = |ratio: Option<Ratio>| ratio.map_or_else(|| "none".to_owned(), |(n, d)| format!("{n}/{d}"));
    let held: Vec<Option<Ratio>> =
        held.map_or_else(|| vec![None; rows.len()], |held| held.map(Some).to_vec());
    for ((name, held), rows) in ["open", "low", "high", "close"].iter().zip(held).zip(rows) {
        let is_equal = match (held, rows) {
            (Some(held), Some(rows)) => compare_ratios(held, rows).is_eq(),
            (held, rows) => held.is_none() && rows.is_none(),
        };
        comparison.record(is_equal, entry, &format!("{window} {name}"), &shown(held), &shown(rows));
    }
}

/// Compares clean prices, and the volumes by taker and by maker.
fn compare_parts(comparison: &mut Comparison, entry: &str, window: &str, held: &TradeStats, rows: &PartSums) {
    let held = PartSums {
        clean_count: held.clean.trade_count.into(),
        clean: [held.clean.volume.base, held.clean.volume.counter],
        bought: [held.bought.base, held.bought.counter],
        pool: [held.pool.base, held.pool.counter],
        prices: held.clean.prices.map(|prices| {
            let legacy = |price: crate::domain::price::Price| (price.d(), price.n());
            let placed = |at: PricedAt| (at.token, legacy(at.price));
            CleanPrices {
                open: placed(prices.open),
                low: legacy(prices.max),
                high: legacy(prices.min),
                close: placed(prices.close),
            }
        }),
    };
    for ((name, held), (_, rows)) in held.shown().into_iter().zip(rows.shown()) {
        comparison.record(held == rows, entry, &format!("{window} {name}"), &held, &rows);
    }
}

/// Ledgers of trades that differ between two snapshots in the windows of some markets.
#[must_use]
pub fn differing_ledgers(
    before: &MarketSnapshot,
    after: &MarketSnapshot,
    markets: &BTreeSet<MarketId>,
) -> BTreeSet<u32> {
    let mut ledgers = BTreeSet::new();
    let week = Span::Week.edge(after.as_of());
    // Skip trades newer than `before`: they arrived between the two snapshots.
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
mod tests;
