//! The asset poller: looks assets up at Horizon. First those of the busiest markets, one by one; then all assets in
//! sweeps by schedule, and new ones one by one. It works while this replica leads.

mod listing;
mod progress;
mod singles;
mod standing;
mod sweep;
mod unknown_once;
mod witnesses;

use std::{rc::Rc, sync::Arc, time::Duration};

use actix::{Context, Handler};
use tracing::debug;

use super::{
    envelope::Envelope,
    joint_health::JointHealth,
    leadership::Leadership,
    messages::{AssetsLookedUp, AssetsSeen},
    outage,
    poll_error::PollError,
    port::Port,
    ranking::Ranking,
    services::{self, Services},
    supervision::status::ChildStatus,
    timetable::Schedule,
    trace::context::TraceContext,
    wiring::{DaemonActor, Wiring},
    worker::{Work, WorkContext, Worker},
};
use crate::{
    clock::SharedClock, db::Database, horizon::HorizonClient, outbound::retry::Retry, published::Part,
    shutdown,
};

use listing::Listing;
use progress::SweepProgress;

/// Parts of the work, for its health: look-ups of single assets, the sweep, and the form of Horizon's records.
mod part {
    pub(super) const LOOK_UPS: &str = "look-ups";
    pub(super) const SWEEP: &str = "sweep";
    pub(super) const RECORDS: &str = "records";
}

/// Detail of the check while all parts work.
const WORKS: &str = "assets are looked up";
/// Time limit for the TOML checker to acknowledge a message.
const TOML_CHECKER_TIMEOUT: Duration = Duration::from_secs(1);

/// Dependencies of the asset poller.
#[derive(Clone)]
pub struct AssetPoll {
    /// Source of assets.
    pub horizon: HorizonClient,
    /// Database with the traded assets; it stores the results.
    pub database: Database,
    /// The lease under which it writes.
    pub leadership: Leadership,
    /// Ranking of the markets.
    pub ranking: Ranking,
    /// Actor to notify of look-ups; none in a command that runs alone.
    pub toml_checker: Option<Port<AssetsLookedUp>>,
    /// Source of the current time.
    pub clock: SharedClock,
    /// Schedule of the sweeps.
    pub schedule: Schedule,
    /// True if validity depends on a stellar.toml: on every network except testnet.
    pub requires_toml: bool,
    /// Status in `/actors.json`.
    pub status: Arc<ChildStatus>,
    /// Evidence that Horizon lists assets.
    listing: Rc<Listing>,
    /// Progress of the sweep.
    progress: Rc<SweepProgress>,
}

/// The actor.
pub type AssetPoller = Worker<AssetPoll>;

impl DaemonActor for AssetPoller {
    const NAME: &'static str = "asset_poller";
    const DRAIN_PHASE: usize = shutdown::SOURCES;
    const PART: Option<Part> = Some(Part::of_leader("assets"));

    fn make(wiring: &Wiring, status: Arc<ChildStatus>) -> Self {
        let ranking = Ranking::of(&wiring.receivers, Self::NAME);
        let toml_checker = wiring.receivers.assets_looked_up.port(Self::NAME);
        Worker::new(AssetPoll::new(&wiring.services, ranking, Some(toml_checker), status))
    }
}

impl Work for AssetPoll {
    async fn run(self, context: WorkContext) {
        // Look-ups succeed whenever nothing is due. That must not hide a sweep that fails.
        let health = JointHealth::new(&self.status);
        // Concurrently: a new asset must not wait behind a page of the sweep.
        tokio::join!(self.look_up_forever(&context, &health), self.sweep_forever(&context, &health));
    }

    fn status(&self) -> &Arc<ChildStatus> {
        &self.status
    }
}

impl Handler<Envelope<AssetsSeen>> for AssetPoller {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<AssetsSeen>, _: &mut Context<Self>) {
        let handling = self.work.status.begin(&envelope);
        self.context.wake(handling.trace());
    }
}

impl AssetPoll {
    /// Creates the work. A command that runs alone has no TOML checker to notify.
    #[must_use]
    pub fn new(
        services: &Services,
        ranking: Ranking,
        toml_checker: Option<Port<AssetsLookedUp>>,
        status: Arc<ChildStatus>,
    ) -> Self {
        Self {
            horizon: services.horizon(&status),
            database: services.database.clone(),
            leadership: services.leadership.clone(),
            ranking,
            toml_checker,
            clock: Arc::clone(&services.clock),
            schedule: services::schedule(&services.config.assets_schedule),
            requires_toml: services.requires_toml(),
            status,
            listing: Rc::new(Listing::new(services.timings.assets.empty)),
            progress: Rc::new(SweepProgress::new(services.timings.assets.stalled)),
        }
    }

    /// Records the failure of a part and waits before its next attempt.
    async fn wait_after(
        &self,
        error: &PollError,
        part: &'static str,
        health: &JointHealth,
        retry: &mut Retry,
        context: &WorkContext,
    ) {
        let wait = retry.next_wait(error.retry_after());
        if !error.is_take_over() {
            health.fails(part, error);
        }
        outage::poll_failed(&self.horizon, &self.database, error, "looking assets up", wait);
        context.pause(wait).await;
    }

    /// Notifies the TOML checker that all assets of the busiest markets up to a batch were looked up. With 0, only some
    /// were.
    async fn notify(&self, all_upto: i64, cause: &TraceContext) {
        let Some(toml_checker) = &self.toml_checker else { return };
        let message = AssetsLookedUp { all_upto };
        let sent = toml_checker.call(Some(cause), message, TOML_CHECKER_TIMEOUT).await;
        if let Err(error) = sent {
            debug!(%error, "TOML checker did not confirm looked-up assets");
        }
    }
}
