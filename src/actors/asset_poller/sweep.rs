//! The sweep of all assets, page by page; it goes on where it was after a stop.

use std::{sync::Arc, time::Duration};

use tracing::info;

use super::{AssetPoll, singles::SINGLES_MAX, standing::standing};
use crate::{
    actors::{
        outage,
        poll_error::PollError,
        timetable::Timetable,
        worker::{TICK, WorkContext},
    },
    db::assets::{AssetStanding, AssetSweep},
    horizon::{budget::Class, retry::Retry},
};

/// A sweep for the sake of new assets begins no sooner after the last one.
const SWEEP_AGAIN: chrono::TimeDelta = chrono::TimeDelta::minutes(10);
/// How often it looks whether a sweep is due.
const REST: Duration = Duration::from_secs(2);
/// A command that sweeps once gives up after so many failures in a row.
const FAILURES_MAX: u32 = 10;

impl AssetPoll {
    /// Sweeps all assets by schedule, again and again.
    pub(super) async fn sweep_forever(&self, context: &WorkContext) {
        let mut timetable = Timetable::due_at_start(Arc::clone(&self.schedule));
        let mut retry = Retry::default();
        loop {
            context.advance();
            let Some(epoch) = self.leadership.epoch_within(TICK).await else { continue };
            match self.sweep_if_due(epoch, &mut timetable).await {
                Ok(true) => retry.succeeded(),
                Ok(false) => context.pause(REST).await,
                Err(error) => self.wait_after(&error, &mut retry, context).await,
            }
        }
    }

    /// Takes in a page if a sweep is due or under way. Says whether it did.
    async fn sweep_if_due(&self, epoch: i64, timetable: &mut Timetable) -> Result<bool, PollError> {
        let now = self.clock.now();
        let mut sweep = self.database.asset_sweep().await?;
        // A sweep that goes on after a restart is the one that is due at start.
        let is_due = timetable.take_due(now);
        if sweep.began_at.is_none() {
            let rested = sweep.finished_at.is_none_or(|finished| now - finished > SWEEP_AGAIN);
            let many_wait = rested && self.database.due_assets(&[], 1).await?.count > SINGLES_MAX;
            if !is_due && !many_wait {
                return Ok(false);
            }
            sweep = AssetSweep { token: None, began_at: Some(now), ..sweep };
        }
        self.status.set_state("sweeping");
        let next = self.sweep_step(epoch, &sweep).await?;
        if next.began_at.is_none() {
            self.tell(0).await;
        }
        Ok(true)
    }

    /// Sweeps all assets once, from the beginning.
    ///
    /// # Errors
    ///
    /// In words: the lease or the database is lost, or Horizon failed too often in a row.
    pub async fn sweep_once(&self, context: &WorkContext) -> Result<(), String> {
        let (mut retry, mut failures) = (Retry::default(), 0);
        let mut sweep = AssetSweep { began_at: Some(self.clock.now()), ..AssetSweep::default() };
        while sweep.began_at.is_some() {
            let epoch = self.leadership.epoch().ok_or("the lease was lost")?;
            match self.sweep_step(epoch, &sweep).await {
                Ok(next) => (sweep, retry, failures) = (next, Retry::default(), 0),
                Err(PollError::Horizon(error)) if failures < FAILURES_MAX => {
                    failures += 1;
                    let wait = retry.next_wait(error.retry_after());
                    outage::horizon_failed(&self.horizon, &error, "reading a page of assets", wait);
                    context.pause(wait).await;
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// Takes in the next page of the sweep, and gives how far the sweep then is.
    pub(super) async fn sweep_step(&self, epoch: i64, sweep: &AssetSweep) -> Result<AssetSweep, PollError> {
        let horizon = self.horizon.of_class(Class::Assets);
        let mut page = horizon.assets_page(sweep.token.as_deref()).await?;
        if page.next.is_none() {
            page = horizon.assets_page(sweep.token.as_deref()).await?; // one empty answer is no end
        }
        let now = self.clock.now();
        let is_last = page.next.is_none() || page.next == sweep.token;
        let next = if is_last {
            AssetSweep { token: None, began_at: None, swept_from: sweep.began_at, finished_at: Some(now) }
        } else {
            AssetSweep { token: page.next, ..sweep.clone() }
        };
        let standings: Vec<AssetStanding> =
            page.records.iter().filter_map(|record| standing(record, self.requires_toml)).collect();
        self.database.record_standings(epoch, &standings, self.requires_toml, Some(&next), now).await?;
        if is_last {
            info!(began_at = sweep.began_at.map(|at| at.to_rfc3339()), "all assets are swept");
        }
        Ok(next)
    }
}
