//! Single look-ups of assets: first those of the busiest markets, later those that are new in trades.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tracing::{debug, info, warn};

use super::{
    AssetPoll, WORKS, part,
    standing::{gone, standing},
    sweep::{SINGLES_MAX, may_sweep},
    unknown_once::UnknownOnce,
};
use crate::{
    actors::{
        joint_health::JointHealth,
        poll_error::PollError,
        trace::context::TraceContext,
        worker::{TICK, WorkContext, transaction},
    },
    db::assets::AssetStanding,
    domain::{asset::Asset, conversions::SaturatingFrom, plain_text::listed, ranking::assets_of},
    horizon::{HorizonClient, budget::Class, wire::AssetAnswer},
    outbound::retry::Retry,
    steps,
};

/// Interval at which assets to look up are searched without a message.
const REST: Duration = Duration::from_secs(5);
/// Single look-ups per round.
const SINGLES: usize = 20;
/// Concurrent requests for single assets.
const AT_ONCE: usize = 4;
/// Number of the busiest markets whose assets come first on an empty database, before everything but the stream.
const FIRST_MARKETS: usize = 200;
/// Look-ups after which that first phase ends, whichever markets become busy meanwhile.
const FIRST_ASSETS_MAX: usize = 400;

/// Phase of the first look-ups on an empty database. They have a budget class of their own.
enum First {
    /// It is not known yet whether the database was empty.
    Unknown,
    /// The phase goes on. Holds the number of look-ups so far.
    Running(usize),
    /// The phase is over, or the database was not empty.
    Over,
}

/// Result of a round of single look-ups.
enum Round {
    /// Some assets were looked up.
    LookedUp,
    /// All assets that are left were just unknown to Horizon, and wait for their second look-up.
    AwaitsSecondLookUp,
    /// No asset was left to be looked up singly when everything up to this batch was committed.
    NothingDue { all_upto: i64 },
}

impl First {
    /// Returns the budget class for a round of `wanted` look-ups, and ends the first phase if it is complete.
    fn class(&mut self, wanted: usize, ranked: usize) -> Class {
        let Self::Running(looked_up) = self else { return Class::Assets };
        *looked_up = looked_up.saturating_add(wanted);
        let all_known = wanted == 0 && ranked >= FIRST_MARKETS;
        if all_known || *looked_up > FIRST_ASSETS_MAX {
            info!(looked_up, "assets of the busiest markets looked up");
            *self = Self::Over;
            return Class::Assets;
        }
        Class::FirstAssets
    }
}

impl AssetPoll {
    /// Looks assets up one by one, in a loop.
    pub(super) async fn look_up_forever(&self, context: &WorkContext, health: &JointHealth) {
        let (mut first, mut retry) = (First::Unknown, Retry::default());
        let mut unknown = UnknownOnce::default();
        loop {
            context.advance();
            let Some(epoch) = self.leadership.epoch_within(TICK).await else { continue };
            let pass = context.pass(steps::LOOK_UP_ASSETS);
            match self.look_up_singly(epoch, &mut first, &mut unknown, &pass.trace(), context).await {
                Ok(Round::LookedUp) => {
                    health.succeeds(part::LOOK_UPS, WORKS);
                    retry.reset();
                    context.keep_causes();
                    self.notify(0, &pass.done()).await;
                }
                Ok(Round::AwaitsSecondLookUp) => {
                    pass.done();
                    context.keep_causes();
                    context.pause_until_woken(TICK).await;
                }
                Ok(Round::NothingDue { all_upto }) => {
                    health.succeeds(part::LOOK_UPS, WORKS);
                    retry.reset();
                    self.notify(all_upto, &pass.done()).await;
                    self.status.set_state("idle");
                    context.pause_until_woken(REST).await;
                }
                Err(error) => {
                    pass.failed();
                    context.keep_causes();
                    self.wait_after(&error, part::LOOK_UPS, health, &mut retry, context).await;
                }
            }
        }
    }

    /// Looks up the next assets that are due.
    async fn look_up_singly(
        &self,
        epoch: i64,
        first: &mut First,
        unknown: &mut UnknownOnce,
        cause: &TraceContext,
        context: &WorkContext,
    ) -> Result<Round, PollError> {
        if matches!(first, First::Unknown) {
            let is_empty = !self.database.any_asset_checked().await?;
            *first = if is_empty { First::Running(0) } else { First::Over };
        }
        let all_upto = self.database.current_seq().await?; // read before the due assets, so that it is never too high
        // A cheap check first: mostly nothing is due, and the ranking need not be computed.
        if self.database.count_due_assets(1, self.clock.now()).await? == 0 {
            return Ok(Round::NothingDue { all_upto });
        }
        let ranked = self.ranking.ask(cause).await.unwrap_or_default();
        let busiest = assets_of(ranked.get(..FIRST_MARKETS).unwrap_or(&ranked));
        let limit = SINGLES.saturating_add(unknown.len());
        let due = self.database.due_assets(&busiest, i64::saturating_from(limit), self.clock.now()).await?;
        let mut wanted = due.assets;
        if self.others_wait(first, due.count).await? {
            wanted.truncate(usize::saturating_from(due.ranked));
        }
        let is_any_due = !wanted.is_empty();
        let mut wanted = unknown.ready(wanted, SINGLES, self.clock.monotonic());
        if is_any_due && wanted.is_empty() {
            return Ok(Round::AwaitsSecondLookUp);
        }
        let class = first.class(wanted.len(), ranked.len());
        if wanted.is_empty() {
            // Without a ranking it is unknown which assets belong to the busiest markets.
            return Ok(Round::NothingDue { all_upto: if ranked.is_empty() { 0 } else { all_upto } });
        }
        self.status.set_state("looking up");
        let horizon = self.horizon.of_class(class).caused_by(cause);
        let listing = match wanted.iter().any(|asset| unknown.contains(asset)) {
            true => self.require_listing(&horizon).await,
            false => Ok(()),
        };
        if listing.is_err() {
            // A second look-up would prove nothing. First ones are made all the same.
            wanted.retain(|asset| !unknown.contains(asset));
        }
        self.look_up(epoch, &wanted, unknown, &horizon, cause, context).await?;
        listing.map(|()| Round::LookedUp)
    }

    /// Returns true if only assets of the busiest markets are looked up singly now. The others wait for a sweep, or
    /// until those are known. After a sweep all are looked up, however many: it has not contained them. So are they if
    /// the sweep always fails.
    async fn others_wait(&self, first: &First, due: i64) -> Result<bool, PollError> {
        let is_first = matches!(first, First::Running(_));
        if !is_first && due <= SINGLES_MAX || self.progress.is_stalled(self.clock.monotonic()) {
            return Ok(false);
        }
        let sweep = self.database.asset_sweep().await?;
        Ok(is_first && sweep.finished_at.is_none()
            || due > SINGLES_MAX && may_sweep(&sweep, self.clock.now()))
    }

    async fn look_up(
        &self,
        epoch: i64,
        assets: &[Asset],
        unknown: &mut UnknownOnce,
        horizon: &HorizonClient,
        cause: &TraceContext,
        context: &WorkContext,
    ) -> Result<(), PollError> {
        let mut failed = None;
        let (mut standings, mut unreadable) = (Vec::<AssetStanding>::new(), Vec::new());
        let mut answers = stream::iter(assets.iter().copied())
            .map(|asset| async move { (asset, horizon.asset(&asset).await) })
            .buffer_unordered(AT_ONCE);
        while let Some((asset, answer)) = answers.next().await {
            context.advance();
            match answer {
                Ok(AssetAnswer::Unknown) => {
                    if unknown.confirm(asset, self.clock.monotonic()) {
                        standings.push(gone(asset));
                    }
                    continue;
                }
                Ok(AssetAnswer::Record(record)) => standings.push(standing(&record, self.requires_toml)),
                Ok(AssetAnswer::Unreadable) => unreadable.push(asset),
                Err(error) => {
                    failed = Some(error);
                    continue;
                }
            }
            unknown.remove(&asset);
            self.listing.note_record();
        }
        if !standings.is_empty() {
            let now = self.clock.now();
            let storing = self.database.record_standings(epoch, &standings, self.requires_toml, None, now);
            transaction(&self.status, cause, storing).await?;
            debug!(looked_up = standings.len(), "assets looked up");
        }
        if !unreadable.is_empty() {
            let assets: Vec<String> = unreadable.iter().map(ToString::to_string).collect();
            warn!(
                count = assets.len(),
                assets = listed(&assets),
                "records of assets could not be read, their rows are unchanged"
            );
            let storing = self.database.postpone_assets(epoch, &unreadable, self.clock.now());
            transaction(&self.status, cause, storing).await?;
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_phase_ends_when_the_busiest_are_known_or_enough_were_looked_up() {
        let mut first = First::Running(0);
        assert_eq!(first.class(20, 3), Class::FirstAssets);
        assert_eq!(first.class(0, 199), Class::FirstAssets, "more markets may come");
        assert_eq!(first.class(0, 200), Class::Assets);
        assert_eq!(first.class(20, 200), Class::Assets, "it never starts again");
        let mut first = First::Running(0);
        let rounds = (0..100).take_while(|_| first.class(20, 50) == Class::FirstAssets).count();
        assert_eq!(rounds, 20, "400 look-ups and no more");
    }
}
