//! The self-audit of some markets: the windows of a board, and the pairs that were rendered from them, against the raw
//! rows. Trade by trade: a row that differs in any figure is found, also where no published figure shows it.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use xxhash_rust::xxh3::xxh3_128;

use super::{
    super::{
        board::Board,
        cursor::PagingToken,
        instant::Second,
        summary::{Summary, WindowTrade},
        window::published_edges,
        windows::{Figures, MarketId},
    },
    Comparison, Unreadable,
    markets::{ExpectedPair, PairBook, PairWindow, Ratio, compare_some},
};

/// A row of `trades` as it stands, whatever it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawTrade {
    /// Identity and place.
    pub token: PagingToken,
    /// When its ledger closed.
    pub closed_at: Second,
    /// Stroops of the base.
    pub base_amount: i64,
    /// Stroops of the counter.
    pub counter_amount: i64,
    /// Numerator of counter per base.
    pub price_n: i64,
    /// Its denominator.
    pub price_d: i64,
}

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
    /// Base per counter; none where the trade sets no price.
    const fn price(&self) -> Option<Ratio> {
        if self.price_n > 0 && self.price_d > 0 { Some((self.price_d, self.price_n)) } else { None }
    }

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

/// One window, and which trades open and close it.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    window: PairWindow,
    opened_by: Option<PagingToken>,
    closed_by: Option<PagingToken>,
}

impl Sum {
    fn of(trade: &RawTrade) -> Self {
        let price = trade.price();
        let token = price.map(|_| trade.token);
        Self {
            window: PairWindow {
                trade_count: 1,
                base_volume: trade.base_amount.into(),
                counter_volume: trade.counter_amount.into(),
                open: price,
                low: price,
                high: price,
                close: price,
            },
            opened_by: token,
            closed_by: token,
        }
    }

    fn merge(&mut self, other: &Self) {
        let (ours, theirs) = (&mut self.window, &other.window);
        ours.trade_count = ours.trade_count.saturating_add(theirs.trade_count);
        ours.base_volume = ours.base_volume.saturating_add(theirs.base_volume);
        ours.counter_volume = ours.counter_volume.saturating_add(theirs.counter_volume);
        ours.low = chosen(ours.low, theirs.low, Ordering::Less);
        ours.high = chosen(ours.high, theirs.high, Ordering::Greater);
        if other.opened_by.is_some_and(|token| self.opened_by.is_none_or(|before| token < before)) {
            (ours.open, self.opened_by) = (theirs.open, other.opened_by);
        }
        if other.closed_by.is_some_and(|token| self.closed_by.is_none_or(|before| token > before)) {
            (ours.close, self.closed_by) = (theirs.close, other.closed_by);
        }
    }
}

fn chosen(ours: Option<Ratio>, theirs: Option<Ratio>, wins: Ordering) -> Option<Ratio> {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if compared(theirs, ours) == wins => Some(theirs),
        (ours, theirs) => ours.or(theirs),
    }
}

/// By value. Both products are below 2^126.
fn compared((n, d): Ratio, (other_n, other_d): Ratio) -> Ordering {
    let left = i128::from(n).saturating_mul(other_d.into());
    left.cmp(&i128::from(other_n).saturating_mul(d.into()))
}

/// What the rows of a market come to; the default has none.
#[derive(Clone, Copy, Debug, Default)]
pub struct MarketSums {
    day: Sum,
    week: Sum,
    latest: Second,
    digest: u128,
}

impl MarketSums {
    /// Adds a row of the last 7 days; those that closed after `day` are of the last 24 hours too.
    pub fn add(&mut self, trade: &RawTrade, day: Second) {
        let sum = Sum::of(trade);
        self.week.merge(&sum);
        if trade.closed_at > day {
            self.day.merge(&sum);
        }
        self.latest = self.latest.max(trade.closed_at);
        self.digest = self.digest.wrapping_add(trade.digest());
    }

    fn merge(&mut self, other: &Self) {
        self.week.merge(&other.week);
        self.day.merge(&other.day);
        self.latest = self.latest.max(other.latest);
    }

    const fn is_empty(&self) -> bool {
        self.week.window.trade_count == 0
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
/// of `markets.json` whose markets are all among them. Names, validity and books are taken as the board has them.
///
/// # Errors
///
/// [`Unreadable`]: what is served as `markets.json` is no such file at all.
pub fn compare(
    board: &Board,
    markets_json: &[u8],
    markets: &[MarketId],
    sums: &BTreeMap<MarketId, MarketSums>,
) -> Result<Found, Unreadable> {
    let mut found = Found::default();
    let none = MarketSums::default();
    let rows_of = |market: &MarketId| sums.get(market).unwrap_or(&none);
    for market in markets {
        if !compare_market(&mut found.comparison, board, *market, rows_of(market)) {
            found.markets.insert(*market);
        }
    }
    let mut pairs: BTreeMap<String, Vec<MarketId>> = BTreeMap::new();
    for market in markets.iter().filter(|market| !rows_of(market).is_empty()) {
        if let Some(name) = board.pair_of(*market) {
            pairs.entry(name).or_default().push(*market);
        }
    }
    // A pair is compared where it is whole; and what is served of no market at all is too much.
    let here: BTreeSet<MarketId> = markets.iter().copied().collect();
    let mut names = BTreeSet::new();
    for (market, _) in board.windows().figures() {
        let Some(name) = board.pair_of(market) else { continue };
        if !here.contains(&market) {
            pairs.remove(&name);
        }
        names.insert(name);
    }
    let expected: Vec<ExpectedPair> =
        pairs.iter().map(|(name, of)| expected(board, name, of, &rows_of)).collect();
    let differing = compare_some(&mut found.comparison, markets_json, &expected, &names)?;
    found.markets.extend(differing.iter().filter_map(|name| pairs.get(name)).flatten());
    Ok(found)
}

fn expected<'a>(
    board: &Board,
    name: &str,
    markets: &[MarketId],
    rows_of: &impl Fn(&MarketId) -> &'a MarketSums,
) -> ExpectedPair {
    let mut sums = MarketSums::default();
    for market in markets {
        sums.merge(rows_of(market));
    }
    let book = board.book_of_pair(name);
    let count = |levels: u64| i64::try_from(levels).unwrap_or(i64::MAX);
    ExpectedPair {
        name: name.to_owned(),
        day: sums.day.window,
        week: sums.week.window,
        close_time: sums.latest,
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
fn compare_market(comparison: &mut Comparison, board: &Board, market: MarketId, rows: &MarketSums) -> bool {
    let before = comparison.difference_count;
    let entry = format!("market {market} {}", board.pair_of(market).unwrap_or_default());
    let figures = board.windows().figures_of(market).copied().unwrap_or_default();
    let Figures { day, week } = figures;
    compare_window(comparison, &entry, "24h", &day, &rows.day.window);
    compare_window(comparison, &entry, "7d", &week, &rows.week.window);
    let latest = week.times.map_or(Second::default(), |(_, latest)| latest);
    let shown = |second: Second| second.to_rfc3339();
    comparison.compared(latest == rows.latest, &entry, "close_time", &shown(latest), &shown(rows.latest));
    let digest = digest(board, market);
    let hex = |digest: u128| format!("{digest:032x}");
    comparison.compared(digest == rows.digest, &entry, "trades", &hex(digest), &hex(rows.digest));
    comparison.difference_count == before
}

fn digest(board: &Board, market: MarketId) -> u128 {
    let [_, week] = published_edges(board.as_of());
    let trades = board.windows().trades_of(market).filter(|trade| trade.closed_at > week);
    trades.fold(0, |sum, trade| sum.wrapping_add(RawTrade::from(&trade).digest()))
}

fn compare_window(comparison: &mut Comparison, entry: &str, window: &str, told: &Summary, rows: &PairWindow) {
    let mut number = |name: &str, told: i128, rows: i128| {
        let field = format!("{window} {name}");
        comparison.compared(told == rows, entry, &field, &told.to_string(), &rows.to_string());
    };
    number("trade_count", told.trade_count.into(), rows.trade_count.into());
    number("base_volume", told.base_volume, rows.base_volume);
    number("counter_volume", told.counter_volume, rows.counter_volume);
    // Base per counter turns smallest and greatest round.
    let legacy = |price: super::super::price::Price| (price.d(), price.n());
    let told =
        told.prices.map(|prices| [prices.open.price, prices.max, prices.min, prices.close.price].map(legacy));
    let rows = [rows.open, rows.low, rows.high, rows.close];
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

/// The ledgers of trades in which the windows of some markets differ from one board to another.
#[must_use]
pub fn differing_ledgers(before: &Board, after: &Board, markets: &BTreeSet<MarketId>) -> BTreeSet<u32> {
    let mut ledgers = BTreeSet::new();
    let [_, week] = published_edges(after.as_of());
    // What came up between the two is no difference.
    let newest =
        before.windows().figures().filter_map(|(_, figures)| figures.week.times).map(|(_, last)| last).max();
    for market in markets {
        let trades = |board: &Board| -> HashMap<PagingToken, WindowTrade> {
            let counts = |trade: &WindowTrade| trade.closed_at > week && Some(trade.closed_at) <= newest;
            board.windows().trades_of(*market).filter(counts).map(|trade| (trade.token, trade)).collect()
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
