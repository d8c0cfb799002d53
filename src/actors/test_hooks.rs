//! Test hooks of the actors: panics, hangs and wrong data on demand.
//!
//! A test of the whole program arms a hook by a name, through the admin listener. The composition root offers that only
//! if `TICKER_CHAOS=1`. Hooks are part of the real program, so that tests see failures of real actors.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tracing::warn;

use crate::domain::{
    amount::Amount,
    cursor::PagingToken,
    directory::Directory,
    trade_stats::WindowTrade,
    windows::{MarketId, Windows},
};

/// Prefix of a message type: handling the next such message never returns and blocks the thread.
const BLOCK: &str = "block-";
/// Prefix of a message type: the actor is never polled again after the next such message. Its thread stays free.
const HANG: &str = "hang-";
/// Name that makes the aggregator add a false trade to the windows.
const SKEW: &str = "Skew";
/// Name that makes the aggregator forget an asset and all books.
const SKEW_DIRECTORY: &str = "SkewDirectory";

/// Hooks of one actor. Nothing happens until one is armed.
#[derive(Debug, Default)]
pub struct TestHooks {
    /// Name of the armed hook: a message type, with or without a prefix, or a name of its own. Each fires once.
    armed: Mutex<Option<String>>,
    /// True once a `hang-` hook fired; reset by the next incarnation.
    is_hanging: AtomicBool,
}

impl TestHooks {
    /// Arms a hook. A message type lets the handler of the next such message panic. With the prefix `block-` or `hang-`
    /// the handler blocks its thread or stops the actor instead.
    pub fn arm(&self, hook: &str) {
        *self.armed() = Some(hook.to_owned());
    }

    /// Fires the hook for this type of message, if it is armed. Called at the beginning of every handler.
    #[expect(clippy::panic, reason = "the panic is what a test asked for")]
    pub(super) fn fail_if_armed(&self, message: &str) {
        let fired =
            self.armed().take_if(|hook| hook.trim_start_matches(BLOCK).trim_start_matches(HANG) == message);
        match fired {
            // For ever, like a deadlock.
            Some(hook) if hook.starts_with(BLOCK) => loop {
                std::thread::park();
            },
            Some(hook) if hook.starts_with(HANG) => self.is_hanging.store(true, Ordering::Relaxed),
            Some(_) => panic!("provoked while handling {message}"),
            None => {}
        }
    }

    /// Returns true if this incarnation must not be polled any more.
    pub(super) fn is_hanging(&self) -> bool {
        self.is_hanging.load(Ordering::Relaxed)
    }

    /// Ends a hang, when a new incarnation begins.
    pub(super) fn reset(&self) {
        self.is_hanging.store(false, Ordering::Relaxed);
    }

    /// Takes a hook that is not a message type. Returns true if it was armed.
    fn take(&self, hook: &str) -> bool {
        self.armed().take_if(|armed| armed == hook).is_some()
    }

    fn armed(&self) -> MutexGuard<'_, Option<String>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_fires_once_and_only_for_its_own_message() {
        let hooks = TestHooks::default();
        hooks.fail_if_armed("Ping");
        hooks.arm("hang-Ping");
        hooks.fail_if_armed("TradesCommitted");
        assert!(!hooks.is_hanging());
        hooks.fail_if_armed("Ping");
        assert!(hooks.is_hanging());
        hooks.reset();
        hooks.fail_if_armed("Ping");
        assert!(!hooks.is_hanging(), "it fired before");
    }

    #[test]
    #[should_panic(expected = "provoked while handling Ping")]
    fn an_armed_message_type_panics() {
        let hooks = TestHooks::default();
        hooks.arm("Ping");
        hooks.fail_if_armed("Ping");
    }
}
