//! `/m/{market}?explain=FIELD`: the trades behind a figure.

use askama::Template;
use ticker_domain::{conversions::SaturatingFrom, coverage::is_whole_since, span::Span};

use super::{
    Frame, TickerState, gaps,
    market::{dollars, named},
    rendered,
};
use crate::{
    board::BoardRow,
    listings::{ListingView, MarketView, explain::Explanation},
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

/// Worth of the volume in dollars. The page of the market shows it in place of the volume.
struct Worth {
    /// Name of the asset whose volume and price it comes from.
    asset: String,
    code: String,
    /// Reason for which that is not the quote, or an empty text.
    why_base: &'static str,
    amount: String,
    /// Dollars per unit of the asset.
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
    /// The market with its issuers.
    market: String,
    explanation: Explanation,
    /// Field and window in words.
    figure: String,
    /// Begin and end of the window, and the moment of the figure.
    moments: [String; 3],
    /// The figure as the page of the market shows it.
    shown: String,
    value: String,
    /// Texts about ledgers that are not known. Empty if the window is complete.
    doubts: Vec<String>,
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
    let span = Span::named(explanation.window).unwrap_or(Span::Day);
    let worth = worth(market, &explanation);
    let shown = match &explanation.value {
        serde_json::Value::String(text) if PRICES.contains(&explanation.field) => Some(price(Some(text))),
        _ => worth
            .as_ref()
            .map(|worth| worth.amount.clone())
            .or_else(|| as_shown(market, explanation.field, span)),
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
        frame: Frame::of_view(market.view(), state, ""),
        id: market.name(),
        base: market.base().asset().code().to_owned(),
        quote: market.quote().asset().code().to_owned(),
        market: format!("{} / {}", named(market.base()).label(), named(market.quote()).label()),
        figure: in_words(explanation.field, explanation.window),
        moments: [&explanation.from, &explanation.to, &explanation.as_of].map(|time| in_utc(time)),
        shown: shown.unwrap_or_else(|| value.clone()),
        value,
        doubts: doubts(market.view(), span),
        worth,
        bars: bars(&explanation),
        trades: trades.collect(),
        explanation,
    })
}

/// Texts about ledgers of a window that are not known: between those that are held, and at its end.
fn doubts(view: &ListingView, span: Span) -> Vec<String> {
    let (held, as_of) = (view.coverage(), view.as_of());
    let gap = (!is_whole_since(held, span.edge(as_of)))
        .then(|| "Not every ledger of the window is held, so trades may be missing".to_owned());
    gap.into_iter().chain(gaps::end_note(held, as_of)).collect()
}

/// Worth of the volume. `None` for other figures, and for a market without a price in dollars.
fn worth(market: &MarketView<'_>, explanation: &Explanation) -> Option<Worth> {
    let span = Span::named(explanation.window).filter(|_| explanation.field == "quote_volume")?;
    let side = market.priced_side()?;
    let price = side.usd()?;
    let is_quote = side.id() == market.quote().id();
    Some(Worth {
        asset: side.name(),
        code: side.asset().code().to_owned(),
        why_base: if is_quote {
            ""
        } else {
            ", by the volume of the base, since the quote has no dollar price"
        },
        amount: shown::usd_amount(market.volume_usd(span)?),
        rate: dollars((price.rate.n, price.rate.d))?,
        method: price.method.name(),
    })
}

/// Figure as the page of the market shows it, with its unit. `None` for one that is shown exactly or not known.
fn as_shown(market: &MarketView<'_>, field: &str, span: Span) -> Option<String> {
    let stats = market.stats(span);
    let of_base = |stroops| Some(format!("{} {}", shown::amount(stroops), market.base().asset().code()));
    match field {
        "change_percent" => {
            let change = stats.prices?.change_percent().and_then(shown::hundredths)?;
            Some(format!("{} %", shown::change(change)))
        }
        "quote_volume" => {
            Some(format!("{} {}", shown::amount(stats.quote_volume), market.quote().asset().code()))
        }
        "base_volume" => of_base(stats.base_volume),
        "buy_volume" => of_base(stats.buy_volume),
        "sell_volume" => of_base(stats.sell_volume),
        "book_volume" => of_base(stats.book_volume),
        "pool_volume" => of_base(stats.pool_volume),
        "trade_count" => Some(shown::count(stats.trade_count)),
        "clean_count" => Some(shown::count(stats.clean_count)),
        _ => None,
    }
}

/// `24 h high`, `7 d base volume`. The figures of a market's page have their names there.
fn in_words(field: &str, window: &str) -> String {
    let unit = window.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let name = match field {
        "change" => "absolute change".to_owned(),
        "change_percent" => "change".to_owned(),
        "vwap" => "average".to_owned(),
        "quote_volume" => "volume".to_owned(),
        "trade_count" => "trades".to_owned(),
        "clean_count" => "clean trades".to_owned(),
        other => other.replace('_', " "),
    };
    format!("{} {unit} {name}", window.trim_end_matches(unit))
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
    use ticker_domain::{
        asset::Asset,
        candles::Interval,
        coverage::LedgerRange,
        instant::{DAY, UnixSeconds},
        market::QUOTE_ASSETS,
        test_support::address,
    };

    use super::*;
    use crate::{
        listings::explain::Field,
        pages::{MarketRequest, market as market_page},
        test_view::{view, view_of_pairs, with_coverage},
    };

    fn explanation(market: &MarketView<'_>, field: &str, span: Span) -> String {
        let explanation = Field::named(field).unwrap().explain(market, span, |_, _, _| String::new());
        String::from_utf8(explain(market, explanation, &TickerState::default())).unwrap()
    }

    #[test]
    fn the_volume_in_the_quote_names_its_dollars_and_their_rate() {
        let view = view(&[("A".to_owned(), 2)]);
        let [xlm, other] = ["XLM".to_owned(), format!("A-{}", address(2))]
            .map(|name| view.find(&name.parse().unwrap()).unwrap());
        let market = view.market_between(&xlm, &other).unwrap();
        let page = |field: &str| explanation(&market, field, Span::Day);
        let sentence = "In dollars that is $10.00: 1 XLM is worth $0.50000 by the method ";
        assert!(page("quote_volume").contains(sentence), "{}", page("quote_volume"));
        assert!(!page("base_volume").contains("In dollars"));
    }

    #[test]
    fn a_volume_that_counts_by_the_base_says_so() {
        let eth = QUOTE_ASSETS[4].parse().unwrap();
        let view = view_of_pairs(&[(Asset::Native, eth, 12)]);
        let page = explanation(&view.market(2).unwrap(), "quote_volume", Span::Day);
        let sentence = "In dollars that is $60.00, by the volume of the base, since the quote has no dollar price: \
                        1 XLM is worth $0.50000 by the method ";
        assert!(page.contains(sentence), "{page}");
    }

    #[test]
    fn a_figure_is_named_in_words() {
        assert_eq!(in_words("high", "24h"), "24 h high");
        assert_eq!(in_utc("2026-11-27T21:10:02Z"), "2026-11-27 21:10:02");
        assert_eq!(in_words("base_volume", "7d"), "7 d base volume");
    }

    #[test]
    fn a_figure_is_explained_as_the_page_of_the_market_shows_it() {
        let view = view(&[("A".to_owned(), 2)]);
        let request =
            MarketRequest { interval: Interval::Hour, is_raw: false, origin: String::new(), levels: None };
        let mut seen = 0;
        for its in view.markets() {
            let html = String::from_utf8(market_page(&its, &request, &TickerState::default())).unwrap();
            let start = format!("<div><dt><a href=\"/m/{}?explain=", its.name());
            for linked in html.split(&start).skip(1) {
                let (field, rest) = linked.split_once('"').unwrap();
                let label = rest.trim_start_matches('>').split_once('<').unwrap().0;
                let (_, value) = rest.split_once("<dd data-live>").unwrap();
                let value = value.split_once("<small>").unwrap().0;
                let value =
                    value.split_once("\">").map_or(value, |(_, text)| text.trim_end_matches("</span>"));
                let explained = explanation(&its, field, Span::Day);
                let head = explained.split_once("<h1>").unwrap().1.split_once("</h1>").unwrap().0;
                assert!(head.contains(label) && head.contains(value), "{label} {value}: {head}");
                seen += 1;
            }
        }
        assert_eq!(seen, 2 * 6);
    }

    #[test]
    fn an_explanation_says_whether_every_ledger_of_its_window_is_held() {
        let (now, view) = (UnixSeconds(1_000_000_000), view(&[]));
        let range = |from, from_time, to_time| LedgerRange { from, to: from + 9, from_time, to_time };
        let gap = now.minus(5 * DAY);
        let held = vec![range(1, now.minus(30 * DAY), gap.minus(60)), range(20, gap, now)];
        let view = with_coverage(&view, held);
        let its = view.market(1).unwrap();
        assert!(explanation(&its, "high", Span::Day).contains("✓</span> Every ledger of the window is held"));
        let week = explanation(&its, "high", Span::Week);
        assert!(week.contains("!</span> Not every ledger of the window is held"), "{week}");
        let stopped = vec![range(1, now.minus(30 * DAY), now.minus(3_600))];
        let view = with_coverage(&view, stopped);
        let day = explanation(&view.market(1).unwrap(), "high", Span::Day);
        let quiet = "No trade of the last 10 minutes is known: the network is quiet, or the source is behind";
        assert!(day.contains(&format!("!</span> {quiet}</li>")), "{day}");
        assert!(!day.contains("ledger of the window is held"), "{day}");
    }
}
