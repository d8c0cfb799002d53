//! Assets looked up one by one: those of the busiest markets before everything else, then what is new in trades.

use futures_util::{StreamExt, stream};
use tracing::{debug, info};

use super::{
    AssetPoll,
    standing::{gone, standing},
};
use crate::{
    actors::{poll_error::PollError, worker::Life},
    db::assets::AssetStanding,
    domain::{asset::Asset, ranking::assets_of},
    horizon::{HorizonClient, HorizonError, budget::Class, wire::AssetRecord},
};

/// Assets looked up singly in one step.
const SINGLES: i64 = 20;
/// More than so many that wait are met sooner by a sweep, of which a request brings 200.
pub(super) const SINGLES_MAX: i64 = 300;
/// Requests for single assets at a time.
const AT_ONCE: usize = 4;
/// On an empty database the assets of so many of the busiest markets come before everything but the stream.
const FIRST_MARKETS: usize = 200;
/// That is over after so many look-ups, whatever markets come to the top meanwhile.
const FIRST_ASSETS_MAX: usize = 400;

/// The look-ups that come before everything else on an empty database.
pub(super) enum First {
    /// Nobody has looked yet whether the database is empty.
    Unknown,
    /// So many have been looked up.
    Running(usize),
    Over,
}

/// What came of single look-ups.
pub(super) struct Singles {
    pub(super) looked_up: usize,
    pub(super) waiting: i64,
}

impl AssetPoll {
    /// Looks up what waits to be looked up singly.
    pub(super) async fn look_up_singly(
        &self,
        epoch: i64,
        first: &mut First,
        life: &Life,
    ) -> Result<Singles, PollError> {
        if matches!(first, First::Unknown) {
            let is_empty = !self.database.any_asset_checked().await?;
            *first = if is_empty { First::Running(0) } else { First::Over };
        }
        if self.database.due_assets(&[], 1).await?.count == 0 {
            return Ok(Singles { looked_up: 0, waiting: 0 });
        }
        let ranked = self.ranking.ask().await.unwrap_or_default();
        let busiest = assets_of(ranked.get(..FIRST_MARKETS).unwrap_or(&ranked));
        let due = self.database.due_assets(&busiest, SINGLES).await?;
        let mut wanted = due.assets;
        if let First::Running(looked_up) = first {
            let busiest_due = usize::try_from(due.ranked).unwrap_or(usize::MAX);
            wanted.truncate(busiest_due);
            let all_seen = wanted.is_empty() && ranked.len() >= FIRST_MARKETS;
            *looked_up += wanted.len();
            if all_seen || *looked_up > FIRST_ASSETS_MAX {
                info!(looked_up, "the assets of the busiest markets are known");
                *first = First::Over;
            }
        } else if due.count > SINGLES_MAX {
            // A sweep meets them; only those of the busiest markets do not wait for it.
            wanted.truncate(usize::try_from(due.ranked).unwrap_or(usize::MAX));
        }
        let class = if matches!(first, First::Running(_)) { Class::FirstAssets } else { Class::Assets };
        let looked_up = wanted.len();
        if looked_up > 0 {
            self.status.set_state("looking up");
            self.look_up(epoch, wanted, class, life).await?;
            self.tell().await;
        }
        Ok(Singles { looked_up, waiting: due.count })
    }

    async fn look_up(
        &self,
        epoch: i64,
        assets: Vec<Asset>,
        class: Class,
        life: &Life,
    ) -> Result<(), PollError> {
        let horizon = self.horizon.of_class(class);
        let mut failed = None;
        let mut standings: Vec<AssetStanding> = Vec::new();
        let mut found = stream::iter(assets)
            .map(|asset| {
                let horizon = &horizon;
                async move { (asset, find(horizon, &asset).await) }
            })
            .buffer_unordered(AT_ONCE);
        while let Some((asset, found)) = found.next().await {
            life.advance();
            match found {
                Ok(Some(record)) => standings.push(standing(&record, self.links_count)),
                Ok(None) => standings.push(gone(asset)),
                Err(error) => failed = Some(error),
            }
        }
        if !standings.is_empty() {
            let now = self.clock.now();
            self.database.record_standings(epoch, &standings, self.links_count, None, now).await?;
            debug!(looked_up = standings.len(), "assets looked up");
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// What Horizon knows of an asset. That it knows nothing would take the asset's trades away, so it must say so twice.
async fn find(horizon: &HorizonClient, asset: &Asset) -> Result<Option<AssetRecord>, HorizonError> {
    match horizon.asset(asset).await? {
        Some(record) => Ok(Some(record)),
        None => horizon.asset(asset).await,
    }
}
