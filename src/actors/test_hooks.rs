//! Test hooks that put wrong data into the aggregator. Those that let an actor panic or hang belong to the runtime
//! ([`TestHooks`]).
//!
//! A test of the whole program arms a hook by a name, through the admin listener. The composition root offers that only
//! if `TICKER_CHAOS=1`.

use std::sync::Arc;

use actor_tree::{test_hooks::TestHooks, trace::context::TraceContext};
use futures_util::future::join_all;
use tracing::warn;

use super::ranking::Ranking;
use crate::{
    db::trades::CommittedBatch,
    domain::{
        amount::Amount,
        cursor::PagingToken,
        directory::Directory,
        market_snapshot::MarketSnapshot,
        trade_stats::WindowTrade,
        windows::{MarketId, Windows},
    },
};

/// Name that makes the aggregator add a false trade to the windows.
const SKEW: &str = "Skew";
/// Name that makes the aggregator forget an asset and all books.
const SKEW_DIRECTORY: &str = "SkewDirectory";
/// Name that makes the aggregator render its next publication of new trades from the windows of the last one.
const OLD_WINDOWS: &str = "OldWindows";
/// Name that makes the aggregator take the trades of the next batch for trades without a price.
const MISJUDGE: &str = "Misjudge";
/// Name that makes the order-book poller send more than the aggregator's mailbox holds.
pub(super) const FLOOD: &str = "Flood";
/// Messages of a flood.
const FLOOD_MESSAGES: usize = 200;

/// Corrupts the aggregator's data in memory if a hook asks for it, so that the audit has something to find.
pub(super) fn corrupt_if_armed(hooks: &TestHooks, windows: &mut Windows, directory: &mut Directory) {
    if hooks.take(SKEW) {
        let market = skew_windows(windows);
        warn!(market, "test hook: a false trade was added to a window");
    }
    if hooks.take(SKEW_DIRECTORY) {
        skew_directory(directory);
        warn!("test hook: an asset and all books were removed from memory");
    }
}

/// Returns the snapshot of the last publication if a hook asks for it, else the one that is due. `has_news` says
/// whether the one that is due has newer trades.
pub(super) fn old_if_armed(
    hooks: &TestHooks,
    due: MarketSnapshot,
    last: Option<&MarketSnapshot>,
    has_news: bool,
) -> MarketSnapshot {
    let old = last.filter(|_| has_news && hooks.take(OLD_WINDOWS));
    if old.is_some() {
        warn!("test hook: a publication is rendered from old windows");
    }
    old.cloned().unwrap_or(due)
}

/// Returns the batch without the prices of its trades if a hook asks for it.
pub(super) fn misjudged_if_armed(hooks: &TestHooks, batch: &Arc<CommittedBatch>) -> Arc<CommittedBatch> {
    if batch.trades.is_empty() || !hooks.take(MISJUDGE) {
        return Arc::clone(batch);
    }
    warn!(seq = batch.seq, "test hook: the trades of a batch lose their prices");
    let mut wrong = CommittedBatch::clone(batch);
    wrong.trades.iter_mut().for_each(|(_, trade)| trade.price = None);
    Arc::new(wrong)
}

/// Asks for the ranking many times at once.
pub(super) async fn flood(ranking: &Ranking, cause: &TraceContext) {
    warn!("test hook: the aggregator's mailbox is flooded");
    join_all((0..FLOOD_MESSAGES).map(|_| ranking.ask(cause))).await;
}

/// Adds a false trade to the window of the first market. Returns the market, if it has any trade.
fn skew_windows(windows: &mut Windows) -> Option<MarketId> {
    let (market, figures) = windows.figures().next()?;
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
