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
}

/// Factor between the two times. A stretch of history can wait, a new trade cannot.
const GIVEN_UP_FACTOR: u32 = 10;

impl LakePatience {
    /// Returns times for a lake that may be late by `late`.
    #[must_use]
    pub const fn of(late: Duration) -> Self {
        Self { late, given_up: late.saturating_mul(GIVEN_UP_FACTOR) }
    }
}

impl Default for LakePatience {
    fn default() -> Self {
        Self::of(Duration::from_secs(30))
    }
}
