//! Views of made-up markets, for tests.

use std::{collections::BTreeMap, sync::Arc};

use ticker_domain::{
    asset::Asset,
    coverage::LedgerRange,
    directory::Directory,
    instant::UnixSeconds,
    market::{Market, QUOTE_ASSETS},
    market_snapshot::MarketSnapshot,
    test_support::{address, trade},
    trade_stats::WindowTrade,
    windows::Windows,
};

use crate::listings::ListingView;

const NOW: i64 = 1_000_000_000;
/// Id of the first quote asset, whose code others may have.
const QUOTE: i32 = 1_000_000;
/// Ten units of an asset, in stroops.
const TEN: i64 = 100_000_000;

/// View of these assets and windows, with these anchors of the dollar.
pub(crate) fn view_of(directory: Directory, windows: &Windows, anchors: &[Asset]) -> ListingView {
    let snapshot = Arc::new(MarketSnapshot::new(windows.view(), directory));
    ListingView::new(1, snapshot, "Test".into(), anchors, &Arc::default())
}

/// The same view with these held ledgers.
pub(crate) fn with_coverage(view: &ListingView, held: Vec<LedgerRange>) -> ListingView {
    let snapshot = view.snapshot().clone().with_coverage(Arc::new(held));
    ListingView::new(1, Arc::new(snapshot), "Test".into(), view.anchors(), &Arc::default())
}

/// View at `now` of one market, of number 1, with these trades.
pub(crate) fn view_of_market(
    (base, quote): (Asset, Asset),
    now: i64,
    trades: impl IntoIterator<Item = WindowTrade>,
) -> ListingView {
    let (mut directory, mut windows) = (Directory::default(), Windows::default());
    directory.add_names([(1, base), (2, quote)]);
    directory.add_markets([(1, 1, 2)]);
    windows.advance(UnixSeconds(now));
    trades.into_iter().for_each(|trade| windows.add(1, trade));
    windows.advance(UnixSeconds(now));
    view_of(directory, &windows, &[])
}

/// The view of [`view_of_pairs`], with a market of XLM and each asset `(code, trades)`.
pub(crate) fn view(others: &[(String, i32)]) -> ListingView {
    let with_xlm =
        |(code, count): &(String, i32)| (Asset::Native, Asset::issued(code, &address(2)).unwrap(), *count);
    view_of_pairs(&others.iter().map(with_xlm).collect::<Vec<_>>())
}

/// XLM at half a dollar, with market 1 of the anchor USD and 15,000 dollars in three trades. From market 2 on, a market
/// of each pair of assets, with this number of trades of ten units of each. The first quote asset has no other market.
pub(crate) fn view_of_pairs(pairs: &[(Asset, Asset, i32)]) -> ListingView {
    let usd = Asset::issued("USD", &address(1)).unwrap();
    let quote: Asset = QUOTE_ASSETS[0].parse().unwrap();
    let mut ids = BTreeMap::from([(Asset::Native, 1), (usd, 2), (quote, QUOTE)]);
    for asset in pairs.iter().flat_map(|(one, other, _)| [one, other]) {
        let next = i32::try_from(ids.len()).unwrap();
        ids.entry(*asset).or_insert(next);
    }
    let mut directory = Directory::default();
    directory.add_names(ids.iter().map(|(asset, id)| (*id, *asset)));
    directory.add_markets([(1, 1, 2)]);
    let mut windows = Windows::default();
    windows.advance(UnixSeconds(NOW));
    // A price of XLM takes trades of three minutes.
    for minute in 1..=3 {
        windows.add(1, trade(minute, 0, NOW - 60 * minute, (1_000 * TEN, 500 * TEN), (1, 2)));
    }
    for (market, (one, other, count)) in (2..).zip(pairs) {
        let (sides, _) = Market::of(*one, *other).unwrap();
        directory.add_markets([(market, ids[sides.base()], ids[sides.counter()])]);
        for order in 0..*count {
            windows.add(market, trade(9, order, NOW - 50, (TEN, TEN), (1, 1)));
        }
    }
    windows.advance(UnixSeconds(NOW));
    view_of(directory, &windows, &[usd])
}
