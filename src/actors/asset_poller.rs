//! The asset poller: what Horizon's `/assets` says of assets. Those of the busiest markets are looked up singly first;
//! then all are swept by schedule, and what is new in trades is looked up singly again. Only while this replica leads.

mod singles;
mod standing;
mod sweep;

use std::{sync::Arc, time::Duration};

use actix::{Context, Handler};
use tracing::debug;

use super::{
    envelope::{Envelope, TraceContext},
    leadership::Leadership,
    messages::{AssetsLookedUp, AssetsSeen},
    outage,
    poll_error::PollError,
    port::Port,
    ranking::Ranking,
    supervision::status::ChildStatus,
    timetable::Schedule,
    worker::{Work, WorkContext, Worker},
};
use crate::{
    clock::SharedClock,
    db::Database,
    horizon::{HorizonClient, retry::Retry},
};

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
    pub requires_toml: bool,
    /// Its own line in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub type AssetPoller = Worker<AssetPoll>;

impl Work for AssetPoll {
    async fn run(self, context: WorkContext) {
        // On a small budget both may wait for their turns for long: that is no standstill.
        let this = Self { horizon: self.horizon.while_waiting(context.advancing()), ..self };
        // Side by side: on a small budget a page of the sweep may have to wait, and a new asset must not wait with it.
        tokio::join!(this.look_up_forever(&context), this.sweep_forever(&context));
    }

    fn status(&self) -> &Arc<ChildStatus> {
        &self.status
    }
}

impl Handler<Envelope<AssetsSeen>> for AssetPoller {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<AssetsSeen>, _: &mut Context<Self>) {
        let _handling = self.work.status.begin(&envelope);
        self.context.wake();
    }
}

impl AssetPoll {
    /// After a failure: waits as long as it seems wise.
    async fn wait_after(&self, error: &PollError, retry: &mut Retry, context: &WorkContext) {
        let wait = retry.next_wait(error.retry_after());
        self.status.fails(error);
        outage::poll_failed(&self.horizon, &self.database, error, "looking assets up", wait);
        context.pause(wait).await;
    }

    /// Tells that assets were looked up, all of the busiest markets of the trades up to a batch.
    async fn tell(&self, all_upto: i64) {
        let Some(toml_checker) = &self.toml_checker else { return };
        let told = toml_checker.call(&TraceContext::root(), AssetsLookedUp { all_upto }, TOLD_TIMEOUT).await;
        if let Err(error) = told {
            debug!(%error, "the looked-up assets were not heard of");
        }
    }
}
