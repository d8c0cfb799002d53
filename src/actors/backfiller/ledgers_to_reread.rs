//! Ledgers that an audit named and that wait to be read again. Pure.

use std::collections::BTreeMap;

use crate::actors::trace::context::TraceContext;

/// Most waiting ledgers. Further ones are left to the random choice.
const WAITING_MAX: usize = 10_000;

/// Ledgers that wait to be compared with Horizon. A ledger whose reading ends early stays and is tried again.
#[derive(Debug, Default)]
pub struct LedgersToReread {
    /// Waiting ledgers, each with the message that named it.
    ledgers: BTreeMap<u32, TraceContext>,
    /// Ledger that was tried last.
    tried: Option<u32>,
    /// True if `tried` has not been compared since.
    is_unresolved: bool,
}

impl LedgersToReread {
    /// Adds the ledgers that a message named.
    pub(super) fn add(&mut self, ledgers: impl IntoIterator<Item = u32>, message: TraceContext) {
        let room = WAITING_MAX.saturating_sub(self.ledgers.len());
        self.ledgers.extend(ledgers.into_iter().take(room).map(|ledger| (ledger, message)));
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ledgers.is_empty()
    }

    /// Returns the ledger to try now, the newest first. After one that could not be compared it returns none once, so
    /// that a random ledger has a turn, and then the next lower one. So no ledger can hold up the others.
    pub(super) fn next(&mut self) -> Option<u32> {
        if std::mem::take(&mut self.is_unresolved) {
            return None;
        }
        let below = self.tried.and_then(|tried| self.ledgers.range(..tried).next_back());
        self.tried = below.or(self.ledgers.last_key_value()).map(|(ledger, _)| *ledger);
        self.is_unresolved = self.tried.is_some();
        self.tried
    }

    /// Message that named a waiting ledger.
    pub(super) fn named_by(&self, ledger: u32) -> Option<TraceContext> {
        self.ledgers.get(&ledger).copied()
    }

    /// Removes a ledger that was compared or is not held.
    pub(super) fn remove(&mut self, ledger: u32) {
        self.ledgers.remove(&ledger);
        self.is_unresolved = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_that_could_not_be_compared_is_tried_again_and_holds_up_no_other() {
        let (mut waiting, message) = (LedgersToReread::default(), TraceContext::caused_by(None));
        waiting.add([5, 9, 7], message);
        assert_eq!(waiting.next(), Some(9));
        assert_eq!((waiting.named_by(9), waiting.named_by(8)), (Some(message), None));
        assert_eq!(waiting.next(), None, "a random ledger has a turn");
        assert_eq!(waiting.next(), Some(7));
        waiting.remove(7);
        assert_eq!(waiting.next(), Some(5));
        waiting.remove(5);
        assert_eq!((waiting.next(), waiting.is_empty()), (Some(9), false));
        waiting.remove(9);
        assert_eq!((waiting.next(), waiting.next(), waiting.is_empty()), (None, None, true));
        waiting.add(0..20_000, message);
        assert_eq!(waiting.ledgers.len(), WAITING_MAX);
        waiting.add(30_000..50_000, message);
        assert_eq!(waiting.ledgers.len(), WAITING_MAX, "there is no room for more");
        waiting.clear();
        assert!(waiting.is_empty());
        assert_eq!(waiting.next(), None);
        waiting.add([3], message);
        assert_eq!(waiting.next(), Some(3), "nothing was tried before it");
    }
}
