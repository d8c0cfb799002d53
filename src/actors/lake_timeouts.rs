//! Times after which a lake counts as late, and Horizon is asked instead.

use std::time::Duration;

/// Longest waits for a lake, and for the hashes of Horizon that confirm its ledgers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LakeTimeouts {
    /// Longest outage or lateness before recent ledgers are read from Horizon. Also the longest wait for the hash of a
    /// new ledger.
    pub late: Duration,
    /// Time after which history that the lake does not give is read from Horizon.
    pub given_up: Duration,
    /// Age of its newest ledger above which a lake that gives new trades is behind the network.
    pub behind: Duration,
    /// Pause after a request for a hash that Horizon did not answer.
    pub hash_unanswered: Duration,
    /// Longest wait before Horizon is asked again for the hash of a ledger that it does not have yet.
    pub hash_lacked: Duration,
}

/// `given_up` as a multiple of `late`. History can wait, a new trade cannot.
const GIVEN_UP_FACTOR: u32 = 10;
/// `behind` as a multiple of `late`.
const BEHIND_FACTOR: u32 = 2;
/// Least value of `behind`. A ledger closes after up to six seconds, and its object appears later.
const BEHIND_MIN: Duration = Duration::from_secs(10);
/// `report_max` as a multiple of `given_up`.
const REPORT_FACTOR: u32 = 2;
/// Usual value of `hash_unanswered`.
const HASH_UNANSWERED: Duration = Duration::from_secs(60);
/// `hash_unanswered` as a multiple of `hash_lacked`.
const HASH_UNANSWERED_FACTOR: u32 = 2;

impl LakeTimeouts {
    /// Returns times for a lake that may be late by `late`.
    #[must_use]
    pub fn of(late: Duration) -> Self {
        let behind = late.saturating_mul(BEHIND_FACTOR);
        Self {
            late,
            given_up: late.saturating_mul(GIVEN_UP_FACTOR),
            behind: behind.max(BEHIND_MIN),
            hash_unanswered: HASH_UNANSWERED,
            hash_lacked: HASH_UNANSWERED / HASH_UNANSWERED_FACTOR,
        }
    }

    /// Same times, with this pause after a request for a hash that Horizon did not answer.
    #[must_use]
    pub fn with_hash_unanswered(self, hash_unanswered: Duration) -> Self {
        Self { hash_unanswered, hash_lacked: hash_unanswered / HASH_UNANSWERED_FACTOR, ..self }
    }

    /// Longest time for which Horizon's report on its history counts. Then Horizon is asked again.
    #[must_use]
    pub const fn report_max(&self) -> Duration {
        self.given_up.saturating_mul(REPORT_FACTOR)
    }
}

impl Default for LakeTimeouts {
    fn default() -> Self {
        Self::of(Duration::from_secs(30))
    }
}
