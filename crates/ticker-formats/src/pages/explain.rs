//! `/m/{market}?explain=FIELD`: the trades behind a figure.

use askama::Template;

use super::{Frame, TickerState, rendered};
use crate::{
    board::BoardRow,
    listings::{MarketView, explain::Explanation},
    shown::{self, ratio_of},
};

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

#[derive(Template)]
#[template(path = "explain.html")]
struct ExplainPage {
    frame: Frame,
    id: String,
    base: String,
    quote: String,
    explanation: Explanation,
    value: String,
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
    let trades = explanation.deciding.iter().map(|explained| &explained.trade).map(|trade| Trade {
        price: price(trade.price.as_ref()),
        amount: trade.base_amount.clone(),
        time: trade.time.clone(),
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
        value,
        bars: bars(&explanation),
        trades: trades.collect(),
        explanation,
    })
}

fn bars(explanation: &Explanation) -> Vec<Bar> {
    let all = explanation.trades.in_window;
    let bar = |count: usize, text: &str, is_left_out| Bar {
        count: shown::count(u64::try_from(count).unwrap_or(u64::MAX)),
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
