//! Times that only tests of the whole program change.

use std::time::Duration;

use super::{asset_patience::AssetPatience, lake_timeouts::LakeTimeouts, leadership::LeaseTerms};
use crate::published::Grace;

/// Time after which a publication is made even if the assets have not been looked up, so that readers wait less
/// than a minute.
const FIRST_PUBLICATION: Duration = Duration::from_secs(55);

/// Times of the daemon. Tests shorten those that they wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// Duration of the lease and the intervals of its renewal.
    pub lease: LeaseTerms,
    /// Longest waits for a lake.
    pub lake: LakeTimeouts,
    /// Times to wait for Horizon's list of assets.
    pub assets: AssetPatience,
    /// Time after which the first publication no longer waits for look-ups of assets.
    pub first_publication: Duration,
    /// Times for which parts may fail before their checks do.
    pub grace: Grace,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            lease: LeaseTerms::default(),
            lake: LakeTimeouts::default(),
            assets: AssetPatience::default(),
            first_publication: FIRST_PUBLICATION,
            grace: Grace::default(),
        }
    }
}
