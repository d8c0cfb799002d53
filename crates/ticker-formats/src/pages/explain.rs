//! `/m/{market}?explain=FIELD`: the trades behind a figure.

use askama::Template;
use ticker_domain::{conversions::SaturatingFrom, span::Span};

use super::{Frame, TickerState, market::dollars, rendered};
use crate::{
    board::BoardRow,
    listings::{MarketView, explain::Explanation},
    shown::{self, ratio_of},
};

/// Fields that are shown with the decimals of the market's prices.
const PRICES: [&str; 9] =
    ["open", "high", "low", "close", "open_raw", "high_raw", "low_raw", "close_raw", "vwap"];

/// Count of trades, drawn as a bar.
struct Bar {
    count: String,
    text: String,
    /// Share of all trades in percent, at least 1.
    share: usize,
    is_left_out: bool,
}

struct Trade {
    price: String,
    amount: String,
    time: String,
    token: String,
    maker: &'static str,
    side: &'static str,
}

/// Worth of an amount of the quote in dollars. The page of the market shows it in place of the amount.
struct Worth {
    /// Name of the quote.
    quote: String,
    amount: String,
    /// Dollars per unit of the quote.
    rate: String,
    method: &'static str,
}

#[derive(Template)]
#[template(path = "explain.html")]
struct ExplainPage {
    frame: Frame,
    id: String,
    base: String,
    quote: String,
    explanation: Explanation,
    /// Field and window in words.
    figure: String,
    /// Begin and end of the window, and the moment of the figure.
    moments: [String; 3],
    /// The figure as the page of the market shows it.
    shown: String,
    value: String,
    worth: Option<Worth>,
    bars: Vec<Bar>,
    trades: Vec<Trade>,
}

/// Page that explains a figure of a market.
#[must_use]
pub fn explain(market: &MarketView<'_>, explanation: Explanation, state: &TickerState) -> Vec<u8> {
    let row = BoardRow::of(market);
    let price = |text: Option<&String>| {
        let units =
            text.and_then(|text| ratio_of(text)).zip(row.scale).and_then(|(ratio, scale)| scale.units(ratio));
        row.print(units)
    };
    let shown = match &explanation.value {
        serde_json::Value::String(text) if PRICES.contains(&explanation.field) => price(Some(text)),
        _ => String::new(),
    };
    let trades = explanation.deciding.iter().map(|explained| &explained.trade).map(|trade| Trade {
        price: price(trade.price.as_ref()),
        amount: trade.base_amount.clone(),
        time: in_utc(&trade.time),
        token: trade.paging_token.clone(),
        maker: trade.maker,
        side: if trade.side == "buy" { "bought" } else { "sold" },
    });
    let value = match &explanation.value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Null => shown::NONE.to_owned(),
        other => other.to_string(),
    };
    rendered(&ExplainPage {
        frame: Frame::of(state, ""),
        id: market.name(),
        base: market.base().asset().code().to_owned(),
        quote: market.quote().asset().code().to_owned(),
        figure: in_words(explanation.field, explanation.window),
        moments: [&explanation.from, &explanation.to, &explanation.as_of].map(|time| in_utc(time)),
        shown: if shown.is_empty() { value.clone() } else { shown },
        value,
        worth: worth(market, &explanation),
        bars: bars(&explanation),
        trades: trades.collect(),
        explanation,
    })
}

/// Worth of the volume in the quote. `None` for other figures, and for a quote without a price in dollars.
fn worth(market: &MarketView<'_>, explanation: &Explanation) -> Option<Worth> {
    let span = Span::named(explanation.window).filter(|_| explanation.field == "quote_volume")?;
    let price = market.quote().usd()?;
    Some(Worth {
        quote: market.quote().name(),
        amount: format!("${}", shown::amount(market.usd_volume(market.stats(span).quote_volume)?)),
        rate: dollars((price.rate.n, price.rate.d))?,
        method: price.method.name(),
    })
}

/// `24 h high`, `7 d base volume`.
fn in_words(field: &str, window: &str) -> String {
    let unit = window.trim_start_matches(|letter: char| letter.is_ascii_digit());
    format!("{} {unit} {}", window.trim_end_matches(unit), field.replace('_', " "))
}

/// Time of RFC 3339 for people: `2026-11-27 21:10:02`.
fn in_utc(time: &str) -> String {
    time.replace('T', " ").trim_end_matches('Z').to_owned()
}

fn bars(explanation: &Explanation) -> Vec<Bar> {
    let all = explanation.trades.in_window;
    let bar = |count: usize, text: &str, is_left_out| Bar {
        count: shown::count(u64::saturating_from(count)),
        text: text.to_owned(),
        share: count.saturating_mul(100).checked_div(all).unwrap_or(0).max(1),
        is_left_out,
    };
    let left_out =
        explanation.trades.left_out.iter().map(|left_out| bar(left_out.count, left_out.reason, true));
    std::iter::once(bar(all, "trades in the window", false))
        .chain(left_out)
        .chain(std::iter::once(bar(explanation.trades.counted, "counted", false)))
        .collect()
}

#[cfg(test)]
mod tests {
    use ticker_domain::test_support::address;

    use super::*;
    use crate::{listings::explain::Field, test_view::view};

    #[test]
    fn the_volume_in_the_quote_names_its_dollars_and_their_rate() {
        let view = view(&[("A".to_owned(), 2)]);
        let [xlm, other] = ["XLM".to_owned(), format!("A-{}", address(2))]
            .map(|name| view.find(&name.parse().unwrap()).unwrap());
        let market = view.market_between(&xlm, &other).unwrap();
        let page = |field: &str| {
            let explanation =
                Field::named(field).unwrap().explain(&market, Span::Day, |_, _, _| String::new());
            String::from_utf8(explain(&market, explanation, &TickerState::default())).unwrap()
        };
        let sentence = "In dollars that is $10.00: 1 XLM is worth $0.50000 by the method ";
        assert!(page("quote_volume").contains(sentence), "{}", page("quote_volume"));
        assert!(!page("base_volume").contains("In dollars"));
    }

    #[test]
    fn a_figure_is_named_in_words() {
        assert_eq!(in_words("high", "24h"), "24 h high");
        assert_eq!(in_utc("2026-11-27T21:10:02Z"), "2026-11-27 21:10:02");
        assert_eq!(in_words("base_volume", "7d"), "7 d base volume");
    }
}
