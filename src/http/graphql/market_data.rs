//! Rows of the root fields `trades` and `candles`, out of the trades of the last 7 days. Prices are quote per base.

use std::cmp::Reverse;

use crate::domain::{
    asset::Asset,
    candles::Interval,
    conversions::SaturatingFrom,
    cursor::PagingToken,
    decimal,
    instant::{MINUTE, UnixSeconds},
    json_text::push_string,
    market::Market,
    market_snapshot::MarketSnapshot,
    price::Price,
    quoted::{QuotedPrices, QuotedStats},
    span::Span,
    trade_stats::WindowTrade,
    windows::MarketId,
};

/// Largest `first` of both fields.
pub(super) const FIRST_MAX: usize = 1_000;
/// Default of `first`.
pub(super) const FIRST_DEFAULT: usize = 100;
/// Factor by which the span grows in which trades or candles are looked for.
const GROWTH: i64 = 8;

/// Appends a value of a trade.
pub(super) type SwapPrinter = fn(&mut String, &Swap);
/// Appends a value of a candle.
pub(super) type CandlePrinter = fn(&mut String, &Candle);

/// A trade with its market.
pub(super) struct Swap {
    market: Market,
    trade: WindowTrade,
}

/// A candle of a market.
pub(super) struct Candle {
    start: UnixSeconds,
    stats: QuotedStats,
}

/// Returns the newest trades of a market, or of all, the newest first.
pub(super) fn newest(
    snapshot: &MarketSnapshot,
    market: Option<&Market>,
    first: usize,
    is_wanted: &dyn Fn() -> bool,
) -> Vec<Swap> {
    let windows = snapshot.windows();
    let wanted = market.map(|market| id_of(snapshot, market));
    let oldest = Span::Week.edge(snapshot.as_of());
    let last_of = |id: MarketId| windows.figures_of(id)?.week.times.map(|(_, last)| last);
    let ids = || windows.figures().map(|(id, _)| id);
    let last = match wanted {
        Some(id) => id.and_then(last_of),
        None => ids().filter_map(last_of).max(),
    };
    let last = last.unwrap_or(oldest);
    let (mut seconds, mut found) = (MINUTE, Newest::new(first));
    while is_wanted() {
        // Look further back until there are enough: the newest trades of all markets are mostly seconds old.
        let edge = last.minus(seconds).max(oldest);
        let traded = |id: &MarketId| last_of(*id).is_some_and(|last| last > edge);
        let markets: Vec<MarketId> = match wanted {
            Some(id) => id.into_iter().collect(),
            None => ids().filter(traded).collect(),
        };
        found = Newest::new(first);
        for id in markets.into_iter().take_while(|_| is_wanted()) {
            windows.trades_since(id, edge).for_each(|trade| found.push((id, trade)));
        }
        if found.is_full() || edge == oldest {
            break;
        }
        seconds = seconds.saturating_mul(GROWTH);
    }
    let named = |(id, trade)| Some(Swap { market: market_of(snapshot, id)?, trade });
    found.sorted().into_iter().filter_map(named).collect()
}

/// The newest of the trades that were pushed. Holds at most twice as many as are wanted, whatever was pushed.
struct Newest {
    wanted: usize,
    trades: Vec<(MarketId, WindowTrade)>,
}

impl Newest {
    const fn new(wanted: usize) -> Self {
        Self { wanted, trades: Vec::new() }
    }

    fn push(&mut self, trade: (MarketId, WindowTrade)) {
        self.trades.push(trade);
        if self.trades.len() > self.wanted.saturating_mul(2) {
            self.drop_the_older();
        }
    }

    fn is_full(&self) -> bool {
        self.trades.len() >= self.wanted
    }

    /// Returns them, the newest first.
    fn sorted(mut self) -> Vec<(MarketId, WindowTrade)> {
        self.drop_the_older();
        self.trades.sort_unstable_by_key(Self::age);
        self.trades
    }

    fn drop_the_older(&mut self) {
        if self.trades.len() > self.wanted {
            self.trades.select_nth_unstable_by_key(self.wanted, Self::age);
            self.trades.truncate(self.wanted);
        }
    }

    fn age((_, trade): &(MarketId, WindowTrade)) -> Reverse<(UnixSeconds, PagingToken)> {
        Reverse((trade.closed_at, trade.token))
    }
}

/// Returns the newest candles of a market, the oldest first.
pub(super) fn candles(
    snapshot: &MarketSnapshot,
    market: &Market,
    interval: Interval,
    first: usize,
) -> Vec<Candle> {
    let Some(id) = id_of(snapshot, market) else { return Vec::new() };
    let (windows, buckets) = (snapshot.windows(), interval.buckets());
    let Some((_, last)) = windows.figures_of(id).and_then(|figures| figures.week.times) else {
        return Vec::new();
    };
    // A bucket whose beginning is not held any more would be wrong.
    let oldest = buckets.next_start(Span::Week.edge(snapshot.as_of()).plus(1));
    let mut seconds = buckets.seconds.saturating_mul(i64::saturating_from(first));
    let filled = loop {
        let from = buckets.next_start(last.minus(seconds)).max(oldest);
        let filled = windows.by_bucket(id, buckets, from..UnixSeconds(i64::MAX));
        if filled.len() >= first || from == oldest {
            break filled;
        }
        seconds = seconds.saturating_mul(GROWTH);
    };
    let skipped = filled.len().saturating_sub(first);
    let is_flipped = is_flipped(market);
    let candle = |(start, stats)| Candle { start, stats: QuotedStats::of(&stats, is_flipped) };
    filled.into_iter().skip(skipped).map(candle).collect()
}

fn id_of(snapshot: &MarketSnapshot, market: &Market) -> Option<MarketId> {
    let names = snapshot.directory().names();
    snapshot.directory().market_between(names.id_of(market.base())?, names.id_of(market.counter())?)
}

fn market_of(snapshot: &MarketSnapshot, id: MarketId) -> Option<Market> {
    let (base, counter) = snapshot.directory().sides(id)?;
    let names = snapshot.directory().names();
    Market::of(*names.asset(base)?, *names.asset(counter)?).map(|(market, _)| market)
}

/// True if the quote of new outputs is the base of the market.
fn is_flipped(market: &Market) -> bool {
    market.quoted().1 == market.base()
}

impl Swap {
    fn base(&self) -> &Asset {
        self.market.quoted().0
    }

    fn quote(&self) -> &Asset {
        self.market.quoted().1
    }

    /// Amounts of base and quote, in stroops.
    fn amounts(&self) -> (i128, i128) {
        let amounts = (self.trade.base_amount.stroops().into(), self.trade.counter_amount.stroops().into());
        if is_flipped(&self.market) { (amounts.1, amounts.0) } else { amounts }
    }

    fn price(&self) -> Option<Price> {
        let price = self.trade.price?;
        Some(if is_flipped(&self.market) { price.inverse() } else { price })
    }

    fn is_buy(&self) -> bool {
        self.trade.is_buy != is_flipped(&self.market)
    }
}

/// Returns the printer of a field of `Trade`, `TradedPair` or `Token`. The second token has a
/// type name of its own here.
pub(super) fn of_swap(type_name: &str, name: &str) -> Option<SwapPrinter> {
    match (type_name, name) {
        ("Trade", _) => of_trade(name),
        ("TradedPair", "id") => Some(|out, swap| push_string(out, &swap.market.name())),
        ("Token", "id") => Some(|out, swap| push_string(out, &swap.base().name())),
        ("Token", "symbol") => Some(|out, swap| push_string(out, swap.base().code())),
        (SECOND_TOKEN, "id") => Some(|out, swap| push_string(out, &swap.quote().name())),
        (SECOND_TOKEN, "symbol") => Some(|out, swap| push_string(out, swap.quote().code())),
        _ => None,
    }
}

/// Type name under which the fields of the second token are printed.
pub(super) const SECOND_TOKEN: &str = "Token 1";

fn of_trade(name: &str) -> Option<SwapPrinter> {
    Some(match name {
        "id" => |out, swap| {
            let PagingToken { toid, order } = swap.trade.token;
            push_string(out, &format!("{toid}-{order}"));
        },
        "timestamp" => |out, swap| out.push_str(&swap.trade.closed_at.0.to_string()),
        "time" => |out, swap| push_string(out, &swap.trade.closed_at.to_rfc3339()),
        "type" => |out, swap| push_string(out, if swap.is_buy() { "buy" } else { "sell" }),
        "price" => |out, swap| push_decimal(out, price(swap.price())),
        "baseAmount" => |out, swap| push_string(out, &decimal::amount(swap.amounts().0)),
        "quoteAmount" => |out, swap| push_string(out, &decimal::amount(swap.amounts().1)),
        "maker" => |out, swap| push_string(out, if swap.trade.is_pool { "pool" } else { "book" }),
        _ => return None,
    })
}

/// Returns the printer of a field of `Candle`.
pub(super) fn of_candle(_: &str, name: &str) -> Option<CandlePrinter> {
    Some(match name {
        "time" => |out, candle| push_string(out, &candle.start.to_rfc3339()),
        "timestamp" => |out, candle| out.push_str(&candle.start.0.to_string()),
        "open" => |out, candle| push_decimal(out, candle.price(|prices| prices.open)),
        "high" => |out, candle| push_decimal(out, candle.price(|prices| prices.high)),
        "low" => |out, candle| push_decimal(out, candle.price(|prices| prices.low)),
        "close" => |out, candle| push_decimal(out, candle.price(|prices| prices.close)),
        "vwap" => |out, candle| {
            push_decimal(out, candle.stats.vwap.and_then(|(n, d)| decimal::quotient(n, d)));
        },
        "baseVolume" => |out, candle| push_string(out, &decimal::amount(candle.stats.base_volume)),
        "quoteVolume" => |out, candle| push_string(out, &decimal::amount(candle.stats.quote_volume)),
        "buyVolume" => |out, candle| push_string(out, &decimal::amount(candle.stats.buy_volume)),
        "poolVolume" => |out, candle| push_string(out, &decimal::amount(candle.stats.pool_volume)),
        "tradeCount" => |out, candle| out.push_str(&candle.stats.trade_count.to_string()),
        _ => return None,
    })
}

impl Candle {
    fn price(&self, pick: fn(&QuotedPrices) -> Price) -> Option<String> {
        price(self.stats.prices.as_ref().map(pick))
    }
}

fn price(price: Option<Price>) -> Option<String> {
    price.and_then(|price| decimal::quotient(price.n().into(), price.d().into()))
}

fn push_decimal(out: &mut String, text: Option<String>) {
    match text {
        Some(text) => push_string(out, &text),
        None => out.push_str("null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        directory::Directory,
        instant::{DAY, HOUR},
        test_support::trade,
        windows::Windows,
    };

    /// Snapshot of one market with trades at these ages, in seconds.
    fn snapshot(ages: &[i64]) -> (MarketSnapshot, Market) {
        let now = 30 * DAY;
        let sides = ["XLM", "A-GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN"];
        let [base, counter] = sides.map(|side| match side.parse() {
            Ok(crate::domain::identity::SpelledAsset::Classic(asset)) => asset,
            other => panic!("{other:?}"),
        });
        let (market, _) = Market::of(base, counter).unwrap();
        let mut directory = Directory::default();
        directory.add_names([(1, *market.base()), (2, *market.counter())]);
        directory.add_markets([(7, 1, 2)]);
        let mut windows = Windows::default();
        for (ledger, age) in (1..).zip(ages) {
            windows.add(7, trade(ledger, 0, now - age, (10_000, 20_000), (2, 1)));
        }
        windows.advance(UnixSeconds(now));
        (MarketSnapshot::new(windows.view(), directory), market)
    }

    #[test]
    fn the_newest_of_many_are_kept_and_never_more_than_twice_as_many() {
        let (mut newest, mut pushed) = (Newest::new(10), Vec::new());
        for number in (1..=1_000).map(|number| (number * 7_919) % 1_009) {
            let trade = (7, trade(number, 0, number, (1, 1), (1, 1)));
            newest.push(trade);
            pushed.push(trade);
            assert!(newest.trades.len() <= 20);
        }
        pushed.sort_unstable_by_key(Newest::age);
        pushed.truncate(10);
        assert!(newest.is_full());
        assert_eq!(newest.sorted(), pushed);
    }

    #[test]
    fn the_newest_of_all_are_found_however_long_ago_the_last_trade_was() {
        let (snapshot, market) = snapshot(&[70 * HOUR, 69 * HOUR]);
        let tokens = |market| {
            let swaps = newest(&snapshot, market, 1, &|| true);
            swaps.into_iter().map(|swap| swap.trade.token.ledger()).collect::<Vec<_>>()
        };
        assert_eq!((tokens(None), tokens(Some(&market))), (vec![2], vec![2]));
    }

    #[test]
    fn the_newest_of_a_market_that_was_silent_for_long_are_the_same_as_of_all() {
        let ages = [160 * HOUR, 100 * HOUR, 99 * HOUR, 90 * HOUR, 80 * HOUR + 90, 80 * HOUR + 30, 80 * HOUR];
        let (snapshot, market) = snapshot(&ages);
        let tokens = |first| {
            let swaps = newest(&snapshot, Some(&market), first, &|| true);
            swaps.into_iter().map(|swap| swap.trade.token.ledger()).collect::<Vec<_>>()
        };
        let starts = |interval: Interval, first| {
            candles(&snapshot, &market, interval, first).iter().map(|candle| candle.start).collect::<Vec<_>>()
        };
        let all = tokens(FIRST_MAX);
        assert_eq!(all, [7, 6, 5, 4, 3, 2, 1]);
        for first in 1..=ages.len() {
            assert_eq!(tokens(first), all[..first]);
            for interval in Interval::ALL {
                let all = starts(interval, FIRST_MAX);
                assert!(!all.is_empty());
                assert_eq!(
                    starts(interval, first),
                    all[all.len().saturating_sub(first)..],
                    "{interval:?} {first}"
                );
            }
        }
    }
}
