//! The lease keeper: takes, renews and releases the lease that fences every write.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler, ResponseActFuture, Supervised, WrapFuture};
use tokio::sync::Mutex;
use tracing::{info, warn};

use super::{
    leadership::{Leadership, Lease, LeaseTerms},
    outage,
    services::Services,
    supervision::{
        messages::{Drain, Ping, Pulse},
        status::ChildStatus,
    },
    wiring::{DaemonActor, Wiring},
};
use crate::{
    clock::SharedClock,
    db::{Database, DbError},
    published::{Published, Vitals},
    shutdown,
};

/// Name of the requests for the lease in the log.
const TAKING: &str = "taking or renewing the lease";
/// Time limit for releasing the lease.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(500);

/// Dependencies of the lease keeper.
#[derive(Clone)]
pub struct LeaseKeeperDeps {
    /// Database with the lease row.
    pub database: Database,
    /// The lease as all writers see it.
    pub leadership: Leadership,
    /// Duration of the lease and the intervals of its renewal.
    pub terms: LeaseTerms,
    /// Id of this process in the lease row. A new one at each start.
    pub replica_id: String,
    /// Clock for the lease's end.
    pub clock: SharedClock,
    /// Vitals: who leads, and whether the database answers.
    pub published: Arc<Published>,
    /// Status in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor. It only keeps the lease; the writers check it themselves.
pub struct LeaseKeeper {
    deps: LeaseKeeperDeps,
    state: State,
}

/// State that the loop and the handler of the drain share. A restart begins with a new one.
#[derive(Clone, Default)]
struct State {
    /// Epoch of the held lease, as far as known; released in the drain.
    epoch: Rc<Cell<Option<i64>>>,
    /// True once the drain began: no lease is taken any more.
    is_draining: Rc<Cell<bool>>,
    /// Held while the lease is asked for. The database may have granted it before its answer is here.
    asking: Rc<Mutex<()>>,
}

impl DaemonActor for LeaseKeeper {
    const NAME: &'static str = "lease_keeper";
    const DRAIN_PHASE: usize = shutdown::LEASE;

    fn make(wiring: &Wiring, status: Arc<ChildStatus>) -> Self {
        Self::new(&wiring.services, status)
    }
}

impl LeaseKeeper {
    /// Creates the actor with a new replica id. It is not started yet.
    #[must_use]
    pub fn new(services: &Services, status: Arc<ChildStatus>) -> Self {
        // A new id at each start, so that the lease of an earlier run never looks like this one's.
        let replica_id = format!("{:016x}", rand::random::<u64>());
        services.published.vitals.replica_id.store(Some(Arc::new(replica_id.clone())));
        let deps = LeaseKeeperDeps {
            database: services.database.clone(),
            leadership: services.leadership.clone(),
            terms: services.lease_terms,
            replica_id,
            clock: Arc::clone(&services.clock),
            published: Arc::clone(&services.published),
            status,
        };
        Self { deps, state: State::default() }
    }
}

impl Actor for LeaseKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let (deps, state) = (self.deps.clone(), self.state.clone());
        ctx.spawn(keep(deps, state).into_actor(self));
    }
}

impl Supervised for LeaseKeeper {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.state = State::default();
    }
}

impl Handler<Ping> for LeaseKeeper {
    type Result = Pulse;

    fn handle(&mut self, _: Ping, _: &mut Context<Self>) -> Pulse {
        self.deps.status.pulse()
    }
}

impl Handler<Drain> for LeaseKeeper {
    type Result = ResponseActFuture<Self, ()>;

    /// Releases the lease. All writers have stopped by now, so another replica may start at once.
    fn handle(&mut self, _: Drain, _: &mut Context<Self>) -> Self::Result {
        let (deps, state) = (self.deps.clone(), self.state.clone());
        let drain = async move {
            state.is_draining.set(true);
            deps.leadership.set(None);
            let release = async {
                let _asking = state.asking.lock().await; // a lease that is being granted is released too
                release(&deps, &state).await
            };
            if !matches!(tokio::time::timeout(RELEASE_TIMEOUT, release).await, Ok(Ok(()))) {
                warn!("lease could not be released, the next start waits until it expires");
            }
        };
        Box::pin(drain.into_actor(self))
    }
}

async fn release(deps: &LeaseKeeperDeps, state: &State) -> Result<(), DbError> {
    match state.epoch.take() {
        Some(epoch) => deps.database.release_lease(epoch).await,
        None => Ok(()),
    }
}

async fn keep(deps: LeaseKeeperDeps, state: State) {
    loop {
        let asking = state.asking.lock().await;
        if !state.is_draining.get() {
            keep_once(&deps, &state).await;
        }
        drop(asking);
        deps.status.advance();
        let leads = state.epoch.get().is_some();
        let wait = if leads { deps.terms.renew_every } else { deps.terms.ask_every };
        actix_rt::time::sleep(wait).await;
    }
}

async fn keep_once(deps: &LeaseKeeperDeps, state: &State) {
    let began = deps.clock.monotonic();
    let LeaseTerms { ttl, margin, .. } = deps.terms;
    let asked = async {
        match state.epoch.get() {
            Some(epoch) => deps.database.renew_lease(epoch, ttl).await.map(|held| held.then_some(epoch)),
            None => deps.database.take_lease(&deps.replica_id, ttl).await,
        }
    };
    // A hanging server counts as failed after the lease's own duration: its answer would be worth nothing by then.
    match deps.database.within(ttl, asked).await {
        Ok(epoch) => {
            // While reads fail, the outage lasts. The aggregator ends it.
            let reads_work = deps.published.vitals.unreadable.load().is_none();
            if deps.database.record_write(TAKING, reads_work) {
                info!("database answers again");
            }
            log_change(state.epoch.get(), epoch);
            state.epoch.set(epoch);
            if state.is_draining.get() {
                // The drain did not wait for this answer. If this fails, the lease expires by itself.
                let _ = release(deps, state).await;
                return;
            }
            // Counted from before the request: the database may have set the end at any moment since.
            let until = began + ttl.saturating_sub(margin);
            deps.leadership.set(epoch.map(|epoch| Lease { epoch, until }));
            deps.status.set_state(if epoch.is_some() { "leading" } else { "following" });
            let now = deps.clock.now();
            Vitals::report(&deps.published.vitals.database, true, "answers", now);
            if epoch.is_none() {
                forget_the_leaders_work(&deps.published.vitals);
            }
            let detail = if epoch.is_some() { "this replica ingests" } else { "another replica ingests" };
            Vitals::report(&deps.published.vitals.leader, epoch.is_some(), detail, now);
        }
        Err(error) => record_failure(deps, &error).await,
    }
}

/// Removes what only a leader knows. Another replica does that work now. Repeated with each answer, since a write or a
/// read under way may report once more.
fn forget_the_leaders_work(vitals: &Vitals) {
    vitals.forget_writes();
    vitals.backfill.store(None);
    vitals.unread_history.store(None);
}

/// Records that the state of the lease is unknown. The lease runs out by our own clock, and the next attempt renews its
/// epoch.
async fn record_failure(deps: &LeaseKeeperDeps, error: &DbError) {
    outage::database_failed(&deps.database, error, TAKING);
    let (database, leader) = if !deps.database.is_read_only() {
        ((false, "does not answer"), "unknown: the database does not answer")
    } else if deps.database.within(deps.terms.ttl, deps.database.is_led()).await.unwrap_or_default() {
        // A standby, whose primary has a leader.
        ((true, "answers, read-only"), "another replica ingests")
    } else {
        ((false, "is read-only: no trade can be stored"), "unknown: the database is read-only")
    };
    let now = deps.clock.now();
    Vitals::report(&deps.published.vitals.database, database.0, database.1, now);
    if deps.leadership.epoch().is_none() {
        Vitals::report(&deps.published.vitals.leader, false, leader, now);
    }
}

fn log_change(before: Option<i64>, after: Option<i64>) {
    match (before, after) {
        (None, Some(epoch)) => info!(epoch, "this replica leads"),
        (Some(epoch), None) => warn!(epoch, "lease lost, this replica stops ingesting"),
        _ => {}
    }
}
