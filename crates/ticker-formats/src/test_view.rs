//! Views of made-up markets, for tests.

use std::sync::Arc;

use ticker_domain::{
    asset::Asset,
    directory::Directory,
    instant::UnixSeconds,
    market::QUOTE_ASSETS,
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

/// XLM at half a dollar, with a market of the anchor USD and 15,000 dollars in three trades, and with a market of each
/// asset `(code, trades of ten XLM)`. The first quote asset has no market.
pub(crate) fn view(others: &[(String, i32)]) -> ListingView {
    let usd = Asset::issued("USD", &address(1)).unwrap();
    let mut directory = Directory::default();
    directory.add_names([(1, Asset::Native), (2, usd), (QUOTE, QUOTE_ASSETS[0].parse().unwrap())]);
    directory.add_names((3..).zip(others.iter().map(|(code, _)| Asset::issued(code, &address(2)).unwrap())));
    directory.add_markets([(1, 1, 2)]);
    let mut windows = Windows::default();
    windows.advance(UnixSeconds(NOW));
    // A price of XLM takes trades of three minutes.
    for minute in 1..=3 {
        windows.add(1, trade(minute, 0, NOW - 60 * minute, (1_000 * TEN, 500 * TEN), (1, 2)));
    }
    for (market, (asset, (_, count))) in (2..).zip((3..).zip(others)) {
        directory.add_markets([(market, 1, asset)]);
        for order in 0..*count {
            windows.add(market, trade(9, order, NOW - 50, (TEN, TEN), (1, 1)));
        }
    }
    windows.advance(UnixSeconds(NOW));
    view_of(directory, &windows, &[usd])
}
