//! Windows of a market's document.

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use ticker_domain::{decimal, quoted::QuotedStats, span::Span};

use crate::listings::{
    market::MarketView,
    value::{self, PriceTexts},
};

/// Windows of a market, printed by the names of their spans.
#[derive(Debug)]
pub(super) struct MarketWindows([Window; Span::ALL.len()]);

#[derive(Debug)]
struct Window {
    span: Span,
    /// True if all its trades are known.
    is_complete: bool,
    stats: QuotedStats,
}

#[derive(Serialize)]
struct NamedWindow<'a> {
    complete: bool,
    #[serde(flatten)]
    figures: &'a WindowDocument,
}

#[derive(Serialize)]
struct WindowDocument {
    open: Option<String>,
    high: Option<String>,
    low: Option<String>,
    close: Option<String>,
    open_raw: Option<String>,
    high_raw: Option<String>,
    low_raw: Option<String>,
    close_raw: Option<String>,
    vwap: Option<String>,
    change: Option<String>,
    change_percent: Option<String>,
    base_volume: String,
    quote_volume: String,
    trade_count: u64,
    clean_count: u64,
    buy_volume: String,
    sell_volume: String,
    book_volume: String,
    pool_volume: String,
}

/// Figure of a window by its name, as its document shows it; null for an unknown name.
pub(in crate::listings) fn figure(stats: &QuotedStats, name: &str) -> serde_json::Value {
    let document = serde_json::to_value(document(stats)).unwrap_or_default();
    document.get(name).cloned().unwrap_or_default()
}

/// Windows of a market.
pub(super) fn of(market: &MarketView<'_>) -> MarketWindows {
    MarketWindows(Span::ALL.map(|span| Window {
        span,
        is_complete: market.view().is_whole(span),
        stats: market.stats(span),
    }))
}

impl Serialize for MarketWindows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        let mut shorter: Option<(&QuotedStats, WindowDocument)> = None;
        for Window { span, is_complete, stats } in &self.0 {
            // The shorter window has the same text if it has all trades of this one.
            let figures = match shorter {
                Some((of_shorter, figures)) if of_shorter == stats => figures,
                _ => document(stats),
            };
            map.serialize_entry(span.name(), &NamedWindow { complete: *is_complete, figures: &figures })?;
            shorter = Some((stats, figures));
        }
        map.end()
    }
}

fn document(stats: &QuotedStats) -> WindowDocument {
    let clean = PriceTexts::of(stats.prices);
    // Without dust the raw prices are the clean ones.
    let raw = if stats.raw_prices == stats.prices { clean.clone() } else { PriceTexts::of(stats.raw_prices) };
    WindowDocument {
        open: clean.open,
        high: clean.high,
        low: clean.low,
        close: clean.close,
        open_raw: raw.open,
        high_raw: raw.high,
        low_raw: raw.low,
        close_raw: raw.close,
        vwap: value::ratio(stats.vwap),
        change: value::ratio(stats.prices.map(|prices| prices.change())),
        change_percent: value::ratio(stats.prices.and_then(|prices| prices.change_percent())),
        base_volume: decimal::amount(stats.base_volume),
        quote_volume: decimal::amount(stats.quote_volume),
        trade_count: stats.trade_count,
        clean_count: stats.clean_count,
        buy_volume: decimal::amount(stats.buy_volume),
        sell_volume: decimal::amount(stats.sell_volume),
        book_volume: decimal::amount(stats.book_volume),
        pool_volume: decimal::amount(stats.pool_volume),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use ticker_domain::{price::Price, quoted::QuotedPrices};

    use super::*;

    fn prices([open, high, low, close]: [i64; 4]) -> QuotedPrices {
        let price = |n| Price::new(n, 3).unwrap();
        QuotedPrices { open: price(open), high: price(high), low: price(low), close: price(close) }
    }

    /// Equal prices and equal windows share their texts, so each price is compared with a quotient of its own.
    #[test]
    fn every_price_of_each_window_is_that_of_its_trades() {
        let stats = |clean, raw, trade_count| QuotedStats {
            prices: Some(prices(clean)),
            raw_prices: Some(prices(raw)),
            trade_count,
            ..QuotedStats::default()
        };
        let quiet = QuotedStats::default();
        let one = stats([2, 2, 2, 2], [2, 2, 2, 2], 1);
        let without_dust = stats([5, 7, 2, 4], [5, 7, 2, 4], 3);
        let with_dust = stats([5, 7, 2, 4], [5, 90, 1, 4], 9);
        for of_spans in [
            [quiet, quiet, quiet],
            [quiet, quiet, one],
            [quiet, one, one],
            [one, without_dust, with_dust],
            [without_dust, without_dust, with_dust],
            [with_dust, with_dust, with_dust],
        ] {
            let mut left = of_spans.into_iter();
            let windows = Span::ALL.map(|span| Window {
                span,
                is_complete: span != Span::Week,
                stats: left.next().unwrap(),
            });
            let json = serde_json::to_value(MarketWindows(windows)).unwrap();
            for (span, stats) in Span::ALL.into_iter().zip(of_spans) {
                let window = &json[span.name()];
                assert_eq!(window["complete"], span != Span::Week);
                assert_eq!(window["trade_count"], stats.trade_count);
                for (suffix, prices) in [("", stats.prices), ("_raw", stats.raw_prices)] {
                    let is = |name: &str, pick: fn(QuotedPrices) -> Price| {
                        let expected = Value::from(value::price(prices.map(pick)));
                        assert_eq!(window[format!("{name}{suffix}")], expected, "{json}");
                    };
                    is("open", |prices| prices.open);
                    is("high", |prices| prices.high);
                    is("low", |prices| prices.low);
                    is("close", |prices| prices.close);
                }
            }
        }
    }

    #[test]
    fn windows_are_printed_from_the_shortest_on_with_complete_before_the_figures() {
        let window = |span| Window { span, is_complete: true, stats: QuotedStats::default() };
        let text = serde_json::to_string(&MarketWindows(Span::ALL.map(window))).unwrap();
        let starts: Vec<_> = Span::ALL
            .into_iter()
            .map(|span| text.find(&format!(r#""{}":{{"complete":true,"open":null,"#, span.name())).unwrap())
            .collect();
        assert!(starts.is_sorted(), "{text}");
    }
}
