//! Time limits of a lake: after them Horizon is asked instead.

use std::time::Duration;

/// Times to wait for a lake, and for the hashes that prove what it gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LakePatience {
    /// Longest time for which the lake may be out or behind before Horizon is asked for recent ledgers, and longest
    /// wait for the hash of a new ledger.
    pub late: Duration,
    /// Time after which a stretch of history that the lake does not give is left to Horizon.
    pub given_up: Duration,
    /// Age of the newest ledger from which on a lake that gives new trades is behind the network.
    pub behind: Duration,
}

/// Factor between the two times. A stretch of history can wait, a new trade cannot.
const GIVEN_UP_FACTOR: u32 = 10;
/// Factor between the first of them and the age of a ledger.
const BEHIND_FACTOR: u32 = 2;
/// Least such age: a ledger takes up to six seconds, and its object some more.
const BEHIND_MIN: Duration = Duration::from_secs(10);
/// Factor between the second of them and the age of Horizon's last report on its history.
const REPORT_FACTOR: u32 = 2;

impl LakePatience {
    /// Returns times for a lake that may be late by `late`.
    #[must_use]
    pub const fn of(late: Duration) -> Self {
        let behind = late.saturating_mul(BEHIND_FACTOR);
        Self {
            late,
            given_up: late.saturating_mul(GIVEN_UP_FACTOR),
            behind: if behind.as_millis() < BEHIND_MIN.as_millis() { BEHIND_MIN } else { behind },
        }
    }

    /// Longest time for which Horizon's report on its history counts if nothing else asks for a new one.
    #[must_use]
    pub const fn report_max(&self) -> Duration {
        self.given_up.saturating_mul(REPORT_FACTOR)
    }
}

impl Default for LakePatience {
    fn default() -> Self {
        Self::of(Duration::from_secs(30))
    }
}
