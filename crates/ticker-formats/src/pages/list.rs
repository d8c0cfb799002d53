//! `/`: the list of all markets.

use askama::Template;
use ticker_domain::conversions::SaturatingFrom;

use super::{Frame, TickerState, rendered, row::Row};
use crate::{
    board::{Board, BoardQuery, PAGE_ROWS, Sort},
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
    seq: i64,
    as_of: i64,
    total: String,
    matching: String,
    volume_usd: String,
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

/// Page with the markets that a query selects.
#[must_use]
pub fn list(view: &ListingView, board: &Board, query: &BoardQuery, state: &TickerState) -> Vec<u8> {
    let selected = query.select(board, view);
    let pages = selected.len().div_ceil(PAGE_ROWS).max(1);
    let page = query.page.clamp(1, pages);
    let skip = page.saturating_sub(1).saturating_mul(PAGE_ROWS);
    let totals = board.totals();
    let other_page = |page| BoardQuery { page, ..query.clone() }.address();
    rendered(&ListPage {
        frame: Frame::of(state, "/"),
        seq: view.seq(),
        as_of: view.as_of().0,
        total: shown::count(u64::saturating_from(board.rows().len())),
        matching: shown::count(u64::saturating_from(selected.len())),
        volume_usd: shown::amount(totals.volume_usd),
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
