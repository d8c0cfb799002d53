//! Assets looked up one by one: those of the busiest markets before everything else, then what is new in trades.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tracing::{debug, info, warn};

use super::{
    AssetPoll,
    standing::{gone, standing},
};
use crate::{
    actors::{
        poll_error::PollError,
        worker::{TICK, WorkContext},
    },
    db::assets::AssetStanding,
    domain::{asset::Asset, plain_text::listed, ranking::assets_of},
    horizon::{HorizonClient, HorizonError, budget::Class, retry::Retry, wire::AssetRecord},
};

/// How often it looks for something to do when nobody tells it.
const REST: Duration = Duration::from_secs(5);
/// Assets looked up singly in one round.
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
enum First {
    /// Nobody has looked yet whether the database is empty.
    Unknown,
    /// So many have been looked up.
    Running(usize),
    Over,
}

/// What a round of single look-ups came to.
enum Round {
    LookedUp,
    /// Nothing that shall be looked up singly was left when everything up to this batch was committed.
    NothingDue {
        all_upto: i64,
    },
}

impl First {
    /// What the look-ups of a round count as, of which there are so many; and whether the first ones are over.
    fn class(&mut self, wanted: usize, ranked: usize) -> Class {
        let Self::Running(looked_up) = self else { return Class::Assets };
        *looked_up = looked_up.saturating_add(wanted);
        let all_known = wanted == 0 && ranked >= FIRST_MARKETS;
        if all_known || *looked_up > FIRST_ASSETS_MAX {
            info!(looked_up, "the assets of the busiest markets are known");
            *self = Self::Over;
            return Class::Assets;
        }
        Class::FirstAssets
    }
}

impl AssetPoll {
    /// Looks up what waits to be looked up singly, again and again.
    pub(super) async fn look_up_forever(&self, context: &WorkContext) {
        let (mut first, mut retry) = (First::Unknown, Retry::default());
        loop {
            context.advance();
            let Some(epoch) = self.leadership.epoch_within(TICK).await else { continue };
            match self.look_up_singly(epoch, &mut first, context).await {
                Ok(Round::LookedUp) => {
                    self.status.succeeds("assets are looked up");
                    retry.succeeded();
                    self.tell(0).await;
                }
                Ok(Round::NothingDue { all_upto }) => {
                    self.status.succeeds("assets are looked up");
                    retry.succeeded();
                    self.tell(all_upto).await;
                    self.status.set_state("idle");
                    context.rest(REST).await;
                }
                Err(error) => self.wait_after(&error, &mut retry, context).await,
            }
        }
    }

    /// One round.
    async fn look_up_singly(
        &self,
        epoch: i64,
        first: &mut First,
        context: &WorkContext,
    ) -> Result<Round, PollError> {
        if matches!(first, First::Unknown) {
            let is_empty = !self.database.any_asset_checked().await?;
            *first = if is_empty { First::Running(0) } else { First::Over };
        }
        let all_upto = self.database.current_seq().await?; // before it is looked what is due
        if self.database.due_assets(&[], 1).await?.count == 0 {
            return Ok(Round::NothingDue { all_upto });
        }
        let ranked = self.ranking.ask().await.unwrap_or_default();
        let busiest = assets_of(ranked.get(..FIRST_MARKETS).unwrap_or(&ranked));
        let due = self.database.due_assets(&busiest, SINGLES).await?;
        let mut wanted = due.assets;
        if matches!(first, First::Running(_)) || due.count > SINGLES_MAX {
            // The others do not wait for a sweep to meet them, or for the busiest to be known.
            wanted.truncate(usize::try_from(due.ranked).unwrap_or(usize::MAX));
        }
        let class = first.class(wanted.len(), ranked.len());
        if wanted.is_empty() {
            // While nobody can rank the markets, it is not known whose assets are wanted.
            return Ok(Round::NothingDue { all_upto: if ranked.is_empty() { 0 } else { all_upto } });
        }
        self.status.set_state("looking up");
        self.look_up(epoch, &wanted, class, context).await?;
        Ok(Round::LookedUp)
    }

    async fn look_up(
        &self,
        epoch: i64,
        assets: &[Asset],
        class: Class,
        context: &WorkContext,
    ) -> Result<(), PollError> {
        let horizon = self.horizon.of_class(class);
        let mut failed = None;
        let (mut standings, mut unreadable) = (Vec::<AssetStanding>::new(), Vec::new());
        let mut found = stream::iter(assets.iter().copied())
            .map(|asset| {
                let horizon = &horizon;
                async move { (asset, find(horizon, &asset).await) }
            })
            .buffer_unordered(AT_ONCE);
        while let Some((asset, found)) = found.next().await {
            context.advance();
            match found {
                Ok(Some(record)) => match standing(&record, self.requires_toml) {
                    Some(told) => standings.push(told),
                    None => unreadable.push(asset),
                },
                Ok(None) => standings.push(gone(asset)),
                Err(error) => failed = Some(error),
            }
        }
        if !standings.is_empty() {
            let now = self.clock.now();
            self.database.record_standings(epoch, &standings, self.requires_toml, None, now).await?;
            debug!(looked_up = standings.len(), "assets looked up");
        }
        if !unreadable.is_empty() {
            let assets: Vec<String> = unreadable.iter().map(ToString::to_string).collect();
            warn!(
                count = assets.len(),
                assets = listed(&assets),
                "supply of assets cannot be read: their rows stay as they are"
            );
            self.database.postpone_assets(epoch, &unreadable, self.clock.now()).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_look_ups_are_over_when_the_busiest_are_known_or_enough_were_made() {
        let mut first = First::Running(0);
        assert_eq!(first.class(20, 3), Class::FirstAssets);
        assert_eq!(first.class(0, 199), Class::FirstAssets, "more markets may yet be seen");
        assert_eq!(first.class(0, 200), Class::Assets);
        assert_eq!(first.class(20, 200), Class::Assets, "over once and for all");
        let mut first = First::Running(0);
        let rounds = (0..100).take_while(|_| first.class(20, 50) == Class::FirstAssets).count();
        assert_eq!(rounds, 20, "400 look-ups and no more");
    }
}
