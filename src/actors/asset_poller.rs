//! The asset poller: what Horizon's `/assets` says of assets. Those of the busiest markets are looked up singly first;
//! then all are swept by schedule, and what is new in trades is looked up singly again. Only while this replica leads.

mod singles;
mod standing;
mod sweep;

use std::{sync::Arc, time::Duration};

use actix::{Context, Handler};
use tracing::{debug, warn};

use super::{
    envelope::{Envelope, TraceContext},
    leadership::Leadership,
    messages::{AssetsLookedUp, AssetsSeen},
    poll_error::PollError,
    port::Port,
    ranking::Ranking,
    supervision::status::ChildStatus,
    timetable::{Schedule, Timetable},
    worker::{Life, TICK, Work, Worker},
};
use crate::{
    clock::SharedClock,
    db::{Database, assets::AssetSweep},
    horizon::{HorizonClient, retry::Retry},
};

use singles::{First, SINGLES_MAX};

/// How often it looks for something to do when nobody tells it.
const REST: Duration = Duration::from_secs(5);
/// A sweep for the sake of new assets begins no sooner after the last one.
const SWEEP_AGAIN: chrono::TimeDelta = chrono::TimeDelta::minutes(10);
/// How long the next one may take to say that it heard.
const TOLD_TIMEOUT: Duration = Duration::from_secs(1);

/// What the asset poller works with.
#[derive(Clone)]
pub struct AssetPoll {
    /// Where assets are looked up.
    pub horizon: HorizonClient,
    /// Where they were seen, and where what was found goes.
    pub database: Database,
    /// Whether this replica may write.
    pub leadership: Leadership,
    /// Which markets are busiest.
    pub ranking: Ranking,
    /// Who learns that assets were looked up; nobody in a command that runs alone.
    pub toml_checker: Option<Port<AssetsLookedUp>>,
    /// What time it is.
    pub clock: SharedClock,
    /// When all assets are swept.
    pub schedule: Schedule,
    /// Whether a stellar.toml decides on validity: everywhere but on testnet.
    pub links_count: bool,
    /// Its own line in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub type AssetPoller = Worker<AssetPoll>;

impl Work for AssetPoll {
    async fn run(self, life: Life) {
        let mut timetable = Timetable::due_at_start(Arc::clone(&self.schedule));
        let mut first = First::Unknown;
        let mut retry = Retry::default();
        loop {
            life.advance();
            let Some(epoch) = self.leadership.epoch_within(TICK).await else { continue };
            match self.step(epoch, &mut timetable, &mut first, &life).await {
                Ok(Step::Idle) => {
                    retry.succeeded();
                    self.status.set_state("idle");
                    life.rest(REST).await;
                }
                Ok(Step::Done) => retry.succeeded(),
                Err(error) => {
                    let wait = retry.next_wait(error.retry_after());
                    warn!(%error, wait_ms = wait.as_millis(), "assets cannot be looked up now");
                    life.pause(wait).await;
                }
            }
        }
    }

    fn status(&self) -> &Arc<ChildStatus> {
        &self.status
    }
}

impl Handler<Envelope<AssetsSeen>> for AssetPoller {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<AssetsSeen>, _: &mut Context<Self>) {
        let _handling = self.work.status.begin(&envelope);
        self.life.wake();
    }
}

/// What a step came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Done,
    Idle,
}

impl AssetPoll {
    /// The most urgent thing: single look-ups while they are few, and a page of the sweep.
    async fn step(
        &self,
        epoch: i64,
        timetable: &mut Timetable,
        first: &mut First,
        life: &Life,
    ) -> Result<Step, PollError> {
        let singles = self.look_up_singly(epoch, first, life).await?;
        let now = self.clock.now();
        let mut sweep = self.database.asset_sweep().await?;
        let many_wait = singles.waiting > SINGLES_MAX
            && sweep.finished_at.is_none_or(|finished| now - finished > SWEEP_AGAIN);
        // A sweep that goes on after a restart is the one that is due at start.
        let is_due = timetable.take_due(now);
        if sweep.began_at.is_none() && (is_due || many_wait) {
            sweep = AssetSweep { token: None, began_at: Some(now), ..sweep };
        }
        if sweep.began_at.is_some() && (singles.looked_up == 0 || !matches!(first, First::Running(_))) {
            self.status.set_state("sweeping");
            let next = self.sweep_step(epoch, &sweep).await?;
            if next.began_at.is_none() {
                self.tell().await;
            }
            return Ok(Step::Done);
        }
        if singles.looked_up == 0 {
            self.tell().await;
            return Ok(Step::Idle);
        }
        Ok(Step::Done)
    }

    async fn tell(&self) {
        let Some(toml_checker) = &self.toml_checker else { return };
        let told = toml_checker.call(&TraceContext::root(), AssetsLookedUp, TOLD_TIMEOUT).await;
        if let Err(error) = told {
            debug!(%error, "the looked-up assets were not heard of");
        }
    }
}
