//! Test hooks of the actors: panics and hangs on demand.
//!
//! Nothing fires unless a test arms it. Hooks are part of the real program, so that tests see failures of real actors.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Prefix of a message type: handling the next such message never returns and blocks the thread.
const BLOCK: &str = "block-";
/// Prefix of a message type: the actor is never polled again after the next such message. Its thread stays free.
const HANG: &str = "hang-";
/// Prefix of a message type: handling the next such message takes [`SLOW_FOR`] longer.
const SLOW: &str = "slow-";
/// Delay of a slow handler. Less than a probe waits.
const SLOW_FOR: Duration = Duration::from_millis(700);
/// Hooks of one actor. Nothing happens until one is armed.
#[derive(Debug, Default)]
pub struct TestHooks {
    /// Name of the armed hook: a message type, with or without a prefix, or a name of its own. Each fires once.
    armed: Mutex<Option<String>>,
    /// True once a `hang-` hook fired; reset by the next incarnation.
    is_hanging: AtomicBool,
}

impl TestHooks {
    /// Arms a hook. A message type lets the handler of the next such message panic. With the prefix `block-`, `hang-`
    /// or `slow-` the handler blocks its thread, stops the actor or takes longer instead.
    pub fn arm(&self, hook: &str) {
        *self.armed() = Some(hook.to_owned());
    }

    /// Fires the hook for this type of message, if it is armed. Called at the beginning of every handler.
    #[expect(clippy::panic, reason = "the panic is what a test asked for")]
    pub(crate) fn fail_if_armed(&self, message: &str) {
        let is_for = |hook: &String| {
            let prefixes = ["", BLOCK, HANG, SLOW];
            prefixes.iter().any(|prefix| hook.strip_prefix(prefix) == Some(message))
        };
        let fired = self.armed().take_if(|hook| is_for(hook));
        match fired {
            // For ever, like a deadlock.
            Some(hook) if hook.starts_with(BLOCK) => loop {
                std::thread::park();
            },
            Some(hook) if hook.starts_with(SLOW) => std::thread::park_timeout(SLOW_FOR),
            Some(hook) if hook.starts_with(HANG) => self.is_hanging.store(true, Ordering::Relaxed),
            Some(_) => panic!("provoked while handling {message}"),
            None => {}
        }
    }

    /// Returns true if this incarnation must not be polled any more.
    pub(crate) fn is_hanging(&self) -> bool {
        self.is_hanging.load(Ordering::Relaxed)
    }

    /// Ends a hang, when a new incarnation begins.
    pub(crate) fn reset(&self) {
        self.is_hanging.store(false, Ordering::Relaxed);
    }

    /// Takes a hook that is not a message type. Returns true if it was armed.
    pub fn take(&self, hook: &str) -> bool {
        self.armed().take_if(|armed| armed == hook).is_some()
    }

    fn armed(&self) -> MutexGuard<'_, Option<String>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
