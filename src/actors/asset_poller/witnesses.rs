//! Evidence that Horizon lists assets at all. A server that builds its table of assets again answers with empty lists
//! and status 200.

use super::AssetPoll;
use crate::{
    actors::poll_error::PollError,
    horizon::{HorizonClient, HorizonError, wire::AssetAnswer},
};

/// Known assets of which Horizon must know one before it is believed that another is gone.
const WITNESSES: i64 = 3;

impl AssetPoll {
    /// Returns an error unless Horizon knows an asset that it should know. The caller asks a second time after this for
    /// what was missing: an outage of the list that began before the first time would show here.
    pub(super) async fn require_listing(&self, horizon: &HorizonClient) -> Result<(), PollError> {
        if self.lists_any(horizon).await? {
            self.listing.note_record();
            return Ok(());
        }
        self.listing.note_empty(self.clock.monotonic());
        self.require_emptiness().await
    }

    /// Returns an error unless Horizon may list no asset at all.
    pub(super) async fn require_emptiness(&self) -> Result<(), PollError> {
        let is_believed = self.listing.is_believed_empty(self.clock.monotonic());
        if is_believed || !self.database.any_issued_asset().await? {
            return Ok(());
        }
        Err(HorizonError::NoAssets.into())
    }

    async fn lists_any(&self, horizon: &HorizonClient) -> Result<bool, PollError> {
        let witnesses = self.database.listed_assets(WITNESSES).await?;
        for asset in &witnesses {
            if horizon.asset(asset).await? != AssetAnswer::Unknown {
                return Ok(true);
            }
        }
        // Before the first look-up no asset is known to be listed. Then any record will do.
        Ok(witnesses.is_empty() && horizon.assets_page(None, 1).await?.count > 0)
    }
}
