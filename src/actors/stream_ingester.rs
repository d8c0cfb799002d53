//! The stream ingester: Horizon's live trades, into the database, told to the aggregator. Only while this replica
//! leads.

mod collector;
mod session;

use std::{
    cell::Cell,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, AsyncContext, Context, Handler, ResponseActFuture, Supervised, WrapFuture};
use tracing::{info, warn};

use super::{
    leadership::Leadership,
    messages::{AssetsSeen, TradesCommitted},
    port::Port,
    supervision::{
        messages::{Drain, Ping, Pulse},
        status::ChildStatus,
    },
};
use crate::{
    clock::SharedClock,
    db::{Database, DbError},
    horizon::{HorizonClient, HorizonError, retry::Retry},
    published::{Published, Vitals},
};

use session::Session;

/// How often a follower looks whether it leads now, and a waiting leader says that it lives.
const TICK: Duration = Duration::from_secs(1);
/// How long the last batch may take in the drain.
const DRAIN_POLL: Duration = Duration::from_millis(5);

/// What the stream ingester works with.
#[derive(Clone)]
pub struct StreamIngesterDeps {
    /// Where trades come from.
    pub horizon: HorizonClient,
    /// Where they go.
    pub database: Database,
    /// Whether this replica may write.
    pub leadership: Leadership,
    /// Who learns of every batch.
    pub aggregator: Port<TradesCommitted>,
    /// Who learns of assets that were never seen before.
    pub asset_poller: Port<AssetsSeen>,
    /// What time it is.
    pub clock: SharedClock,
    /// Where readers see how the stream is.
    pub published: Arc<Published>,
    /// Which network's trades these must be.
    pub network_passphrase: String,
    /// Trades older than this are passed over.
    pub retention_days: i64,
    /// Its own line in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor. Its loop runs in its own context, so a panic in it ends this incarnation.
pub struct StreamIngester {
    deps: StreamIngesterDeps,
    state: State,
}

#[derive(Clone, Default)]
struct State {
    /// Things heard, committed and waited for.
    progress: Rc<Cell<u64>>,
    /// Commit what you have and begin nothing new.
    draining: Rc<Cell<bool>>,
    /// The loop has ended after `draining`.
    drained: Rc<Cell<bool>>,
    /// Until when the last look at Horizon's root is good enough; none after anything that was not a normal end.
    /// A stream ends every few seconds, and each look is a request of the budget.
    root_good_until: Rc<Cell<Option<Instant>>>,
    /// The newest ledger that Horizon's root told of.
    newest_ledger: Rc<Cell<u32>>,
}

impl State {
    fn advance(&self) {
        self.progress.set(self.progress.get().wrapping_add(1));
    }
}

/// Why a session with Horizon ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    /// As it should: reconnect at once.
    #[error("the stream came to its end")]
    Normally,
    /// The stream came to its end at once, without a record.
    #[error("the stream ended before anything came")]
    Empty,
    #[error(transparent)]
    Horizon(#[from] HorizonError),
    #[error(transparent)]
    Database(#[from] DbError),
    /// Horizon serves another network.
    #[error("horizon serves another network: {0:?}")]
    WrongNetwork(String),
    /// This replica leads no more.
    #[error("this replica does not lead any more")]
    NotLeading,
}

impl StreamIngester {
    /// The actor, not yet started.
    #[must_use]
    pub fn new(deps: StreamIngesterDeps) -> Self {
        Self { deps, state: State::default() }
    }
}

impl Actor for StreamIngester {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let (deps, state) = (self.deps.clone(), self.state.clone());
        ctx.spawn(ingest(deps, state).into_actor(self));
    }
}

impl Supervised for StreamIngester {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.state = State::default();
    }
}

impl Handler<Ping> for StreamIngester {
    type Result = Pulse;

    fn handle(&mut self, _: Ping, _: &mut Context<Self>) -> Pulse {
        self.deps.status.pulse(self.state.progress.get())
    }
}

impl Handler<Drain> for StreamIngester {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, drain: Drain, _: &mut Context<Self>) -> Self::Result {
        let state = self.state.clone();
        state.draining.set(true);
        let wait = async move {
            let ended = async {
                while !state.drained.get() {
                    actix_rt::time::sleep(DRAIN_POLL).await;
                }
            };
            let _ = tokio::time::timeout(drain.within, ended).await;
        };
        Box::pin(wait.into_actor(self))
    }
}

/// Session after session, with waits between them that fit how each ended.
async fn ingest(deps: StreamIngesterDeps, state: State) {
    let mut retry = Retry::default();
    while !state.draining.get() {
        state.advance();
        let Some(_) = deps.leadership.epoch_within(TICK).await else {
            deps.status.set_state("following");
            continue;
        };
        let mut session = Session::new(&deps, &state);
        let ended = session.run().await;
        if session.heard_records() {
            retry.succeeded();
        }
        if !matches!(ended, Ended::Normally) {
            state.root_good_until.set(None);
        }
        if let Some(wait) = after(&deps, &ended, &mut retry) {
            pause(&state, wait).await;
        }
    }
    state.drained.set(true);
}

/// Tells how a session ended, and how long to wait before the next.
fn after(deps: &StreamIngesterDeps, ended: &Ended, retry: &mut Retry) -> Option<Duration> {
    let reason = match ended {
        Ended::Normally => "end",
        Ended::Empty => "empty",
        Ended::Horizon(error) => error.kind(),
        Ended::Database(_) => "database",
        Ended::WrongNetwork(_) => "wrong_network",
        Ended::NotLeading => "not_leading",
    };
    metrics::counter!("ticker_stream_sessions_total", "end" => reason).increment(1);
    let now = deps.clock.now();
    match ended {
        Ended::Normally => None,
        Ended::Empty => Some(retry.next_wait(None)),
        Ended::NotLeading => {
            info!("this replica stops ingesting");
            None
        }
        Ended::Database(DbError::CursorMoved { .. } | DbError::LeaseLost) => {
            warn!(%ended, "another writer was here: reading the cursor anew");
            None
        }
        Ended::Database(error) => {
            warn!(%error, "trades cannot be stored");
            Vitals::tell(&deps.published.vitals.database, false, "does not take trades", now);
            Some(retry.next_wait(None))
        }
        Ended::Horizon(error) => {
            let wait = retry.next_wait(error.retry_after());
            warn!(%error, wait_ms = wait.as_millis(), "the stream of trades is interrupted");
            Vitals::tell(&deps.published.vitals.stream, false, reason, now);
            Some(wait)
        }
        Ended::WrongNetwork(told) => {
            tracing::error!(?told, "horizon serves another network: nothing is stored");
            Vitals::tell(&deps.published.vitals.stream, false, "horizon serves another network", now);
            Some(retry.next_wait(None))
        }
    }
}

/// Waits, and says every second that it lives.
async fn pause(state: &State, wait: Duration) {
    let mut left = wait;
    while !left.is_zero() && !state.draining.get() {
        let step = left.min(TICK);
        actix_rt::time::sleep(step).await;
        left = left.saturating_sub(step);
        state.advance();
    }
}
