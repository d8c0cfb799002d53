//! Writer of the legacy `markets.json`. Keys, their order, numbers, times and escapes match the old ticker byte for
//! byte.

use ticker_domain::{
    conversions::Integer,
    instant::UnixSeconds,
    json_text::push_string,
    number::push_go_number,
    orderbook::BookFigures,
    ticker::{LegacyFigures, Pair},
};

/// Renders the file for `as_of`. The caller passes `pairs` sorted by name.
#[must_use]
pub fn render(as_of: UnixSeconds, pairs: &[Pair]) -> String {
    let rows: Vec<String> = pairs.iter().map(row).collect();
    [head(as_of), rows.join(","), foot(pairs.is_empty()).to_owned()].concat()
}

/// Renders the text before the first pair.
#[must_use]
pub fn head(as_of: UnixSeconds) -> String {
    let (millis, text) = (as_of.0.saturating_mul(1_000), as_of.to_rfc3339());
    format!(
        "{{\n    \"generated_at\": {millis},\n    \"generated_at_rfc3339\": \"{text}\",\n    \"pairs\": ["
    )
}

/// Renders one pair. The caller joins pairs with commas.
#[must_use]
pub fn row(pair: &Pair) -> String {
    let mut out = String::with_capacity(1_100);
    out.push_str("\n        {");
    push_pair(&mut out, pair);
    out.push_str("\n        }");
    out
}

/// Text after the last pair.
#[must_use]
pub(crate) const fn foot(is_empty: bool) -> &'static str {
    if is_empty { "]\n}" } else { "\n    ]\n}" }
}

fn push_pair(out: &mut String, pair: &Pair) {
    push_key(out, "name", true);
    push_string(out, &pair.name);
    push_figures(out, &pair.day, "");
    push_figures(out, &pair.week, "_7d");
    push_number(out, "price", pair.price);
    push_number(out, "close", pair.price);
    push_key(out, "close_time", false);
    push_string(out, &pair.close_time.to_rfc3339());
    push_book(out, &pair.book);
}

fn push_figures(out: &mut String, figures: &LegacyFigures, suffix: &str) {
    let mut push = |name: &str, value| push_number(out, &format!("{name}{suffix}"), value);
    push("base_volume", figures.base_volume);
    push("counter_volume", figures.counter_volume);
    push("trade_count", figures.trade_count.to_f64());
    push("open", figures.open);
    push("low", figures.low);
    push("high", figures.high);
    push("change", figures.close - figures.open);
}

fn push_book(out: &mut String, book: &BookFigures) {
    let (spread, spread_mid_point) = book.spread();
    push_number(out, "bid_count", book.bid_count.to_f64());
    push_number(out, "bid_volume", book.bid_volume);
    push_number(out, "bid_max", book.bid_max);
    push_number(out, "ask_count", book.ask_count.to_f64());
    push_number(out, "ask_volume", book.ask_volume);
    push_number(out, "ask_min", book.ask_min);
    push_number(out, "spread", spread);
    push_number(out, "spread_mid_point", spread_mid_point);
}

fn push_key(out: &mut String, key: &str, first: bool) {
    out.push_str(if first { "\n            \"" } else { ",\n            \"" });
    out.push_str(key);
    out.push_str("\": ");
}

fn push_number(out: &mut String, key: &str, value: f64) {
    push_key(out, key, false);
    push_go_number(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair(name: &str) -> Pair {
        let day = LegacyFigures {
            base_volume: 0.000_001_5,
            counter_volume: 98.84875,
            trade_count: 5,
            open: 1.265_822_736_740_908_7e-8,
            low: 1.25e-8,
            high: 1.5e-8,
            close: 1.265_822_736_740_908_7e-8,
        };
        Pair {
            name: name.into(),
            day,
            week: LegacyFigures { trade_count: 19, ..day },
            price: day.close,
            close_time: UnixSeconds(1_795_457_187),
            book: BookFigures {
                bid_count: 2,
                bid_max: 8.0,
                ask_count: 1,
                ask_min: 10.0,
                ..BookFigures::default()
            },
        }
    }

    #[test]
    fn renders_an_empty_list_without_pairs() {
        assert_eq!(
            render(UnixSeconds(1_795_457_237), &[]),
            "{\n    \"generated_at\": 1795457237000,\n    \"generated_at_rfc3339\": \"2026-11-23T18:07:17Z\",\n    \"pairs\": []\n}"
        );
    }

    #[test]
    fn renders_the_bytes_of_the_old_program() {
        insta::assert_snapshot!(render(
            UnixSeconds(1_795_457_237),
            &[pair("XLM_A&B<\u{2028}\"\u{1}>"), pair("XLM_TEA1")]
        ));
    }

    proptest! {
        #[test]
        fn stays_valid_json_with_any_text_and_figures(name in "\\PC*", numbers in prop::array::uniform4(any::<f64>())) {
            let mut odd = pair(&name);
            [odd.price, odd.day.open, odd.day.base_volume, odd.book.ask_min] = numbers;
            let text = render(UnixSeconds(0), &[odd]);
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(json["pairs"][0]["name"].as_str(), Some(name.as_str()));
            prop_assert_eq!(json["pairs"][0].as_object().unwrap().len(), 26);
        }
    }
}
