//! Servers that were silent a short while ago. Callers try the others first.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Time for which a silent server is tried after the others.
const PASSED_OVER_FOR: Duration = Duration::from_secs(30);

/// Servers that did not answer in time, by a key such as their address, and the moment when each was silent. The oldest
/// silence comes first.
///
/// The kernel of a machine accepts connections for a process that is frozen, so only its silence tells.
#[derive(Debug)]
pub struct PassedOver<K>(Mutex<Vec<(K, Instant)>>);

impl<K> Default for PassedOver<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: PartialEq> PassedOver<K> {
    /// Returns the servers in their order, with those that were silent lately at the end. Of these, the one whose
    /// silence is oldest comes first, so that each gets its turn.
    #[must_use]
    pub fn ordered<T>(&self, mut servers: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
        let silent = self.current();
        // The sort is stable, and none comes before any place.
        servers.sort_by_key(|server| {
            let key = key(server);
            silent.iter().position(|(other, _)| *other == key)
        });
        servers
    }

    /// Returns true if this server was silent lately.
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.current().iter().any(|(other, _)| other == key)
    }

    /// Records that a server was silent.
    pub fn was_silent(&self, key: K) {
        let mut silent = self.current();
        silent.retain(|(other, _)| *other != key);
        silent.push((key, Instant::now()));
    }

    /// Servers that were silent lately. Forgets the others.
    fn current(&self) -> MutexGuard<'_, Vec<(K, Instant)>> {
        let mut silent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        silent.retain(|(_, at)| at.elapsed() < PASSED_OVER_FOR);
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silent_servers_come_last_in_their_order_and_only_for_a_while() {
        let passed_over = PassedOver::default();
        let order = |passed_over: &PassedOver<u8>| passed_over.ordered(vec![1, 2, 3, 4], |server| *server);
        assert_eq!(order(&passed_over), [1, 2, 3, 4]);
        for server in [3, 1, 3] {
            passed_over.was_silent(server);
        }
        assert_eq!(order(&passed_over), [2, 4, 1, 3]);
        assert!(passed_over.contains(&3) && !passed_over.contains(&2));
        for (_, at) in passed_over.0.lock().unwrap().iter_mut() {
            *at = at.checked_sub(PASSED_OVER_FOR).unwrap();
        }
        assert_eq!(order(&passed_over), [1, 2, 3, 4]);
        assert!(!passed_over.contains(&3));
    }

    #[test]
    fn silent_servers_take_turns() {
        let passed_over = PassedOver::default();
        let order = || passed_over.ordered(vec![1, 2], |server| *server);
        passed_over.was_silent(1);
        assert_eq!(order(), [2, 1]);
        passed_over.was_silent(2);
        assert_eq!(order(), [1, 2]);
        passed_over.was_silent(1);
        assert_eq!(order(), [2, 1]);
    }
}
