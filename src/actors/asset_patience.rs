//! Time limits for a Horizon that lists no assets, or whose list of all assets cannot be read.

use std::time::Duration;

/// Times to wait for Horizon's `/assets`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AssetPatience {
    /// Time without progress of the sweep after which all assets are looked up singly.
    pub stalled: Duration,
    /// Time for which Horizon must list no asset at all before it is believed.
    pub empty: Duration,
}

/// Factor between the two times. Single look-ups only cost requests, but a wrong belief empties all lists.
const EMPTY_FACTOR: u32 = 36;

impl AssetPatience {
    /// Returns times for a sweep that may stall for `stalled`.
    #[must_use]
    pub const fn of(stalled: Duration) -> Self {
        Self { stalled, empty: stalled.saturating_mul(EMPTY_FACTOR) }
    }
}

impl Default for AssetPatience {
    /// Ten minutes, and six hours.
    fn default() -> Self {
        Self::of(Duration::from_secs(600))
    }
}
