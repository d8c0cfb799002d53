use proptest::prelude::*;

use super::*;
use crate::domain::{
    instant::{DAY, HOUR, MINUTE},
    market::QUOTE_ASSETS,
    span::Span,
    test_support::{address, trade},
    trade_stats::WindowTrade,
    windows::Windows,
};

const NOW: UnixSeconds = UnixSeconds(1_000_000 * HOUR + 1_830);
const UNIT: i64 = 10_000_000;

const XLM_USDC: MarketId = 12;
const XLM_TEA: MarketId = 14;
const XLM_ZZZ: MarketId = 15;
/// All markets. USDC is the base of the one with ZZZ, so that its leg is turned.
const MARKETS: [(MarketId, AssetId, AssetId); 7] =
    [(XLM_USDC, 1, 2), (13, 1, 3), (XLM_TEA, 1, 4), (XLM_ZZZ, 1, 5), (24, 4, 2), (34, 4, 3), (25, 2, 5)];

fn anchors() -> [Asset; 2] {
    [QUOTE_ASSETS[0], QUOTE_ASSETS[1]].map(|name| name.parse().unwrap())
}

fn issued(code: &str) -> Asset {
    Asset::issued(code, &address(7)).unwrap()
}

/// Trade some seconds ago: `base` units at `n / d` counter per base.
fn at(number: i64, ago: i64, base: i64, n: i64, d: i64) -> WindowTrade {
    let base = base * UNIT;
    trade(number, 0, NOW.0 - ago, (base, base * n / d), (n, d))
}

fn snapshot(trades: &[(MarketId, WindowTrade)]) -> MarketSnapshot {
    let mut windows = Windows::default();
    for (market, trade) in trades {
        windows.add(*market, *trade);
    }
    windows.advance(NOW);
    let [usdc, yusdc] = anchors();
    let mut directory = Directory::default();
    directory.add_names([(1, Asset::Native), (2, usdc), (3, yusdc), (4, issued("TEA")), (5, issued("ZZZ"))]);
    directory.add_markets(MARKETS);
    MarketSnapshot::new(windows.view(), directory)
}

fn raw(trades: &[(MarketId, WindowTrade)]) -> Vec<(MarketId, RawTrade)> {
    trades.iter().map(|(market, trade)| (*market, RawTrade::from(trade))).collect()
}

/// Asset and field of each difference between the snapshot of some trades and these rows.
fn found(trades: &[(MarketId, WindowTrade)], rows: &[(MarketId, RawTrade)]) -> Vec<(String, String)> {
    let (snapshot, anchors) = (snapshot(trades), anchors());
    let prices = UsdPrices::of(&snapshot, &anchors);
    let assets: Vec<Asset> = snapshot.directory().names().iter().map(|(_, asset)| *asset).collect();
    let markets = markets_of(snapshot.directory(), &anchors, &assets);
    let mut minutes = CleanMinutes::default();
    for (market, row) in rows.iter().filter(|(_, row)| row.closed_at > Span::Day.edge(NOW)) {
        assert!(markets.contains(market));
        minutes.add(*market, row);
    }
    let compared = compare(&snapshot, &prices, &anchors, &assets, &minutes);
    let mut found: Vec<(String, String)> =
        compared.differences.into_iter().map(|found| (found.entry, found.field)).collect();
    found.sort();
    found
}

/// Three minutes of XLM at 0.10, 0.20 and 0.30 dollars, and a leg of TEA worth 400 dollars.
fn tape() -> Vec<(MarketId, WindowTrade)> {
    let minute = |number: i64| (XLM_USDC, at(number, number * MINUTE, 1_000, number, 10));
    vec![minute(1), minute(2), minute(3), (XLM_TEA, at(4, 60, 2_000, 2, 1))]
}

fn named(differences: &[(&Asset, &str)]) -> Vec<(String, String)> {
    differences.iter().map(|(asset, field)| (asset.name(), (*field).to_owned())).collect()
}

#[test]
fn a_corrupted_minute_is_found_in_the_price_of_xlm_and_of_an_asset_behind_it() {
    let (trades, tea) = (tape(), issued("TEA"));
    assert_eq!(found(&trades, &raw(&trades)), named(&[]));
    let mut wrong = raw(&trades);
    wrong[1].1.counter_amount *= 2; // 0.40 dollars, so that 0.30 is the median
    assert_eq!(found(&trades, &wrong), named(&[(&tea, "legs"), (&tea, "usd"), (&Asset::Native, "usd")]));
    // Two minutes are no price.
    wrong.remove(1);
    let of_all = |asset| FIELDS.map(|field| (asset, field));
    let mut all = [of_all(&tea), of_all(&Asset::Native)].concat();
    all.sort_by_key(|(asset, field)| (asset.name(), *field));
    // Without legs, a price and no price have different texts too.
    assert_eq!(found(&trades, &wrong), named(&all));
}

#[test]
fn dust_and_rows_without_a_price_count_as_little_as_in_the_windows() {
    let mut trades = tape();
    trades.push((XLM_USDC, trade(5, 0, NOW.0 - 240, (50, 900), (18, 1))));
    trades.push((XLM_USDC, WindowTrade { price: None, ..at(6, 300, 1_000, 9, 1) }));
    assert_eq!(found(&trades, &raw(&trades)), named(&[]));
}

#[test]
fn xlm_and_one_asset_of_each_way_are_chosen_in_turn() {
    let mut trades = tape();
    trades.push((XLM_ZZZ, at(5, 60, 2_000, 2, 1)));
    let snapshot = snapshot(&trades);
    let prices = UsdPrices::of(&snapshot, &anchors());
    let of_turn = |turn| choose(&snapshot, &prices, &anchors(), turn);
    let [tea, zzz] = ["TEA", "ZZZ"].map(issued);
    assert_eq!([0, 1, 2].map(of_turn), [[Asset::Native, tea], [Asset::Native, zzz], [Asset::Native, tea]]);
    assert_eq!(markets_of(snapshot.directory(), &anchors(), &[tea]), [XLM_USDC, 13, XLM_TEA, 24, 34]);
}

#[test]
fn an_asset_without_a_price_is_chosen_in_turn_if_it_was_traded_against_an_anchor_or_xlm() {
    let snapshot = snapshot(&tape());
    let of_turn = |turn| choose(&snapshot, &UsdPrices::default(), &anchors(), turn);
    let mut traded = [anchors()[0], issued("TEA")];
    traded.sort_unstable();
    assert_eq!([0, 1].map(of_turn), traded.map(|asset| [Asset::Native, asset]));
}

proptest! {
    #[test]
    fn prices_of_any_trades_agree_with_those_of_their_rows(
        trades in prop::collection::vec(
            // Some ledgers are ahead of the clock, and some are older than a day.
            (0..7_usize, prop_oneof![-HOUR..HOUR, 0..DAY + HOUR], 1..2_000_i64, 1..20_i64, 1..20_i64),
            1..120,
        ),
    ) {
        let trades: Vec<(MarketId, WindowTrade)> = (1..)
            .zip(trades)
            .map(|(number, (place, ago, base, n, d))| (MARKETS[place].0, at(number, ago, base, n, d)))
            .collect();
        prop_assert_eq!(found(&trades, &raw(&trades)), named(&[]));
    }
}
