//! `/`: the list of all markets.

use askama::Template;
use serde_json::json;
use ticker_domain::{conversions::SaturatingFrom, span::Span};

use super::{Frame, TickerState, gaps, linked_data, rendered, row::Row};
use crate::{
    board::{self, Board, BoardQuery, PAGE_ROWS, Sort},
    listings::ListingView,
    shown,
};

/// Least volumes that the list offers to choose from, in dollars.
const VOLUMES: [(u32, &str); 5] = [
    (0, "any"),
    (100, "$100 or more"),
    (1_000, "$1 k or more"),
    (10_000, "$10 k or more"),
    (100_000, "$100 k or more"),
];

/// Head of a column.
struct Head {
    label: &'static str,
    /// Class of the column.
    class: &'static str,
    /// Name of the order that the column gives.
    sort: Option<&'static str>,
    /// Address that sorts by the column, if it sorts.
    link: Option<String>,
    /// `ascending` or `descending` in the column that the list is sorted by.
    sorted: Option<&'static str>,
}

struct Choice {
    value: String,
    label: String,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage {
    frame: Frame,
    /// Description for search engines. Only the list of all markets has one: they need no other selection.
    linked_data: Option<String>,
    /// Note about ledgers that are not known. Empty if all are.
    gaps: String,
    seq: i64,
    as_of: i64,
    total: String,
    matching: String,
    volume_usd: String,
    unpriced: String,
    trades: String,
    warned: String,
    query: BoardQuery,
    quotes: Vec<Choice>,
    volumes: Vec<Choice>,
    heads: Vec<Head>,
    rows: Vec<Row>,
    row_count: usize,
    first_row: usize,
    page: usize,
    pages: usize,
    previous: Option<String>,
    next: Option<String>,
}

/// Page with the markets that a query selects. It is the same whatever host the reader asked for.
#[must_use]
pub fn list(view: &ListingView, board: &Board, query: &BoardQuery, state: &TickerState) -> Vec<u8> {
    let selected = query.select(board, view);
    let pages = board::pages(selected.len());
    let page = query.page.clamp(1, pages);
    let skip = page.saturating_sub(1).saturating_mul(PAGE_ROWS);
    let totals = board.totals();
    let other_page = |page| BoardQuery { page, ..query.clone() }.address();
    rendered(&ListPage {
        frame: Frame::of_view(view, state, "/"),
        linked_data: (*query == BoardQuery::default()).then(described),
        gaps: gaps::of_view(view, &Span::ALL),
        seq: view.seq(),
        as_of: view.as_of().0,
        total: shown::count(u64::saturating_from(board.rows().len())),
        matching: shown::count(u64::saturating_from(selected.len())),
        volume_usd: shown::or_none(totals.volume_usd.known(), shown::usd_amount),
        unpriced: shown::count(totals.volume_usd.unpriced),
        trades: shown::count(totals.trades),
        warned: shown::count(totals.warned),
        quotes: quotes(query),
        volumes: volumes(query),
        heads: heads(query),
        rows: Row::all(selected.iter().skip(skip).take(PAGE_ROWS).copied(), view),
        row_count: selected.len().saturating_add(1),
        first_row: skip.saturating_add(2),
        page,
        pages,
        previous: (page > 1).then(|| other_page(page.saturating_sub(1))),
        next: (page < pages).then(|| other_page(page.saturating_add(1))),
        query: query.clone(),
    })
}

/// Description for search engines. Its addresses are relative to that of the page, as JSON-LD within HTML allows.
fn described() -> String {
    linked_data(&json!({
        "@context": "https://schema.org",
        "@type": "Dataset",
        "name": "Markets of Stellar's exchange",
        "description": "Prices, volumes and order books of all markets on Stellar's exchange, by issuer, recomputed \
                        from every trade",
        "url": "/",
        "isAccessibleForFree": true,
        "distribution": {
            "@type": "DataDownload",
            "encodingFormat": "application/json",
            "contentUrl": "/api/v1/markets",
        },
    }))
}

fn quotes(query: &BoardQuery) -> Vec<Choice> {
    let any = Choice { value: String::new(), label: "any".into(), is_chosen: query.quote.is_empty() };
    let choice = |(value, code): (String, &str)| Choice {
        is_chosen: value == query.quote,
        value,
        label: code.to_owned(),
    };
    std::iter::once(any).chain(BoardQuery::quotes().into_iter().map(choice)).collect()
}

fn volumes(query: &BoardQuery) -> Vec<Choice> {
    let choice = |value: u32, label: String| Choice {
        is_chosen: value == query.volume,
        value: if value == 0 { String::new() } else { value.to_string() },
        label,
    };
    let mut choices: Vec<Choice> =
        VOLUMES.into_iter().map(|(value, label)| choice(value, label.to_owned())).collect();
    // An address may name any least volume. The form, and the script with it, keeps that.
    if choices.iter().all(|choice| !choice.is_chosen) {
        choices.push(choice(query.volume, format!("${} or more", query.volume)));
    }
    choices
}

fn heads(query: &BoardQuery) -> Vec<Head> {
    let head = |label, class, sort: Option<Sort>| {
        let is_current = sort == Some(query.sort);
        let link = sort.map(|sort| {
            let is_ascending = if is_current { !query.is_ascending } else { sort.is_ascending_first() };
            BoardQuery { sort, is_ascending, page: 1, ..query.clone() }.address()
        });
        let order = if query.is_ascending { "ascending" } else { "descending" };
        Head { label, class, sort: sort.map(Sort::name), link, sorted: is_current.then_some(order) }
    };
    vec![
        head("Market", "market", Some(Sort::Name)),
        head("Price", "price", Some(Sort::Price)),
        head("1 h %", "h1", Some(Sort::Hour)),
        head("24 h %", "h24", Some(Sort::Day)),
        head("7 d %", "d7", Some(Sort::Week)),
        head("24 h low – high", "range", None),
        head("24 h vol., $", "volume", Some(Sort::Volume)),
        head("24 h trades", "trades", Some(Sort::Trades)),
        head("Bid, ask", "best", None),
        head("Spread %", "spread", Some(Sort::Spread)),
        head("Last trade", "age", Some(Sort::Age)),
        head("7 days", "spark", None),
    ]
}

#[cfg(test)]
mod tests {
    use ticker_domain::{
        asset::Asset,
        coverage::LedgerRange,
        instant::DAY,
        test_support::{address, trade},
    };

    use super::*;
    use crate::{
        pages::asset,
        test_view::{view, view_of_market, with_coverage},
    };

    #[test]
    fn a_sum_that_no_dollar_price_reaches_is_unknown_and_not_zero() {
        let [tea, nut] = ["TEA", "NUT"].map(|code| Asset::issued(code, &address(2)).unwrap());
        let trades = [trade(7, 0, 1_000, (10_000_000, 10_000_000), (1, 1))];
        let view = view_of_market((tea, nut), 2_000, trades);
        let page = list(&view, &Board::of(&view), &BoardQuery::default(), &TickerState::default());
        let page = String::from_utf8(page).unwrap();
        for (id, text) in [("total-volume", "–"), ("total-trades", "1"), ("total-unpriced", "1")] {
            assert!(page.contains(&format!("<span id=\"{id}\">{text}</span>")), "{id}: {page}");
        }
    }

    #[test]
    fn the_list_and_an_asset_say_which_figures_lack_ledgers() {
        let view = view(&[]);
        let now = view.as_of();
        let range = |from, from_time, to_time| LedgerRange { from, to: from + 9, from_time, to_time };
        let with_gap = |gap_days: i64| {
            let gap = now.minus(gap_days * DAY);
            vec![range(1, now.minus(30 * DAY), gap.minus(60)), range(20, gap, now)]
        };
        let pages = |held| {
            let (view, state) = (with_coverage(&view, held), TickerState { now, ..TickerState::default() });
            let (board, xlm) = (Board::of(&view), view.find(&"XLM".parse().unwrap()).unwrap());
            [list(&view, &board, &BoardQuery::default(), &state), asset(&xlm, &view, "", &state)]
                .map(|page| String::from_utf8(page).unwrap())
        };
        let note =
            "Not every ledger of the last 7 days is held, so trades may be missing from figures of 7 days.";
        let quiet =
            "No trade of the last 10 minutes is known: the network is quiet, or the source is behind.";
        let stopped = vec![range(1, now.minus(30 * DAY), now.minus(3_600))];
        let cases = [(with_gap(5), note, true), (with_gap(9), note, false), (stopped, quiet, true)];
        for (held, note, is_said) in cases {
            let [list, asset] = pages(held);
            assert_eq!(
                list.contains(&format!("<p class=\"note\" id=\"gaps\">{note}</p>")),
                is_said,
                "{list}"
            );
            assert_eq!(list.contains("<p class=\"note\" id=\"gaps\" hidden></p>"), !is_said, "{list}");
            assert_eq!(asset.contains(&format!("<p class=\"note\">{note}</p>")), is_said, "{asset}");
        }
    }
}
