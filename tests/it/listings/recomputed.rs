//! Markets recomputed from the raw rows, by the simplest code.

use std::collections::BTreeMap;

use serde_json::Value;
use stellar_ticker::domain::market::QUOTE_ASSETS;
use tokio_postgres::Client;

/// Figures of one market, in the orientation of new outputs. Amounts in stroops.
#[derive(Debug, Default)]
pub(super) struct Stats {
    count: u64,
    base: i128,
    quote: i128,
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
}

/// All markets by name, out of the rows that closed after `edge`.
pub(super) async fn markets(client: &Client, edge: i64) -> BTreeMap<String, Expected> {
    let sql = "SELECT b.code, b.issuer, c.code, c.issuer, t.base_amount, t.counter_amount, t.price_n, t.price_d,
                      t.base_is_seller, t.liquidity_pool_id IS NOT NULL, t.toid
               FROM trades t JOIN assets b ON b.id = t.base_asset_id JOIN assets c ON c.id = t.counter_asset_id
               WHERE extract(epoch FROM t.ledger_close_time)::bigint > $1
               ORDER BY t.toid, t.trade_order";
    let mut markets: BTreeMap<String, Expected> = BTreeMap::new();
    for row in client.query(sql, &[&edge]).await.unwrap() {
        let text = |at: usize| row.get::<_, String>(at);
        let number = |at: usize| i128::from(row.get::<_, i64>(at));
        let (one, other) = ((text(0), text(1)), (text(2), text(3)));
        let is_flipped = rank(&one) < rank(&other);
        let (base, quote) = if is_flipped { (&other, &one) } else { (&one, &other) };
        let market = markets.entry(format!("{}_{}", name(base), name(quote))).or_default();
        let ledger = row.get::<_, i64>(10) >> 32;
        let first = u64::try_from(ledger).unwrap() << 20;
        let ordinal = market.numbers.iter().rev().take_while(|number| **number >= first).count();
        market.numbers.push(first + u64::try_from(ordinal).unwrap());
        let turned = |one, other| if is_flipped { (other, one) } else { (one, other) };
        let (base, quote) = turned(number(4), number(5));
        let (price_n, price_d) = turned(number(6), number(7));
        let is_bought = row.get::<_, bool>(8) != is_flipped;
        let stats = &mut market.stats;
        stats.count += 1;
        stats.base += base;
        stats.quote += quote;
        stats.bought += if is_bought { base } else { 0 };
        stats.of_pools += if row.get(9) { base } else { 0 };
        if price_n > 0 && price_d > 0 {
            stats.raw.push((price_n, price_d));
            // 1 / base + 1 / quote <= 1 / 1,000
            if base > 0 && quote > 0 && 1_000 * (base + quote) <= base * quote {
                stats.clean_count += 1;
                stats.clean_base += base;
                stats.clean_quote += quote;
                stats.clean.push((price_n, price_d));
            }
        }
    }
    markets
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

pub(super) fn compare(window: &Value, stats: &Stats, name: &str) {
    assert_eq!(window["trade_count"].as_u64(), Some(stats.count), "{name}");
    assert_eq!(window["clean_count"].as_u64(), Some(stats.clean_count), "{name}");
    for (field, amount) in [
        ("base_volume", stats.base),
        ("quote_volume", stats.quote),
        ("buy_volume", stats.bought),
        ("sell_volume", stats.base - stats.bought),
        ("pool_volume", stats.of_pools),
        ("book_volume", stats.base - stats.of_pools),
    ] {
        assert_amount(&window[field], Some(amount), name);
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
                &window[format!("{field}{suffix}")],
                price.copied(),
                &format!("{name} {field}{suffix}"),
            );
        }
    }
    let vwap = (stats.clean_count > 0).then_some((stats.clean_quote, stats.clean_base));
    assert_quotient(&window["vwap"], vwap, &format!("{name} vwap"));
    let ends = stats.clean_or_raw().first().zip(stats.clean_or_raw().last());
    let percent = ends.map(|(first, last)| {
        let (before, after) = (first.0 * last.1, last.0 * first.1);
        ((after - before) * 100, before)
    });
    assert_quotient(&window["change_percent"], percent, &format!("{name} change_percent"));
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

/// A quotient is printed to 15 significant digits.
pub(super) fn assert_quotient(printed: &Value, expected: Option<(i128, i128)>, name: &str) {
    let Some((n, d)) = expected else { return assert!(printed.is_null(), "{name}: {printed}") };
    let text = printed.as_str().unwrap_or_else(|| panic!("{name}: {printed}"));
    assert!(!text.contains(['e', 'E']), "{text}");
    let (printed, exact): (f64, f64) = (text.parse().unwrap(), n as f64 / d as f64);
    assert!((printed - exact).abs() <= exact.abs() * 2e-14, "{name}: {text} is not {n}/{d}");
}
