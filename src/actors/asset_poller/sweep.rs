//! Sweep of all assets, page by page. After a stop it continues where it was.

use std::{sync::Arc, time::Duration};

use tracing::info;

use super::{AssetPoll, singles::SINGLES_MAX, standing::standing};
use crate::{
    actors::{
        outage,
        poll_error::PollError,
        timetable::Timetable,
        trace::context::TraceContext,
        worker::{TICK, WorkContext},
    },
    db::assets::{AssetStanding, AssetSweep},
    horizon::budget::Class,
    outbound::retry::Retry,
    steps,
};

/// Shortest time between two sweeps that are made for the sake of new assets.
const SWEEP_AGAIN: chrono::TimeDelta = chrono::TimeDelta::minutes(10);
/// Interval at which a due sweep is looked for.
const REST: Duration = Duration::from_secs(2);
/// Failures in a row after which a command that sweeps once gives up.
const FAILURES_MAX: u32 = 10;

impl AssetPoll {
    /// Sweeps all assets by schedule, in a loop.
    pub(super) async fn sweep_forever(&self, context: &WorkContext) {
        let mut timetable = Timetable::due_at_start(Arc::clone(&self.schedule));
        let (mut retry, mut is_due) = (Retry::default(), false);
        loop {
            context.advance();
            let Some(epoch) = self.leadership.epoch_within(TICK).await else { continue };
            // A sweep stays due until its first page is stored. Taken even if a sweep is under way: a sweep continued
            // after a restart is the one that is due at start.
            is_due |= timetable.take_due(self.clock.now());
            match self.sweep_if_due(epoch, is_due).await {
                Ok(true) => {
                    is_due = false;
                    retry.reset();
                }
                Ok(false) => context.pause(REST).await,
                Err(error) => self.wait_after(&error, &mut retry, context).await,
            }
        }
    }

    /// Reads the next page if a sweep is due or under way. Returns true if it did.
    async fn sweep_if_due(&self, epoch: i64, is_due: bool) -> Result<bool, PollError> {
        let now = self.clock.now();
        let mut sweep = self.database.asset_sweep().await?;
        if sweep.began_at.is_none() {
            let rested = sweep.finished_at.is_none_or(|finished| now - finished > SWEEP_AGAIN);
            let many_wait = rested && self.database.due_assets(&[], 1).await?.count > SINGLES_MAX;
            if !is_due && !many_wait {
                return Ok(false);
            }
            sweep = AssetSweep { token: None, began_at: Some(now), ..sweep };
        }
        self.status.set_state("sweeping");
        let step = self.status.step(steps::LOOK_UP_ASSETS, None);
        let next = self.sweep_step(epoch, &sweep, &step.trace()).await?;
        let cause = step.done();
        if next.began_at.is_none() {
            self.notify(0, &cause).await;
        }
        Ok(true)
    }

    /// Sweeps all assets once, from the beginning.
    ///
    /// # Errors
    ///
    /// A text: the lease was lost, the database failed, or Horizon failed too often in a row.
    pub async fn sweep_once(&self, context: &WorkContext) -> Result<(), String> {
        let (mut retry, mut failures) = (Retry::default(), 0);
        let mut sweep = AssetSweep { began_at: Some(self.clock.now()), ..AssetSweep::default() };
        while sweep.began_at.is_some() {
            let epoch = self.leadership.epoch().ok_or("the lease was lost")?;
            let step = self.status.step(steps::LOOK_UP_ASSETS, None);
            match self.sweep_step(epoch, &sweep, &step.trace()).await {
                Ok(next) => {
                    step.done();
                    (sweep, retry, failures) = (next, Retry::default(), 0);
                }
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

    /// Reads and stores the next page of the sweep. Returns the position after it.
    pub(super) async fn sweep_step(
        &self,
        epoch: i64,
        sweep: &AssetSweep,
        cause: &TraceContext,
    ) -> Result<AssetSweep, PollError> {
        let horizon = self.horizon.of_class(Class::Assets).caused_by(cause);
        let mut page = horizon.assets_page(sweep.token.as_deref()).await?;
        if page.next.is_none() {
            page = horizon.assets_page(sweep.token.as_deref()).await?; // one empty answer is not trusted as the end
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
            info!(began_at = sweep.began_at.map(|at| at.to_rfc3339()), "sweep of all assets complete");
        }
        Ok(next)
    }
}
