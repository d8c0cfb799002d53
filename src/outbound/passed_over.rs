//! Servers that were silent a short while ago. Callers try the others first.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Time for which a silent server is tried after the others. It doubles with each further silence.
pub(super) const PASSED_OVER_FOR: Duration = Duration::from_secs(30);
/// Longest time for which a silent server is tried after the others.
const PASSED_OVER_MAX: Duration = Duration::from_secs(600);
/// Age at which a silence is forgotten. Longer than the longest time, so that a server gets its turn before.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(1_200);

/// Servers that did not answer in time, by a key such as their address. The oldest silence comes first.
///
/// The kernel of a machine accepts connections for a process that is frozen, so only its silence tells.
#[derive(Debug)]
pub struct PassedOver<K>(Mutex<Vec<Silence<K>>>);

/// Silence of a server.
#[derive(Debug)]
struct Silence<K> {
    server: K,
    /// Time of the newest one.
    at: Instant,
    /// Turns in a row in which the server was silent. 0 after an answer.
    turns: u32,
}

impl<K> Silence<K> {
    /// Returns true while the server is tried after the others.
    fn is_recent(&self) -> bool {
        let doubled = 2_u32.saturating_pow(self.turns.saturating_sub(1));
        self.at.elapsed() < PASSED_OVER_FOR.saturating_mul(doubled).min(PASSED_OVER_MAX)
    }

    /// Returns the turns after another silence. While the server is passed over, it has no turn: connections of the
    /// same time are silent together.
    fn turns_after_another(&self) -> u32 {
        if self.is_recent() { self.turns.max(1) } else { self.turns.saturating_add(1) }
    }
}

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
        let silences = self.remembered();
        // The sort is stable, and none comes before any place.
        servers.sort_by_cached_key(|server| {
            let key = key(server);
            silences.iter().position(|silence| silence.server == key && silence.is_recent())
        });
        servers
    }

    /// Returns true if this server was silent lately.
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.remembered().iter().any(|silence| silence.server == *key && silence.is_recent())
    }

    /// Records that a server was silent.
    pub fn was_silent(&self, server: K) {
        let mut silences = self.remembered();
        let last = silences.iter().position(|silence| silence.server == server);
        let turns = last.map_or(1, |last| silences.remove(last).turns_after_another());
        silences.push(Silence { server, at: Instant::now(), turns });
    }

    /// Records that a server answered. It may still leave other connections without an answer, so it is passed over
    /// for the shortest time since its silence.
    pub fn answered(&self, server: &K) {
        for silence in self.remembered().iter_mut().filter(|silence| silence.server == *server) {
            silence.turns = 0;
        }
    }

    /// Forgets old silences and returns the others.
    fn remembered(&self) -> MutexGuard<'_, Vec<Silence<K>>> {
        let mut silences = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        silences.retain(|silence| silence.at.elapsed() < FORGOTTEN_AFTER);
        silences
    }

    /// Lets time pass.
    #[cfg(test)]
    pub(super) fn pass(&self, time: Duration) {
        for silence in self.remembered().iter_mut() {
            silence.at -= time;
        }
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
        passed_over.pass(PASSED_OVER_FOR);
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

    #[test]
    fn a_server_that_stays_silent_is_passed_over_for_twice_as_long_each_time() {
        let passed_over = PassedOver::default();
        for seconds in [30, 60, 120, 240, 480, 600, 600] {
            for _ in 0..3 {
                passed_over.was_silent(1); // on connections of the same time
            }
            let half = Duration::from_secs(seconds) / 2;
            passed_over.pass(half);
            assert!(passed_over.contains(&1), "half of {seconds} s");
            passed_over.pass(half);
            assert!(!passed_over.contains(&1), "{seconds} s");
        }
        passed_over.pass(FORGOTTEN_AFTER);
        passed_over.was_silent(1);
        passed_over.pass(PASSED_OVER_FOR);
        assert!(!passed_over.contains(&1), "the old silences are forgotten");
    }
}
