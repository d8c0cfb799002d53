//! The lease keeper: takes, renews and gives back the lease that orders every write.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler, ResponseActFuture, Supervised, WrapFuture};
use tracing::{info, warn};

use super::{
    leadership::{Leadership, Lease, LeaseTerms},
    outage,
    supervision::{
        messages::{Drain, Ping, Pulse},
        status::ChildStatus,
    },
};
use crate::{
    clock::SharedClock,
    db::{Database, DbError},
    published::{Published, Vitals},
};

/// How long giving it back may take.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(500);

/// What the lease keeper works with.
#[derive(Clone)]
pub struct LeaseKeeperDeps {
    /// Where the lease row is.
    pub database: Database,
    /// Where all writers look.
    pub leadership: Leadership,
    /// How long it lasts, how often it is renewed and asked for.
    pub terms: LeaseTerms,
    /// Who this process is in the lease row; another one each start.
    pub replica_id: String,
    /// For the lease's end by our own clock.
    pub clock: SharedClock,
    /// Where readers see who leads and how the database is.
    pub published: Arc<Published>,
    /// Its own line in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor. It leads or follows; the writers only look.
pub struct LeaseKeeper {
    deps: LeaseKeeperDeps,
    state: State,
}

#[derive(Clone, Default)]
struct State {
    /// The epoch that we hold, as far as we know; given back in the drain.
    epoch: Rc<Cell<Option<i64>>>,
    /// The process is going: take no lease any more.
    draining: Rc<Cell<bool>>,
}

impl LeaseKeeper {
    /// The actor, not yet started.
    #[must_use]
    pub fn new(deps: LeaseKeeperDeps) -> Self {
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

    /// Every writer has stopped by now, so the next replica may begin at once.
    fn handle(&mut self, _: Drain, _: &mut Context<Self>) -> Self::Result {
        let (deps, state) = (self.deps.clone(), self.state.clone());
        let release = async move {
            state.draining.set(true);
            deps.leadership.set(None);
            if let Some(epoch) = state.epoch.take() {
                let released =
                    tokio::time::timeout(RELEASE_TIMEOUT, deps.database.release_lease(epoch)).await;
                if !matches!(released, Ok(Ok(()))) {
                    warn!("the lease could not be given back: the next start waits until it ends");
                }
            }
        };
        Box::pin(release.into_actor(self))
    }
}

async fn keep(deps: LeaseKeeperDeps, state: State) {
    loop {
        if !state.draining.get() {
            keep_once(&deps, &state).await;
        }
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
    // A server that hangs is one that does not answer; after the lease's own time its answer is worth nothing.
    match deps.database.within(ttl, asked).await {
        Ok(epoch) => {
            if deps.database.is_over() {
                info!("the database answers again");
            }
            tell_change(state.epoch.get(), epoch);
            state.epoch.set(epoch);
            let until = began + ttl.saturating_sub(margin);
            deps.leadership.set(epoch.map(|epoch| Lease { epoch, until }));
            deps.status.set_state(if epoch.is_some() { "leading" } else { "following" });
            let now = deps.clock.now();
            Vitals::tell(&deps.published.vitals.database, true, "answers", now);
            let detail = if epoch.is_some() { "this replica ingests" } else { "another replica ingests" };
            Vitals::tell(&deps.published.vitals.leader, epoch.is_some(), detail, now);
        }
        Err(error) => not_answered(deps, &error),
    }
}

/// Nothing is known of the lease: it runs out by our own clock, and is asked for again with its epoch.
fn not_answered(deps: &LeaseKeeperDeps, error: &DbError) {
    outage::database_failed(&deps.database, error, "taking or renewing the lease");
    let now = deps.clock.now();
    Vitals::tell(&deps.published.vitals.database, false, "does not answer", now);
    if deps.leadership.epoch().is_none() {
        Vitals::tell(&deps.published.vitals.leader, false, "unknown: the database does not answer", now);
    }
}

fn tell_change(before: Option<i64>, after: Option<i64>) {
    match (before, after) {
        (None, Some(epoch)) => info!(epoch, "this replica leads"),
        (Some(epoch), None) => warn!(epoch, "the lease was lost: this replica stops ingesting"),
        _ => {}
    }
}
