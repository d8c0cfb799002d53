//! The lease keeper: takes, renews and releases the lease that fences every write. It also finds out that the database
//! is not the one of the start any more.

mod source;

use std::{
    cell::Cell,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use actix::{Actor, AsyncContext, Context, Handler, ResponseActFuture, Supervised, WrapFuture};
use tokio::sync::Mutex;
use tracing::{info, warn};

use source::{Looks, is_blind};

use super::{
    leadership::{Leadership, Lease, LeaseTerms},
    outage,
    services::Services,
    supervision::{
        messages::{Drain, Ping, Pulse},
        status::ChildStatus,
    },
    unfit::{UnfitError, UnfitReport},
    wiring::{DaemonActor, Wiring},
};
use crate::{
    clock::SharedClock,
    db::{Database, DbError, fault::Fault},
    published::{Published, Vitals},
    shutdown,
};

/// Name of the requests for the lease in the log.
const TAKING: &str = "taking or renewing the lease";
/// Detail of a database that answers.
const ANSWERS: &str = "answers";
/// Detail of the leadership of another replica.
const ANOTHER_INGESTS: &str = "another replica ingests";
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
    /// Report to the daemon that it must end.
    pub unfit: UnfitReport,
    /// Parts of the client of the source of new trades.
    services: Services,
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
    /// Time at which this lease was granted; none without one.
    led_since: Rc<Cell<Option<Instant>>>,
    /// Time since which each answer shows that the database is not the one of the start; none if it is.
    unfit_since: Rc<Cell<Option<Instant>>>,
    /// Looks at the source of new trades while another replica leads.
    looks: Looks,
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
            terms: services.timings.lease,
            replica_id,
            clock: Arc::clone(&services.clock),
            published: Arc::clone(&services.published),
            unfit: services.unfit.clone(),
            services: services.clone(),
            status,
        };
        Self { deps, state: State::default() }
    }
}

impl Actor for LeaseKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let (deps, state) = (self.deps.clone(), self.state.clone());
        let looks = state.looks.clone().keep(deps.services.clone(), Arc::clone(&deps.status));
        ctx.spawn(looks.into_actor(self));
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
    // A hanging server counts as failed after the lease's own duration: its answer would be worth nothing by then.
    match deps.database.within(ttl, ask(deps, state)).await {
        Ok(epoch) => {
            // While reads fail, the outage lasts. The aggregator ends it.
            let reads_work = deps.published.vitals.database.unreadable.load().is_none();
            if deps.database.record_write(TAKING, reads_work) {
                info!("database answers again");
            }
            log_change(state.epoch.get(), epoch);
            if state.epoch.replace(epoch) != epoch {
                state.led_since.set(epoch.map(|_| began));
            }
            state.unfit_since.set(None);
            if state.is_draining.get() {
                // The drain did not wait for this answer. If this fails, the lease expires by itself.
                let _ = release(deps, state).await;
                return;
            }
            // Counted from before the request: the database may have set the end at any moment since.
            let until = began + ttl.saturating_sub(margin);
            deps.leadership.set(epoch.map(|epoch| Lease { epoch, until }));
            report_answer(deps, epoch.is_some());
        }
        Err(error) => {
            end_if_unfit(deps, state, &error);
            record_failure(deps, &error).await;
        }
    }
}

/// Renews the lease, or asks for it. Returns its epoch, or none if another replica leads.
async fn ask(deps: &LeaseKeeperDeps, state: &State) -> Result<Option<i64>, DbError> {
    let LeaseKeeperDeps { database, terms: LeaseTerms { ttl, blind_after, .. }, replica_id, .. } = deps;
    let looks = &state.looks;
    if let Some(epoch) = state.epoch.get() {
        looks.leader_is_blind.set(false);
        let now = deps.clock.monotonic();
        let led_for =
            state.led_since.get().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let is_held = if is_blind(&deps.published.vitals, led_for, *blind_after, deps.clock.now()) {
            database.renew_lease_as_blind(epoch, *ttl).await?
        } else {
            database.renew_lease(epoch, *ttl).await?
        };
        return Ok(is_held.then_some(epoch));
    }
    if looks.permit_take_over()
        && let Some(epoch) = database.take_lease_from_blind(replica_id, *ttl).await?
    {
        info!(epoch, "taking over from a replica that cannot read new trades");
        return Ok(Some(epoch));
    }
    let epoch = database.take_lease(replica_id, *ttl).await?;
    looks.leader_is_blind.set(epoch.is_none() && database.is_led_by_blind().await?);
    Ok(epoch)
}

/// Reports an answer in the vitals.
fn report_answer(deps: &LeaseKeeperDeps, leads: bool) {
    let (vitals, now) = (&deps.published.vitals, deps.clock.now());
    deps.status.set_state(if leads { "leading" } else { "following" });
    vitals.database.answers.succeeds(ANSWERS, now);
    vitals.database.unleased.clear();
    vitals.another_leads.store(!leads, Ordering::Relaxed);
    if !leads {
        forget_the_leaders_work(vitals);
    }
    if leads {
        vitals.leader.succeeds("this replica ingests", now);
    } else {
        vitals.leader.fails(ANOTHER_INGESTS, now);
    }
}

/// Makes the daemon end if all answers for some time show that the database is not the one of the start. This process
/// would never create its tables, and must not mix two networks.
fn end_if_unfit(deps: &LeaseKeeperDeps, state: &State, error: &DbError) {
    let Some(unfit) = UnfitError::shown_by(error) else {
        state.unfit_since.set(None);
        return;
    };
    let now = deps.clock.monotonic();
    let since = state.unfit_since.get().unwrap_or(now);
    state.unfit_since.set(Some(since));
    if now.saturating_duration_since(since) >= deps.terms.unfit_after {
        deps.unfit.report(unfit);
    }
}

/// Removes what only a leader knows. Another replica does that work now. Repeated with each answer, since a write or a
/// read under way may report once more.
fn forget_the_leaders_work(vitals: &Vitals) {
    vitals.database.forget_writes();
    vitals.backfill.store(None);
    vitals.unread_history.store(None);
}

/// Records that the state of the lease is unknown. The lease runs out by our own clock, and the next attempt renews its
/// epoch.
async fn record_failure(deps: &LeaseKeeperDeps, error: &DbError) {
    outage::database_failed(&deps.database, error, TAKING);
    let (vitals, now, fault) = (&deps.published.vitals, deps.clock.now(), error.fault());
    let mut leader = format!("unknown: the database {}", fault.detail());
    // Without a connection nothing was asked.
    let is_of_one_call = fault.is_of_one_call() && !matches!(error, DbError::Pool { .. });
    if !is_of_one_call {
        vitals.database.unleased.clear(); // of an earlier call
    }
    if is_of_one_call {
        vitals.database.answers.succeeds(ANSWERS, now);
        vitals.database.unleased.fails(fault.detail(), now);
    } else if fault == Fault::ReadOnly && is_led(deps).await {
        // A standby, whose primary has a leader.
        vitals.database.answers.succeeds("answers, read-only", now);
        ANOTHER_INGESTS.clone_into(&mut leader);
        // Its row may still name this replica.
        if deps.leadership.epoch().is_none() {
            vitals.another_leads.store(true, Ordering::Relaxed);
        }
    } else {
        vitals.database.answers.fails(fault.detail(), now);
    }
    if deps.leadership.epoch().is_none() {
        vitals.leader.fails(leader, now);
    }
}

/// Returns true if the database shows a leader.
async fn is_led(deps: &LeaseKeeperDeps) -> bool {
    deps.database.within(deps.terms.ttl, deps.database.is_led()).await.unwrap_or_default()
}

fn log_change(before: Option<i64>, after: Option<i64>) {
    match (before, after) {
        (None, Some(epoch)) => info!(epoch, "this replica leads"),
        (Some(epoch), None) => warn!(epoch, "lease lost, this replica stops ingesting"),
        _ => {}
    }
}
