//! The renderer writes the file and the audit reads it. The two share only the rounding code.

use ticker_formats::legacy::markets_json;

use super::*;
use crate::domain::{
    cursor::PagingToken,
    orderbook::BookFigures,
    ticker::{LegacyFigures, Pair},
};

const AS_OF: UnixSeconds = UnixSeconds(1_795_457_237);

fn expected(name: &str) -> ExpectedPair {
    let at = |toid| PagingToken { toid, order: 0 };
    let week = TradeSums {
        trade_count: 3,
        base_volume: 10_000_001,
        counter_volume: i128::from(i64::MAX) * 3,
        open: Some((at(1), (1, 3))),
        low: Some((1, 7)),
        high: Some((5, 2)),
        close: Some((at(3), (2, 3))),
        times: Some((UnixSeconds(1_795_400_000), UnixSeconds(1_795_457_000))),
    };
    let recent = TradeSums { trade_count: 1, base_volume: 1, open: week.close, ..week };
    let book =
        PairBook { bid_count: 2, bid_volume: 0.3, bid_max: 1.1, ask_count: 4, ask_volume: 7.7, ask_min: 1.3 };
    ExpectedPair { name: name.into(), recent, week, book }
}

fn figures(trade_count: u64, volumes: (f64, f64), prices: [f64; 4]) -> LegacyFigures {
    let [open, low, high, close] = prices;
    LegacyFigures { base_volume: volumes.0, counter_volume: volumes.1, trade_count, open, low, high, close }
}

fn served(name: &str) -> Pair {
    let counter = 2_767_011_611_056.432_7;
    let (open, low, high, close) = (1.0 / 3.0, 1.0 / 7.0, 2.5, 2.0 / 3.0);
    Pair {
        name: name.into(),
        day: figures(1, (1e-7, counter), [close, low, high, close]),
        week: figures(3, (1.000_000_1, counter), [open, low, high, close]),
        price: close,
        close_time: UnixSeconds(1_795_457_000),
        book: BookFigures {
            bid_count: 2,
            bid_volume: 0.1 + 0.2, // 0.30000000000000004, not 0.3
            bid_max: 1.1,
            ask_count: 4,
            ask_volume: 7.7,
            ask_min: 1.3,
        },
    }
}

fn fields_that_differ(pair: &Pair, expected: &ExpectedPair) -> Vec<String> {
    let file = markets_json::render(AS_OF, std::slice::from_ref(pair));
    let comparison = compare(file.as_bytes(), AS_OF, std::slice::from_ref(expected)).unwrap();
    assert_eq!(comparison.figures, 28, "26 fields of the pair and 2 of the file");
    comparison.differences.into_iter().map(|found| found.field).collect()
}

#[test]
fn a_correct_file_has_no_differences() {
    assert_eq!(fields_that_differ(&served("XLM_TEA"), &expected("XLM_TEA")), [""; 0]);
}

#[test]
fn compares_every_figure_exactly_and_book_volumes_approximately() {
    let up = |value: f64| f64::from_bits(value.to_bits() + 1);
    type Change = fn(&mut Pair, fn(f64) -> f64);
    let changes: [(Change, &[&str]); 16] = [
        (|pair, up| pair.day.base_volume = up(pair.day.base_volume), &["base_volume"]),
        (|pair, up| pair.day.counter_volume = up(pair.day.counter_volume), &["counter_volume"]),
        (|pair, _| pair.day.trade_count += 1, &["trade_count"]),
        (|pair, up| pair.day.low = up(pair.day.low), &["low"]),
        (|pair, up| pair.day.high = up(pair.day.high), &["high"]),
        (|pair, up| pair.week.base_volume = up(pair.week.base_volume), &["base_volume_7d"]),
        (|pair, _| pair.week.trade_count -= 1, &["trade_count_7d"]),
        (|pair, up| pair.week.low = up(pair.week.low), &["low_7d"]),
        (|pair, up| pair.week.high = up(pair.week.high), &["high_7d"]),
        (|pair, _| pair.week.open = 0.25, &["change_7d", "open_7d"]),
        (|pair, up| pair.price = up(pair.price), &["close", "price"]),
        (|pair, _| pair.close_time = pair.close_time.plus(1), &["close_time"]),
        (|pair, _| pair.book.bid_count = 3, &["bid_count"]),
        (|pair, _| pair.book.bid_volume *= 1.000_001, &["bid_volume"]),
        (|pair, _| pair.book.ask_volume = 0.0, &["ask_volume"]),
        (|pair, _| pair.book.ask_min = 1.2, &["ask_min", "spread", "spread_mid_point"]),
    ];
    for (change, fields) in changes {
        let mut pair = served("XLM_TEA");
        change(&mut pair, up);
        assert_eq!(fields_that_differ(&pair, &expected("XLM_TEA")), fields);
    }
}

#[test]
fn a_day_without_trades_has_the_weeks_last_price_and_one_without_prices_has_none() {
    let mut wanted = expected("XLM_TEA");
    wanted.recent = TradeSums::default();
    let mut pair = served("XLM_TEA");
    pair.day = figures(0, (0.0, 0.0), [pair.price; 4]);
    assert_eq!(fields_that_differ(&pair, &wanted), [""; 0]);
    wanted.recent.trade_count = 1;
    pair.day = figures(1, (0.0, 0.0), [0.0; 4]);
    assert_eq!(fields_that_differ(&pair, &wanted), [""; 0]);
    wanted.book = PairBook::default();
    pair.book = BookFigures::default();
    assert_eq!(fields_that_differ(&pair, &wanted), [""; 0], "no book, no spread");
}

#[test]
fn reports_missing_unexpected_repeated_and_unordered_pairs() {
    let file = markets_json::render(AS_OF, &["B", "A", "A", "Z"].map(served));
    let comparison = compare(file.as_bytes(), AS_OF, &["A", "B", "C"].map(expected)).unwrap();
    let differences: Vec<(&str, &str, &str)> = comparison
        .differences
        .iter()
        .map(|found| (found.entry.as_str(), found.field.as_str(), found.served.as_str()))
        .collect();
    let out_of_order = "out of order, or twice";
    assert_eq!(
        differences,
        [
            ("A", "name", out_of_order),
            ("A", "name", out_of_order),
            ("A", "", "a pair"),
            ("Z", "", "a pair"),
            ("C", "", "nothing")
        ]
    );
    assert_eq!(comparison.entries, 4);
}

#[test]
fn a_wrong_time_or_an_unexpected_field_is_a_difference() {
    let file = markets_json::render(AS_OF, &[served("A")]).replace("\"price\"", "\"prize\"");
    let comparison = compare(file.as_bytes(), AS_OF.plus(1), &[expected("A")]).unwrap();
    let fields: Vec<&str> = comparison.differences.iter().map(|found| found.field.as_str()).collect();
    assert_eq!(fields, ["generated_at", "generated_at_rfc3339", "price", "prize"]);
    assert!(compare(b"{\"pairs\": null}", AS_OF, &[]).is_err());
}
