//! Reader of a lake for one actor: the access to its ledgers, and a part for each thing that is done with them.
//!
//! ```text
//! hash_checker    compares hashes with Horizon's
//! collected       ledgers to the content of a batch
//! unconfirmed     ledgers that no hash of Horizon confirms, noted in the database
//! refused         ledgers that are not believed
//! reports         state, metrics and log lines
//! ahead_of_clock  ledgers of the future
//! ```

mod ahead_of_clock;
mod collected;
mod hash_checker;
mod refused;
mod reports;
mod unconfirmed;

use std::sync::Arc;

use super::lake_timeouts::LakeTimeouts;
use crate::{
    clock::SharedClock,
    config::LakeVerify,
    horizon::HorizonClient,
    lake::{Lake, LakeError, VerifiedLedger},
};

pub use ahead_of_clock::AheadOfClockError;
pub use collected::Collected;
pub use hash_checker::{HASH_TIMEOUT, HashAtHorizon, HashChecker};
pub use refused::{RefusedFor, RefusedLedgers};
pub use reports::LakeReports;
pub use unconfirmed::{LedgersInDoubt, UnconfirmedLedgers};

/// Name of the source in quarantine.
const SOURCE: &str = "lake";

/// Reader of a lake, for one actor. Clones share what they know of Horizon.
#[derive(Clone)]
pub struct LakeReader {
    /// The lake.
    pub lake: Lake,
    /// Longest waits for it.
    pub timeouts: LakeTimeouts,
    /// Comparison of hashes with Horizon's.
    pub hashes: HashChecker,
    /// Notes about ledgers that no hash of Horizon confirms.
    pub unconfirmed: UnconfirmedLedgers,
    /// Reports of what was read.
    pub reports: LakeReports,
    /// Horizon, which knows the newest ledger of the network.
    horizon: HorizonClient,
    /// Checks that a ledger must pass.
    verify: LakeVerify,
    clock: SharedClock,
}

impl LakeReader {
    /// Creates a reader.
    #[must_use]
    pub fn new(
        lake: Lake,
        horizon: HorizonClient,
        verify: LakeVerify,
        timeouts: LakeTimeouts,
        reports: LakeReports,
        clock: SharedClock,
    ) -> Self {
        let are_hashes_checked = verify == LakeVerify::Anchor;
        let hashes = HashChecker::new(
            horizon.clone(),
            are_hashes_checked,
            timeouts,
            Arc::clone(&clock),
            reports.clone(),
        );
        let unconfirmed = UnconfirmedLedgers::new(are_hashes_checked, reports.clone());
        Self { lake, timeouts, hashes, unconfirmed, reports, horizon, verify, clock }
    }

    /// True if consecutive ledgers must name each other.
    #[must_use]
    pub fn checks_chain(&self) -> bool {
        self.verify != LakeVerify::Off
    }

    /// Newest ledger of the lake. Begins to look at `held`, or without it at Horizon's newest ledger.
    ///
    /// # Errors
    ///
    /// [`LakeError`] if the lake cannot be reached, or names no ledger.
    pub async fn newest(&self, held: Option<u32>) -> Result<u32, LakeError> {
        let hint = match held {
            Some(held) => Some(held),
            None => {
                let root = tokio::time::timeout(HASH_TIMEOUT, self.horizon.root()).await;
                root.ok().and_then(Result::ok).map(|root| root.history_latest_ledger)
            }
        };
        self.lake.newest(hint).await
    }

    /// Checks the close time of a ledger.
    ///
    /// # Errors
    ///
    /// [`AheadOfClockError`] if it cannot be stored now.
    pub fn check_clock(&self, ledger: &VerifiedLedger) -> Result<(), AheadOfClockError> {
        AheadOfClockError::check(ledger.sequence, ledger.closed_at, self.clock.now().into())
    }
}
