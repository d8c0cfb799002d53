//! Sweep of all assets, page by page. After a stop it continues where it was.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tracing::{debug, info};

use super::{AssetPoll, WORKS, part, standing::standing};
use crate::{
    actors::{
        joint_health::JointHealth,
        outage,
        poll_error::PollError,
        timetable::Timetable,
        trace::context::TraceContext,
        worker::{TICK, WorkContext, transaction},
    },
    db::assets::{AssetStanding, AssetSweep},
    horizon::{HorizonClient, HorizonError, budget::Class, wire::AssetsPage},
    outbound::retry::Retry,
    steps,
};

/// Number of waiting assets beyond which a sweep is faster than single look-ups: one request returns 200 assets.
pub(super) const SINGLES_MAX: i64 = 300;
/// Shortest time between two sweeps that are made for the sake of new assets. It is as long as the last sweep if that
/// took longer: in between, assets that no sweep contains are looked up singly.
const SWEEP_AGAIN: chrono::TimeDelta = chrono::TimeDelta::minutes(10);
/// Longest such time.
const SWEEP_AGAIN_MAX: chrono::TimeDelta = chrono::TimeDelta::hours(6);
/// Interval at which a due sweep is looked for.
const REST: Duration = Duration::from_secs(2);
/// Failures in a row after which a command that sweeps once gives up.
const FAILURES_MAX: u32 = 10;

impl AssetPoll {
    /// Sweeps all assets by schedule, in a loop.
    pub(super) async fn sweep_forever(&self, context: &WorkContext, health: &JointHealth) {
        let mut timetable = Timetable::due_at_start(Arc::clone(&self.schedule));
        let (mut retry, mut refusals) = (Retry::default(), Refusals::default());
        let mut is_due = false;
        loop {
            context.advance();
            let Some(epoch) = self.leadership.epoch_within(TICK).await else { continue };
            // A sweep stays due until its first page is stored. Taken even if a sweep is under way: a sweep continued
            // after a restart is the one that is due at start.
            is_due |= timetable.take_due(self.clock.now());
            match self.sweep_if_due(epoch, is_due, health).await {
                Ok(Some(page)) => {
                    is_due = false;
                    retry.reset();
                    if page.is_last() {
                        refusals = Refusals::default();
                    }
                    self.progress.note_success(page.is_last());
                    // A sweep that began again has come nowhere yet.
                    if !refusals.are_there {
                        health.succeeds(part::SWEEP, WORKS);
                    }
                }
                Ok(None) => {
                    // A sweep that was given up fails until another is complete.
                    if !refusals.are_there {
                        health.rests(part::SWEEP, WORKS);
                    }
                    context.pause(REST).await;
                }
                Err(error) => {
                    self.progress.note_failure(self.clock.monotonic());
                    let leads_nowhere = is_refusal(&error) || is_endless(&error);
                    let retry = if leads_nowhere { refusals.add() } else { &mut retry };
                    self.wait_after(&error, part::SWEEP, health, retry, context).await;
                }
            }
        }
    }

    /// Reads the next page if a sweep is due or under way. Returns none if not.
    async fn sweep_if_due(
        &self,
        epoch: i64,
        is_due: bool,
        health: &JointHealth,
    ) -> Result<Option<SweptPage>, PollError> {
        let now = self.clock.now();
        let mut sweep = self.database.asset_sweep().await?;
        if sweep.began_at.is_none() {
            let many_wait = has_rested(&sweep, now)
                && self.database.count_due_assets(SINGLES_MAX.saturating_add(1), now).await? > SINGLES_MAX;
            if !is_due && !many_wait {
                return Ok(None);
            }
            sweep = AssetSweep { token: None, began_at: Some(now), ..sweep };
        }
        self.status.set_state("sweeping");
        let step = self.status.step(steps::LOOK_UP_ASSETS, None);
        let page = match self.sweep_step(epoch, &sweep, &step.trace()).await {
            Ok(page) => page,
            Err(error) => {
                let cause = step.failed();
                if is_refusal(&error) && sweep.token.is_some() {
                    // The stored token leads nowhere, however often it is tried.
                    let again = AssetSweep { token: None, began_at: Some(now), ..sweep };
                    let storing =
                        self.database.record_standings(epoch, &[], self.requires_toml, Some(&again), now);
                    transaction(&self.status, &cause, storing).await?;
                }
                return Err(error);
            }
        };
        let cause = step.done();
        if page.records > 0 && page.unreadable == page.records {
            let error = format!("none of {} asset records of a page of Horizon can be read", page.records);
            health.fails(part::RECORDS, &error);
        } else if page.records > 0 {
            health.rests(part::RECORDS, WORKS);
        }
        if page.is_last() {
            self.notify(0, &cause).await;
        }
        Ok(Some(page))
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
                Ok(page) => {
                    step.done();
                    (sweep, retry, failures) = (page.next, Retry::default(), 0);
                }
                Err(error) if is_endless(&error) => return Err(error.to_string()),
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

    /// Reads the page after a token. After a failure the next attempt is for a smaller one.
    async fn page_after(
        &self,
        token: Option<&str>,
        horizon: &HorizonClient,
    ) -> Result<AssetsPage, HorizonError> {
        let page = horizon.assets_page(token, self.progress.limit()).await;
        match &page {
            Ok(_) => self.progress.grow_page(),
            Err(error) if error.is_of_an_answer() => self.progress.shrink_page(),
            Err(_) => {}
        }
        page
    }

    /// Reads and stores the next page of the sweep.
    pub(super) async fn sweep_step(
        &self,
        epoch: i64,
        sweep: &AssetSweep,
        cause: &TraceContext,
    ) -> Result<SweptPage, PollError> {
        let horizon = self.horizon.of_class(Class::Assets).caused_by(cause);
        if sweep.token.is_none() {
            self.progress.note_start();
        }
        let mut page = self.page_after(sweep.token.as_deref(), &horizon).await?;
        if page.next.is_none() {
            // One empty answer is not trusted as the end, nor two of a server that lists nothing at all.
            self.require_listing(&horizon).await?;
            page = self.page_after(sweep.token.as_deref(), &horizon).await?;
        }
        if page.count > 0 {
            self.listing.note_record();
        } else if sweep.token.is_none() {
            self.require_emptiness().await?;
        }
        let now = self.clock.now();
        let is_last = page.next.is_none() || page.next == sweep.token;
        let is_endless =
            !is_last && page.next.as_deref().is_some_and(|token| self.progress.is_endless_at(token));
        let next = if is_last {
            AssetSweep { token: None, began_at: None, swept_from: sweep.began_at, finished_at: Some(now) }
        } else if is_endless {
            // Given up. Nothing is known of assets that it has not contained.
            AssetSweep { token: None, began_at: None, swept_from: sweep.swept_from, finished_at: Some(now) }
        } else {
            AssetSweep { token: page.next, ..sweep.clone() }
        };
        let standings: Vec<AssetStanding> =
            page.records.iter().map(|record| standing(record, self.requires_toml)).collect();
        let storing = self.database.record_standings(epoch, &standings, self.requires_toml, Some(&next), now);
        transaction(&self.status, cause, storing).await?;
        if let Some(token) = &next.token {
            self.progress.note_token(token, page.count);
        }
        if is_endless {
            return Err(HorizonError::EndlessAssets.into());
        }
        if is_last {
            info!(began_at = sweep.began_at.map(|at| at.to_rfc3339()), "sweep of all assets complete");
        }
        let unreadable = page.count.saturating_sub(standings.len());
        if unreadable > 0 {
            // Those that were traded are looked up singly. Their names are logged then.
            debug!(unreadable, records = page.count, "asset records of a page could not be read");
        }
        Ok(SweptPage { next, records: page.count, unreadable })
    }
}

/// Result of a page of the sweep.
pub(super) struct SweptPage {
    /// Position after the page.
    next: AssetSweep,
    /// Number of records.
    records: usize,
    /// Number of records that cannot be read.
    unreadable: usize,
}

impl SweptPage {
    /// Returns true if the sweep is complete.
    const fn is_last(&self) -> bool {
        self.next.began_at.is_none()
    }
}

/// Returns true if a sweep is under way, or may begin for the sake of new assets.
pub(super) fn may_sweep(sweep: &AssetSweep, now: DateTime<Utc>) -> bool {
    sweep.began_at.is_some() || has_rested(sweep, now)
}

/// Returns true if a sweep may begin for the sake of new assets. An end far in the future does not put it off: a
/// clock was ahead then.
fn has_rested(sweep: &AssetSweep, now: DateTime<Utc>) -> bool {
    let Some(finished_at) = sweep.finished_at else { return true };
    let took = sweep.swept_from.map_or(SWEEP_AGAIN, |began_at| finished_at - began_at);
    (now - finished_at).abs() > took.clamp(SWEEP_AGAIN, SWEEP_AGAIN_MAX)
}

/// Refusals of the sweep's tokens since a sweep was last complete. Their waits grow although the first pages of each
/// new sweep can be read.
#[derive(Default)]
struct Refusals {
    are_there: bool,
    waits: Retry,
}

impl Refusals {
    fn add(&mut self) -> &mut Retry {
        self.are_there = true;
        &mut self.waits
    }
}

/// Returns true if Horizon refuses the request itself.
const fn is_refusal(error: &PollError) -> bool {
    matches!(error, PollError::Horizon(HorizonError::Problem { status: 400, .. }))
}

/// Returns true if the sweep was given up.
const fn is_endless(error: &PollError) -> bool {
    matches!(error, PollError::Horizon(HorizonError::EndlessAssets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sweeps_for_new_assets_leave_as_much_time_as_they_took_but_ten_minutes_at_least() {
        let at = |minutes: i64| DateTime::from_timestamp(minutes * 60, 0);
        let rested = |took: i64, since: i64| {
            let sweep = AssetSweep {
                swept_from: at(10_000 - took),
                finished_at: at(10_000),
                ..AssetSweep::default()
            };
            has_rested(&sweep, at(10_000 + since).unwrap())
        };
        assert_eq!(
            [(1, 10), (1, 11), (60, 60), (60, 61)].map(|(took, since)| rested(took, since)),
            [false, true, false, true]
        );
        assert!(rested(5_000, 361) && rested(-5_000, 11), "a clock that jumped puts no sweep off for days");
        assert!(
            rested(1, -11) && !rested(1, -10),
            "the clock was ahead, and not only that of another replica"
        );
        assert!(has_rested(&AssetSweep::default(), at(1).unwrap()));
    }
}
