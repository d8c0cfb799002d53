//! The feed of the page's script: columns in JSON, as small as a binary form once compressed, and readable with curl.
//!
//! Markets have the numbers of the database, which never change and are the same on every replica. Another database has
//! other numbers, so readers compare its identity.

#[cfg(test)]
mod size;

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::value::RawValue;
use ticker_domain::conversions::SaturatingFrom;

use super::{
    Board, BoardRow,
    figures::{COLUMNS, FeedTotals, amount, from_price, price},
    letters, levels,
};
use crate::listings::{AssetView, ListingView, own::to_bytes};

#[derive(Serialize)]
struct Names<'a> {
    as_of: String,
    seq: i64,
    database: &'a str,
    assets: AssetColumns,
    markets: MarketColumns,
}

#[derive(Default, Serialize)]
struct AssetColumns {
    number: Vec<i32>,
    code: Vec<String>,
    /// Index in `domains`, or -1.
    domain: Vec<i64>,
    domains: Vec<String>,
    /// Issuers joined, 56 letters each. XLM has 56 dashes.
    keys: String,
}

#[derive(Default, Serialize)]
struct MarketColumns {
    number: Vec<i32>,
    base: Vec<usize>,
    quote: Vec<usize>,
}

#[derive(Serialize)]
struct Figures<'a> {
    as_of: String,
    seq: i64,
    database: &'a str,
    ledger: Option<u32>,
    ledger_close_time: Option<String>,
    totals: FeedTotals,
    columns: [&'static str; 15],
    number: Vec<i32>,
    price: Vec<Option<String>>,
    change_1h: Vec<Option<i64>>,
    change_24h: Vec<Option<i64>>,
    change_7d: Vec<Option<i64>>,
    low: Vec<Option<i64>>,
    high: Vec<Option<i64>>,
    bid: Vec<Option<i64>>,
    ask: Vec<Option<i64>>,
    spread: Vec<Option<i64>>,
    volume_usd: Vec<Option<Box<RawValue>>>,
    volume: Vec<Option<Box<RawValue>>>,
    trades: Vec<u64>,
    age: Vec<Option<i64>>,
    flags: Vec<u32>,
}

#[derive(Serialize)]
struct Sparks {
    as_of: String,
    seq: i64,
    number: Vec<i32>,
    /// 28 letters for each market.
    lines: String,
}

/// `/api/v1/board/names`: markets with the number `from` or a higher one, and their assets.
#[must_use]
pub fn names(view: &ListingView, board: &Board, from: i32) -> Vec<u8> {
    let numbered = |row: &&BoardRow| row.market >= from;
    let mut rows: Vec<&BoardRow> = board.rows().iter().filter(numbered).collect();
    rows.sort_unstable_by_key(|row| row.market);
    let markets: Vec<_> = rows.iter().filter_map(|row| view.market(row.market)).collect();
    let used: BTreeSet<_> =
        markets.iter().flat_map(|market| [market.base().id(), market.quote().id()]).collect();
    let used: Vec<_> = used.into_iter().collect();
    let place = |asset: &AssetView<'_>| used.binary_search(&asset.id()).unwrap_or_default();
    let columns = MarketColumns {
        number: rows.iter().map(|row| row.market).collect(),
        base: markets.iter().map(|market| place(market.base())).collect(),
        quote: markets.iter().map(|market| place(market.quote())).collect(),
    };
    let assets: Vec<_> = used.iter().filter_map(|id| view.asset(*id)).collect();
    to_bytes(&Names {
        as_of: view.as_of().to_rfc3339(),
        seq: view.seq(),
        database: view.database(),
        assets: asset_columns(&assets),
        markets: columns,
    })
}

/// Number with which the names from `from` on begin, the same for all numbers with equal names. None if these are the
/// names of all markets. If there is no such market, the highest number.
#[must_use]
pub fn names_from(view: &ListingView, from: i32) -> Option<i32> {
    let numbered = |least: i32| {
        let mut numbers = view.snapshot().windows().figures().map(|(market, _)| market);
        numbers.find(|market| *market >= least && view.market(*market).is_some())
    };
    let first = numbered(i32::MIN)?;
    (from > first).then(|| numbered(from).unwrap_or(i32::MAX))
}

fn asset_columns(assets: &[AssetView<'_>]) -> AssetColumns {
    let domains: BTreeSet<String> = assets.iter().filter_map(AssetView::home_domain).collect();
    let domains: Vec<String> = domains.into_iter().collect();
    let mut columns = AssetColumns::default();
    for asset in assets {
        columns.number.push(asset.id());
        columns.code.push(asset.asset().code().to_owned());
        let domain = asset.home_domain().and_then(|domain| domains.binary_search(&domain).ok());
        columns.domain.push(domain.map_or(-1, i64::saturating_from));
        match asset.asset().issuer() {
            "native" => columns.keys.push_str(&"-".repeat(56)),
            issuer => columns.keys.push_str(issuer),
        }
    }
    columns.domains = domains;
    columns
}

/// `/api/v1/board/figures`: what the list shows of all markets, as of now.
#[must_use]
pub fn figures(view: &ListingView, board: &Board) -> Vec<u8> {
    let mut rows: Vec<&BoardRow> = board.rows().iter().collect();
    rows.sort_unstable_by_key(|row| row.market);
    let column = |pick: fn(&BoardRow) -> Option<i64>| rows.iter().map(|row| pick(row)).collect::<Vec<_>>();
    let distances = |pick: fn(&BoardRow) -> Option<i64>| {
        rows.iter().map(|row| from_price(row, pick(row))).collect::<Vec<_>>()
    };
    let amounts = |pick: fn(&BoardRow) -> Option<i128>| {
        rows.iter().map(|row| pick(row).and_then(amount)).collect::<Vec<_>>()
    };
    to_bytes(&Figures {
        as_of: view.as_of().to_rfc3339(),
        seq: view.seq(),
        database: view.database(),
        ledger: view.latest_ledger().map(|(ledger, _)| ledger),
        ledger_close_time: view.latest_ledger().map(|(_, closed_at)| closed_at.to_rfc3339()),
        totals: FeedTotals::of(board),
        columns: COLUMNS,
        number: rows.iter().map(|row| row.market).collect(),
        price: rows.iter().map(|row| price(row)).collect(),
        change_1h: column(|row| row.changes.first().copied().flatten()),
        change_24h: column(|row| row.changes.get(1).copied().flatten()),
        change_7d: column(|row| row.changes.get(2).copied().flatten()),
        low: distances(|row| row.low),
        high: distances(|row| row.high),
        bid: distances(|row| row.bid),
        ask: distances(|row| row.ask),
        spread: column(|row| row.spread),
        volume_usd: amounts(|row| row.volume_usd),
        volume: amounts(|row| Some(row.volume)),
        trades: rows.iter().map(|row| row.trades).collect(),
        age: column(|row| row.age_s),
        flags: rows.iter().map(|row| row.flags.bits()).collect(),
    })
}

/// `/api/v1/board/sparks`: the lines of 7 days.
#[must_use]
pub fn sparks(view: &ListingView, board: &Board) -> Vec<u8> {
    let mut rows: Vec<&BoardRow> = board.rows().iter().collect();
    rows.sort_unstable_by_key(|row| row.market);
    let line = |row: &&BoardRow| {
        let levels = view.market(row.market).map(|market| levels(&market));
        letters(&levels.unwrap_or_default())
    };
    to_bytes(&Sparks {
        as_of: view.as_of().to_rfc3339(),
        seq: view.seq(),
        number: rows.iter().map(|row| row.market).collect(),
        lines: rows.iter().map(line).collect(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use ticker_domain::{
        asset::Asset,
        test_support::{address, trade},
    };

    use super::*;
    use crate::test_view::{view, view_of_market, view_of_pairs};

    #[test]
    fn the_totals_say_what_has_no_volume_in_dollars() {
        let totals = |view: &ListingView| {
            let figures: Value = serde_json::from_slice(&figures(view, &Board::of(view))).unwrap();
            figures["totals"].clone()
        };
        let [tea, nut] = ["TEA", "NUT"].map(|code| Asset::issued(code, &address(2)).unwrap());
        let partly = json!({"volume_usd": 15_000, "unpriced": 1, "trades": 7, "warned": 2});
        assert_eq!(totals(&view_of_pairs(&[(tea, nut, 4)])), partly);
        let trades = [trade(7, 0, 1_000, (10_000_000, 10_000_000), (1, 1))];
        let nothing = json!({"volume_usd": Value::Null, "unpriced": 1, "trades": 1, "warned": 1});
        assert_eq!(totals(&view_of_market((tea, nut), 2_000, trades)), nothing);
    }

    #[test]
    fn equal_parts_of_the_names_begin_with_the_same_number() {
        // Markets 2 and 4 have no trade.
        let view = view(&[("TEA".into(), 0), ("NUT".into(), 3), ("OAT".into(), 0), ("RYE".into(), 1)]);
        let board = Board::of(&view);
        let begins = [0, 1, 2, 3, 4, 5, 6, i32::MAX].map(|from| names_from(&view, from));
        assert_eq!(begins, [None, None, Some(3), Some(3), Some(5), Some(5), Some(i32::MAX), Some(i32::MAX)]);
        for from in 0..7 {
            let begin = names_from(&view, from).unwrap_or(0);
            assert_eq!(names(&view, &board, from), names(&view, &board, begin), "{from}");
        }
        assert_eq!(names_from(&view_without_markets(), 5), None);
    }

    fn view_without_markets() -> ListingView {
        crate::test_view::view_of(ticker_domain::directory::Directory::default(), &Default::default(), &[])
    }
}
