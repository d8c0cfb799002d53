//! The asset poller: looks up the assets that were seen in trades, and says which of them count. Only while this
//! replica leads.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler, Supervised, WrapFuture};
use futures_util::{StreamExt, stream};
use tokio::sync::Notify;
use tracing::{debug, info, warn};

use super::{
    envelope::{Envelope, TraceContext},
    leadership::Leadership,
    messages::{AssetsCommitted, AssetsSeen},
    port::Port,
    supervision::{
        messages::{Drain, Ping, Pulse},
        status::ChildStatus,
    },
};
use crate::{
    clock::SharedClock,
    db::{
        Database,
        assets::{AssetStanding, DueAsset},
    },
    domain::validity::{Standing, may_be_valid},
    horizon::{HorizonClient, HorizonError, retry::Retry, wire::AssetRecord},
};

/// How often it looks for assets to look up when nobody tells it.
const TICK: Duration = Duration::from_secs(1);
/// Assets looked up in one round.
const ROUND: i64 = 50;
/// Requests at a time.
const AT_ONCE: usize = 4;
/// What was looked up is looked up again after this time.
const CHECK_AGAIN: Duration = Duration::from_secs(6 * 3_600);
/// How long the aggregator may take to hear of it.
const AGGREGATOR_TIMEOUT: Duration = Duration::from_secs(5);

/// What the asset poller works with.
#[derive(Clone)]
pub struct AssetPollerDeps {
    /// Where assets are looked up.
    pub horizon: HorizonClient,
    /// Where they were seen, and where what was found goes.
    pub database: Database,
    /// Whether this replica may write.
    pub leadership: Leadership,
    /// Who learns that a round is done.
    pub aggregator: Port<AssetsCommitted>,
    /// What time it is.
    pub clock: SharedClock,
    /// Whether a stellar.toml link counts: everywhere but on testnet.
    pub links_count: bool,
    /// Its own line in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor. Its loop runs in its own context, so a panic in it ends this incarnation.
pub struct AssetPoller {
    deps: AssetPollerDeps,
    state: State,
}

#[derive(Clone, Default)]
struct State {
    /// Rounds and look-ups done.
    progress: Rc<Cell<u64>>,
    /// New assets came: do not wait for the tick.
    wake: Rc<Notify>,
    /// Begin nothing new.
    draining: Rc<Cell<bool>>,
}

impl State {
    fn advance(&self) {
        self.progress.set(self.progress.get().wrapping_add(1));
    }
}

impl AssetPoller {
    /// The actor, not yet started.
    #[must_use]
    pub fn new(deps: AssetPollerDeps) -> Self {
        Self { deps, state: State::default() }
    }
}

impl Actor for AssetPoller {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let (deps, state) = (self.deps.clone(), self.state.clone());
        ctx.spawn(poll(deps, state).into_actor(self));
    }
}

impl Supervised for AssetPoller {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.state = State::default();
    }
}

impl Handler<Ping> for AssetPoller {
    type Result = Pulse;

    fn handle(&mut self, _: Ping, _: &mut Context<Self>) -> Pulse {
        self.deps.status.pulse(self.state.progress.get())
    }
}

impl Handler<Drain> for AssetPoller {
    type Result = ();

    /// A look-up that is under way may end as it will: it writes in one transaction or not at all.
    fn handle(&mut self, _: Drain, _: &mut Context<Self>) {
        self.state.draining.set(true);
    }
}

impl Handler<Envelope<AssetsSeen>> for AssetPoller {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<AssetsSeen>, _: &mut Context<Self>) {
        let _handling = self.deps.status.begin(&envelope);
        self.state.wake.notify_one();
    }
}

async fn poll(deps: AssetPollerDeps, state: State) {
    loop {
        state.advance();
        let more = match deps.leadership.epoch() {
            Some(epoch) if !state.draining.get() => round(&deps, &state, epoch).await,
            _ => false,
        };
        if !more {
            let _ = tokio::time::timeout(TICK, state.wake.notified()).await;
        }
    }
}

/// Looks up what is due. Comes back with whether more is.
async fn round(deps: &AssetPollerDeps, state: &State, epoch: i64) -> bool {
    let due = match deps.database.due_assets(ROUND, deps.clock.now(), CHECK_AGAIN).await {
        Ok(due) => due,
        Err(error) => {
            warn!(%error, "the assets to look up cannot be read");
            return false;
        }
    };
    if due.is_empty() {
        deps.status.set_state("idle");
        tell(deps).await;
        return false;
    }
    deps.status.set_state("looking up");
    let full = i64::try_from(due.len()).is_ok_and(|count| count == ROUND);
    let standings: Vec<AssetStanding> = stream::iter(due)
        .map(|due| look_up(deps, state, due))
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    if standings.is_empty() {
        return false;
    }
    match deps.database.record_standings(epoch, &standings, deps.clock.now()).await {
        Ok(seq) => {
            debug!(looked_up = standings.len(), ?seq, "assets looked up");
            if !full {
                info!(
                    valid = standings.iter().filter(|standing| standing.is_valid).count(),
                    of = standings.len(),
                    "assets looked up"
                );
                tell(deps).await;
            }
            full
        }
        Err(error) => {
            warn!(%error, "what was found of assets could not be stored");
            false
        }
    }
}

async fn tell(deps: &AssetPollerDeps) {
    let told = deps.aggregator.call(&TraceContext::root(), AssetsCommitted, AGGREGATOR_TIMEOUT).await;
    if let Err(error) = told {
        debug!(%error, "the aggregator did not hear of assets");
    }
}

/// What `/assets` says of one asset; none if that cannot be told now.
async fn look_up(deps: &AssetPollerDeps, state: &State, due: DueAsset) -> Option<AssetStanding> {
    let found = match deps.horizon.asset(&due.asset).await {
        Ok(found) => found,
        Err(error) => {
            wait_after(state, &error).await;
            return None;
        }
    };
    state.advance();
    Some(standing(&due, found.as_ref(), deps.links_count))
}

/// A server that asks for patience gets it before this slot asks again.
async fn wait_after(state: &State, error: &HorizonError) {
    let wait = Retry::default().next_wait(error.retry_after());
    warn!(%error, wait_ms = wait.as_millis(), "an asset cannot be looked up now");
    let mut left = wait;
    while !left.is_zero() {
        let step = left.min(TICK);
        actix_rt::time::sleep(step).await;
        left = left.saturating_sub(step);
        state.advance();
    }
}

fn standing(due: &DueAsset, found: Option<&AssetRecord>, links_count: bool) -> AssetStanding {
    let Some(record) = found else {
        return AssetStanding { id: due.id, ..AssetStanding::default() }; // gone from Horizon: not valid
    };
    let supply = record.balances_authorized.stroops();
    let told = Standing {
        code: due.asset.code(),
        accounts: record.accounts_authorized,
        supply,
        toml_url: &record.toml_url,
    };
    AssetStanding {
        id: due.id,
        is_valid: may_be_valid(&told, links_count),
        num_accounts: i64::try_from(record.accounts_authorized).unwrap_or(i64::MAX),
        amount: supply,
        auth_required: record.auth_required,
        auth_revocable: record.auth_revocable,
        toml_url: record.toml_url.replace('\0', ""), // PostgreSQL's text cannot hold NUL
        anchor_asset_code: String::new(),
    }
}
