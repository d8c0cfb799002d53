//! Markets recomputed from the raw rows, by the simplest code.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stellar_ticker::domain::{candles::Interval, market::QUOTE_ASSETS};
use tokio_postgres::Client;

/// Intervals by name, each with its length and the start of one of its candles, in seconds since 1970. Weeks begin on
/// Mondays, and the first Monday was 1970-01-05.
const INTERVALS: [(&str, i64, i64); 7] = [
    ("1m", 60, 0),
    ("5m", 300, 0),
    ("15m", 900, 0),
    ("1h", 3_600, 0),
    ("4h", 14_400, 0),
    ("1d", 86_400, 0),
    ("1w", 7 * 86_400, 4 * 86_400),
];

/// One row in the orientation of new outputs. Amounts in stroops.
#[derive(Debug)]
pub(super) struct Trade {
    market: String,
    closed_at: i64,
    ledger: u64,
    base: i128,
    quote: i128,
    /// Quote and base.
    price: (i128, i128),
    is_bought: bool,
    is_of_pool: bool,
}

/// Figures of one market, in the orientation of new outputs. Amounts in stroops.
#[derive(Debug, Default)]
pub(super) struct Stats {
    count: u64,
    base: i128,
    pub(super) quote: i128,
    bought: i128,
    of_pools: i128,
    clean_count: u64,
    clean_base: i128,
    clean_quote: i128,
    /// Prices by (toid, order): quote and base.
    clean: Vec<(i128, i128)>,
    raw: Vec<(i128, i128)>,
}

#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) stats: Stats,
    /// Numbers of all trades, whether their ledgers are complete or not.
    pub(super) numbers: Vec<u64>,
}

impl Stats {
    pub(super) fn clean_or_raw(&self) -> &[(i128, i128)] {
        if self.clean.is_empty() { &self.raw } else { &self.clean }
    }

    fn add(&mut self, trade: &Trade) {
        let (base, quote) = (trade.base, trade.quote);
        self.count += 1;
        self.base += base;
        self.quote += quote;
        self.bought += if trade.is_bought { base } else { 0 };
        self.of_pools += if trade.is_of_pool { base } else { 0 };
        if trade.price.0 > 0 && trade.price.1 > 0 {
            self.raw.push(trade.price);
            // 1 / base + 1 / quote <= 1 / 1,000
            if base > 0 && quote > 0 && 1_000 * (base + quote) <= base * quote {
                self.clean_count += 1;
                self.clean_base += base;
                self.clean_quote += quote;
                self.clean.push(trade.price);
            }
        }
    }
}

/// The rows that closed after `edge`, by (toid, order).
pub(super) async fn trades(client: &Client, edge: i64) -> Vec<Trade> {
    let sql = "SELECT b.code, b.issuer, c.code, c.issuer, t.base_amount, t.counter_amount, t.price_n, t.price_d,
                      t.base_is_seller, t.liquidity_pool_id IS NOT NULL, t.toid,
                      extract(epoch FROM t.ledger_close_time)::bigint
               FROM trades t JOIN assets b ON b.id = t.base_asset_id JOIN assets c ON c.id = t.counter_asset_id
               WHERE extract(epoch FROM t.ledger_close_time)::bigint > $1
               ORDER BY t.toid, t.trade_order";
    let rows = client.query(sql, &[&edge]).await.unwrap();
    let trade = |row: &tokio_postgres::Row| {
        let text = |at: usize| row.get::<_, String>(at);
        let number = |at: usize| i128::from(row.get::<_, i64>(at));
        let (one, other) = ((text(0), text(1)), (text(2), text(3)));
        let is_flipped = rank(&one) < rank(&other);
        let (base, quote) = if is_flipped { (&other, &one) } else { (&one, &other) };
        let market = format!("{}_{}", name(base), name(quote));
        let turned = |one, other| if is_flipped { (other, one) } else { (one, other) };
        let (base, quote) = turned(number(4), number(5));
        let (price_n, price_d) = turned(number(6), number(7));
        Trade {
            market,
            closed_at: row.get(11),
            ledger: u64::try_from(row.get::<_, i64>(10) >> 32).unwrap(),
            base,
            quote,
            price: (price_n, price_d),
            is_bought: row.get::<_, bool>(8) != is_flipped,
            is_of_pool: row.get(9),
        }
    };
    rows.iter().map(trade).collect()
}

/// All markets by name, out of the rows that closed after `edge`.
pub(super) async fn markets(client: &Client, edge: i64) -> BTreeMap<String, Expected> {
    let mut markets: BTreeMap<String, Expected> = BTreeMap::new();
    for trade in trades(client, edge).await {
        let market = markets.entry(trade.market.clone()).or_default();
        let first = trade.ledger << 20;
        let ordinal = market.numbers.iter().rev().take_while(|number| **number >= first).count();
        market.numbers.push(first + u64::try_from(ordinal).unwrap());
        market.stats.add(&trade);
    }
    markets
}

/// Candles of one market by their start.
pub(super) fn candles(trades: &[Trade], market: &str, interval: Interval) -> BTreeMap<i64, Stats> {
    let (_, length, first) = INTERVALS.into_iter().find(|(name, ..)| *name == interval.name()).unwrap();
    let mut candles: BTreeMap<i64, Stats> = BTreeMap::new();
    for trade in trades.iter().filter(|trade| trade.market == market) {
        let start = trade.closed_at - (trade.closed_at - first).rem_euclid(length);
        candles.entry(start).or_default().add(trade);
    }
    candles
}

fn name((code, issuer): &(String, String)) -> String {
    if issuer == "native" { "XLM".to_owned() } else { format!("{code}-{issuer}") }
}

/// The lower quotes: the fixed list, then XLM, then the rest, of which the one that sorts last quotes. Rows have the
/// other one as base already.
fn rank((code, issuer): &(String, String)) -> usize {
    let name = format!("{code}:{issuer}");
    let listed = QUOTE_ASSETS.iter().position(|listed| *listed == name);
    listed.unwrap_or(if issuer == "native" { QUOTE_ASSETS.len() } else { usize::MAX })
}

/// Compares a window.
pub(super) fn compare(window: &Value, stats: &Stats, name: &str) {
    compare_candle(window, stats, name);
    assert_eq!(window["clean_count"].as_u64(), Some(stats.clean_count), "{name}");
    assert_amount(&window["sell_volume"], Some(stats.base - stats.bought), name);
    assert_amount(&window["book_volume"], Some(stats.base - stats.of_pools), name);
    let ends = stats.clean_or_raw().first().zip(stats.clean_or_raw().last());
    let ends = ends.map(|(first, last)| (first.0 * last.1, last.0 * first.1, first.1 * last.1));
    let change = ends.map(|(before, after, divisor)| (after - before, divisor));
    assert_quotient(&window["change"], change, &format!("{name} change"));
    let percent = ends.map(|(before, after, _)| ((after - before) * 100, before));
    assert_quotient(&window["change_percent"], percent, &format!("{name} change_percent"));
}

/// Compares the figures that a window and a candle share.
pub(super) fn compare_candle(figures: &Value, stats: &Stats, name: &str) {
    assert_eq!(figures["trade_count"].as_u64(), Some(stats.count), "{name}");
    for (field, amount) in [
        ("base_volume", stats.base),
        ("quote_volume", stats.quote),
        ("buy_volume", stats.bought),
        ("pool_volume", stats.of_pools),
    ] {
        assert_amount(&figures[field], Some(amount), &format!("{name} {field}"));
    }
    for (suffix, prices) in [("", stats.clean_or_raw()), ("_raw", &stats.raw)] {
        let by_value = |one: &&(i128, i128), other: &&(i128, i128)| (one.0 * other.1).cmp(&(other.0 * one.1));
        for (field, price) in [
            ("open", prices.first()),
            ("close", prices.last()),
            ("high", prices.iter().max_by(by_value)),
            ("low", prices.iter().min_by(by_value)),
        ] {
            assert_quotient(
                &figures[format!("{field}{suffix}")],
                price.copied(),
                &format!("{name} {field}{suffix}"),
            );
        }
    }
    let vwap = (stats.clean_count > 0).then_some((stats.clean_quote, stats.clean_base));
    assert_quotient(&figures["vwap"], vwap, &format!("{name} vwap"));
}

/// An amount is printed exactly, with seven places. `None`: any amount.
pub(super) fn assert_amount(printed: &Value, stroops: Option<i128>, name: &str) {
    let text = printed.as_str().unwrap();
    let (whole, places) = text.split_once('.').unwrap();
    assert_eq!(places.len(), 7, "{text}");
    if let Some(stroops) = stroops {
        assert_eq!(format!("{whole}{places}").parse::<i128>().unwrap(), stroops, "{name}");
    }
}

/// Asserts that a quotient is printed to 15 significant digits, exact to the last of them.
pub(super) fn assert_quotient(printed: &Value, expected: Option<(i128, i128)>, name: &str) {
    let expected = expected.map(|(n, d)| rounded(n, d));
    assert_eq!(*printed, json!(expected), "{name}");
}

/// Quotient to 15 significant digits and at most 36 places by long division, rounded half up. All digits of a longer
/// whole part are given.
pub(super) fn rounded(n: i128, d: i128) -> String {
    let sign = if (n < 0) == (d < 0) { "" } else { "-" };
    let (n, d) = (n.unsigned_abs(), d.unsigned_abs());
    let (mut digits, mut rest, mut places) = (n / d, n % d, 0_usize);
    while rest > 0 && digits < 10_u128.pow(14) && places < 36 {
        rest *= 10;
        digits = 10 * digits + rest / d;
        rest %= d;
        places += 1;
    }
    digits += u128::from(2 * rest >= d);
    let text = format!("{digits:0width$}", width = places + 1);
    let (whole, fraction) = text.split_at(text.len() - places);
    let fraction = fraction.trim_end_matches('0');
    match (digits, fraction) {
        (0, _) => "0".to_owned(),
        (_, "") => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{fraction}"),
    }
}

#[test]
fn the_recomputation_rounds_half_up_at_the_fifteenth_digit() {
    for (n, d, text) in [
        (1, 3, "0.333333333333333"),
        (2, 3, "0.666666666666667"),
        (-1, 8, "-0.125"),
        (0, 7, "0"),
        (600, -6, "-100"),
        (1_000_000_000_000_005, 10, "100000000000001"),
        (1_000_000_000_000_004, 10, "100000000000000"),
        (9_999_999_999_999_995, 10_000_000_000_000_000, "1"),
        (1, 1 << 120, "0.000000000000000000000000000000000001"),
    ] {
        assert_eq!(rounded(n, d), text, "{n}/{d}");
    }
}
