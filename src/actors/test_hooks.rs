//! Test hooks that put wrong data into the aggregator. Those that let an actor panic or hang belong to the runtime
//! ([`TestHooks`]).
//!
//! A test of the whole program arms a hook by a name, through the admin listener. The composition root offers that only
//! if `TICKER_CHAOS=1`.

use actor_tree::test_hooks::TestHooks;
use tracing::warn;

use crate::domain::{
    amount::Amount,
    cursor::PagingToken,
    directory::Directory,
    trade_stats::WindowTrade,
    windows::{MarketId, Windows},
};

/// Name that makes the aggregator add a false trade to the windows.
const SKEW: &str = "Skew";
/// Name that makes the aggregator forget an asset and all books.
const SKEW_DIRECTORY: &str = "SkewDirectory";

/// Corrupts the aggregator's data in memory if a hook asks for it, so that the audit has something to find.
pub(super) fn corrupt_if_armed(hooks: &TestHooks, windows: &mut Windows, directory: &mut Directory) {
    if hooks.take(SKEW) {
        let market = skew_windows(windows, None);
        warn!(market, "test hook: a false trade was added to a window");
    }
    if hooks.take(SKEW_DIRECTORY) {
        skew_directory(directory);
        warn!("test hook: an asset and all books were removed from memory");
    }
}

/// Adds a false trade to the window of `market`, or of the first market. Returns the market, if it has any trade.
pub(super) fn skew_windows(windows: &mut Windows, market: Option<MarketId>) -> Option<MarketId> {
    let is_wanted = |id: MarketId| market.is_none_or(|market| market == id);
    let (market, figures) = windows.figures().find(|(id, _)| is_wanted(*id))?;
    let (token, closed_at) = (PagingToken::default(), figures.week.times?.1);
    let amount = Amount::from_stroops(1).ok()?;
    let trade = WindowTrade {
        token,
        closed_at,
        base_amount: amount,
        counter_amount: amount,
        price: None,
        is_buy: false,
        is_pool: false,
    };
    windows.add(market, trade);
    Some(market)
}

fn skew_directory(directory: &mut Directory) {
    let asset = directory.assets().map(|(id, _)| id).max();
    directory.update_assets(asset.map(|id| (id, None)));
    directory.update_books(Vec::new(), true);
}
