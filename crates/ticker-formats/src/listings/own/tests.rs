use std::sync::Arc;

use ticker_domain::{
    asset::Asset,
    candles::Stored,
    coverage::{LAG_MAX, LedgerRange},
    directory::Directory,
    identity::ContractId,
    instant::{DAY, HOUR, MINUTE},
    market::QUOTE_ASSETS,
    market_snapshot::MarketSnapshot,
    test_support::{address, trade},
    windows::Windows,
};

use super::*;
use crate::{
    listings::{
        history::StoredPart,
        price_at::{self, Moment},
    },
    test_view::{self, with_coverage},
};

const NOW: UnixSeconds = UnixSeconds(1_790_000_000);
const UNIT: i64 = 10_000_000;
const NETWORK: &str = "Test";

fn usdc() -> Asset {
    QUOTE_ASSETS[0].parse().unwrap()
}

fn view(directory: Directory, mut windows: Windows, anchors: &[Asset]) -> ListingView {
    windows.advance(NOW);
    let snapshot = Arc::new(MarketSnapshot::new(windows.view(), directory));
    ListingView::new(7, snapshot, NETWORK.into(), anchors, &Arc::default())
}

fn json(document: &[u8]) -> serde_json::Value {
    serde_json::from_slice(document).unwrap()
}

/// Change of XLM that costs this many cents, if USDC and an anchor that is no quote asset trade this many dollars a
/// minute. Against the second one, XLM has gained 1 %.
fn change_of_xlm(cents: i64, dollars: [i64; 2]) -> String {
    let mark = Asset::issued("MARK", &address(7)).unwrap();
    let (mut directory, mut windows) = (Directory::default(), Windows::default());
    directory.add_names([(1, Asset::Native), (2, usdc()), (3, mark)]);
    directory.add_markets([(1, 1, 2), (2, 1, 3)]);
    for ago in (0..20).rev() {
        for (market, dollars) in [(1, dollars[0]), (2, dollars[1])] {
            let last = i64::from(market == 2 && ago == 0);
            let price = (cents * (100 + last), 10_000);
            let amounts = (dollars * UNIT * price.1 / price.0, dollars * UNIT);
            windows.add(market, trade(1_000 - ago, market, NOW.0 - MINUTE * ago, amounts, price));
        }
    }
    let view = view(directory, windows, &[usdc(), mark]);
    let [of_usdc, of_mark] = [usdc(), mark].map(|anchor| view.market_of(&Asset::Native, &anchor).unwrap());
    assert_eq!((of_usdc.base().name(), of_mark.quote().name()), ("XLM".to_owned(), "XLM".to_owned()));
    let xlm = view.find(&SpelledAsset::Classic(Asset::Native)).unwrap();
    assert_eq!(view.usd().xlm().unwrap().anchors.len(), 2);
    price(&xlm, &view).change_24h_percent.unwrap()
}

#[test]
fn the_change_of_xlm_is_that_of_the_anchor_market_with_the_most_dollars() {
    for cents in [10, 1_000] {
        assert_eq!(change_of_xlm(cents, [300, 200]), "0", "{cents}");
        assert_eq!(change_of_xlm(cents, [200, 300]), "1", "{cents}");
    }
}

/// Both documents of a price of now, for an anchor by each of its spellings.
fn assert_a_dollar(view: &ListingView) {
    let usdc = usdc();
    let contract = SpelledAsset::Contract(ContractId::of(&usdc, NETWORK));
    let prices = json(&prices(view, &[SpelledAsset::Classic(usdc), contract]));
    let moment = Moment { at: NOW, stored: Stored::Minute };
    let markets = price_at::markets(&usdc, view.anchors()).into_iter();
    let stored: Vec<_> = markets.map(|market| (market, StoredPart::default())).collect();
    let at_now = json(&price_at::price_at(view, &usdc, moment, &stored));
    assert_eq!(at_now["usd"], "1");
    for place in [0, 1] {
        for field in ["asset", "usd", "reason", "xlm", "method", "confidence", "age_s", "legs"] {
            assert_eq!(prices["prices"][place][field], at_now[field], "{field}");
        }
        assert_eq!(prices["prices"][place]["change_24h_percent"], "0");
    }
}

#[test]
fn an_anchor_is_a_dollar_without_a_trade_of_its_own_or_of_xlm() {
    assert_a_dollar(&view(Directory::default(), Windows::default(), &[usdc()]));
    let (mut directory, mut windows) = (Directory::default(), Windows::default());
    directory.add_names([(2, usdc()), (3, Asset::issued("TEA", &address(7)).unwrap())]);
    directory.add_markets([(1, 3, 2)]);
    windows.add(1, trade(1, 0, NOW.0 - HOUR, (1_000 * UNIT, 2_000 * UNIT), (2, 1)));
    let view = view(directory, windows, &[usdc()]);
    assert_a_dollar(&view);
    let tea = json(&prices(&view, &[format!("TEA-{}", address(7)).parse().unwrap()]));
    assert_eq!((&tea["prices"][0]["usd"], &tea["prices"][0]["method"]), (&"2".into(), &"direct".into()));
}

#[test]
fn any_other_asset_without_a_trade_has_no_price_and_the_reason() {
    let view = view(Directory::default(), Windows::default(), &[usdc()]);
    let tea = Asset::issued("TEA", &address(7)).unwrap();
    let contract = ContractId::of(&tea, NETWORK);
    let document = json(&prices(&view, &[SpelledAsset::Classic(tea), SpelledAsset::Contract(contract)]));
    for (place, name) in [tea.name(), contract.to_string()].into_iter().enumerate() {
        let price = &document["prices"][place];
        assert_eq!((&price["asset"], &price["reason"]), (&name.into(), &NOT_TRADED.into()));
        assert!(price["usd"].is_null() && price["change_24h_percent"].is_null());
    }
}

#[test]
fn an_asset_of_held_markets_without_a_trade_has_the_reason_of_one_that_is_not_traded() {
    let [tea, nut, oat] = [7, 8, 9].map(|byte| Asset::issued("TEA", &address(byte)).unwrap());
    let (mut directory, mut windows) = (Directory::default(), Windows::default());
    directory.add_names([(1, tea), (2, nut), (3, oat)]);
    directory.add_markets([(1, 1, 2), (2, 2, 3)]);
    windows.add(2, trade(1, 0, NOW.0 - HOUR, (1_000 * UNIT, 2_000 * UNIT), (2, 1)));
    let view = view(directory, windows, &[usdc()]);
    let document = json(&prices(&view, &[tea, nut, oat].map(SpelledAsset::Classic)));
    for (place, reason) in [(0, NOT_TRADED), (1, NO_WAY), (2, NO_WAY)] {
        assert_eq!(document["prices"][place]["reason"], reason, "{place}");
        assert!(document["prices"][place]["usd"].is_null());
    }
}

#[test]
fn no_window_is_complete_while_no_ledger_arrives() {
    let of_pairs = test_view::view(&[]);
    let complete = |lag_s: i64| {
        let now = of_pairs.as_of();
        let held = LedgerRange { from: 1, to: 9, from_time: now.minus(30 * DAY), to_time: now.minus(lag_s) };
        let view = with_coverage(&of_pairs, vec![held]);
        let document = serde_json::to_value(market(&view.market(1).unwrap())).unwrap();
        ["1h", "24h", "7d"].map(|window| document["windows"][window]["complete"] == true)
    };
    assert_eq!((complete(LAG_MAX), complete(LAG_MAX + 1)), ([true; 3], [false; 3]));
}
