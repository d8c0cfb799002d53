//! The aggregator: committed trades into windows, windows into publications.

mod bulk;
mod market_state;
mod pace;
mod publishing;
mod readiness;
mod rebuilding;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, MessageResult, ResponseActFuture, Supervised,
    WrapFuture,
};
use chrono::{DateTime, Utc};
use tracing::{debug, info, warn};

pub use market_state::MarketState;
use market_state::Update;
use pace::Pace;
use readiness::Readiness;

use super::{
    envelope::{Envelope, TraceContext},
    messages::{AssetsCommitted, PublicationReady, RankMarkets, TradesCommitted},
    outage,
    port::Port,
    supervision::{
        messages::{Drain, Ping, Pulse},
        status::ChildStatus,
    },
};
use crate::{
    clock::SharedClock,
    db::{Database, DbError, marks::Mark},
    domain::{coverage::LedgerRange, instant::UnixSeconds},
    published::{FileMaker, Published, Vitals},
};

/// How often the database is asked whether it is ahead: for commits of others, and for messages that were lost.
const CATCH_UP_INTERVAL: Duration = Duration::from_millis(500);
/// How long everything may take to be read: longer than the server lets it.
const LOAD_TIMEOUT: Duration = Duration::from_secs(330);
/// How long what came after it may take.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(60);
/// How often the drain looks whether the last publication is there.
const DRAIN_POLL: Duration = Duration::from_millis(5);

/// What the aggregator works with.
#[derive(Clone)]
pub struct AggregatorDeps {
    /// What is committed.
    pub database: Database,
    /// Where publications go.
    pub published: Arc<Published>,
    /// Who makes files of them.
    pub writer: Port<PublicationReady>,
    /// What time it is.
    pub clock: SharedClock,
    /// When this run began: the process, or after a fall the incarnation.
    pub run_began: DateTime<Utc>,
    /// The shortest time between two publications.
    pub publish_interval: Duration,
    /// Its own line in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub struct Aggregator {
    deps: AggregatorDeps,
    state: State,
}

struct State {
    /// What publications are made of; none while it is being loaded.
    markets: Option<MarketState>,
    /// A read of the database is under way.
    reading: bool,
    /// A publication is being rendered.
    rendering: bool,
    /// Makes publications, and keeps of the last one what the next will need.
    maker: Arc<Mutex<FileMaker>>,
    /// When the last ones were begun.
    pace: Pace,
    /// The name of the last one.
    last: Option<(i64, UnixSeconds)>,
    /// Decides when the first publication may be made.
    readiness: Readiness,
    /// The trace of the last message that the next publication will be the doing of.
    cause: Option<TraceContext>,
    /// The drain has begun: what is committed now is published at once.
    draining: bool,
    /// The drain is over: the pool may be closed at any moment.
    drained: bool,
}

impl State {
    fn new(published: &Published) -> Self {
        Self {
            markets: None,
            reading: false,
            rendering: false,
            maker: Arc::default(),
            pace: Pace::default(),
            last: None,
            readiness: Readiness::new(Instant::now(), published.newest().is_some()),
            cause: None,
            draining: false,
            drained: false,
        }
    }
}

/// A read of the database.
enum Read {
    Whole(MarketState, Vec<LedgerRange>),
    /// What was known and still is, and what came after.
    After(Vec<Mark>, Option<Update>),
}

impl Aggregator {
    /// The actor, not yet started.
    #[must_use]
    pub fn new(deps: AggregatorDeps) -> Self {
        let state = State::new(&deps.published);
        Self { deps, state }
    }

    /// Reads what the database has and the windows have not, unless that is under way.
    fn catch_up(&mut self, ctx: &mut Context<Self>) {
        if self.state.drained || std::mem::replace(&mut self.state.reading, true) {
            return;
        }
        let known = self.state.markets.as_ref().map(|markets| (markets.seq(), markets.unverified()));
        let (database, status) = (self.deps.database.clone(), Arc::clone(&self.deps.status));
        let now = UnixSeconds::from(self.deps.clock.now());
        let read = async move {
            Ok(match known {
                None => {
                    let step = || status.advance();
                    let load = MarketState::load_in_steps(&database, now, &step);
                    let (markets, coverage) = database.within(LOAD_TIMEOUT, load).await?;
                    Read::Whole(markets, coverage)
                }
                Some((seq, known)) => {
                    let read = MarketState::read_after(&database, seq, &known, now);
                    let update = database.within(CATCH_UP_TIMEOUT, read).await?;
                    Read::After(known, update)
                }
            })
        };
        ctx.spawn(read.into_actor(self).map(|read, this, ctx| this.caught_up(read, ctx)));
    }

    fn caught_up(&mut self, read: Result<Read, DbError>, ctx: &mut Context<Self>) {
        self.state.reading = false;
        self.deps.status.advance();
        let now = self.deps.clock.now();
        match read {
            Err(DbError::Trimmed { .. }) => {
                info!("the batches in between are gone: loading everything anew");
                self.drop_markets();
            }
            Err(error @ DbError::Rewound { .. }) => {
                // Restored, or a standby that was behind took over: what is in memory was never committed there.
                warn!(%error, "loading everything anew");
                self.drop_markets();
            }
            // The pool may be closed by now; the supervisor tells of a drain that is not done in time.
            Err(_) if self.state.draining => return,
            Err(error) => {
                outage::database_failed(&self.deps.database, &error, "reading what was committed");
                Vitals::tell(&self.deps.published.vitals.database, false, "does not answer", now);
                return;
            }
            Ok(Read::Whole(markets, coverage)) => {
                info!(seq = markets.seq(), "the windows are loaded");
                self.deps.status.set_state("publishing");
                // Else the first trades of all may have come while the windows were loaded, and the assets that are known
                // may be others.
                let was_validated = markets.is_of_a_run_before(self.deps.run_began);
                self.state.readiness.loaded(markets.seq(), markets.has_trades(), was_validated);
                self.deps.published.vitals.coverage.store(Arc::new(coverage));
                self.state.markets = Some(markets);
                self.publish(ctx);
            }
            Ok(Read::After(known, update)) => {
                if let Some(markets) = &mut self.state.markets {
                    markets.verified(&known);
                }
                if let Some(update) = update {
                    self.state.reading = true; // until all of it is in
                    self.take_in(update, ctx);
                }
            }
        }
        if self.deps.database.is_over() {
            info!("the database can be read again");
        }
        Vitals::tell(&self.deps.published.vitals.database, true, "answers", now);
    }

    /// Drops the windows. The next [`Self::catch_up`] loads them from the database.
    pub(super) fn drop_markets(&mut self) {
        self.state.markets = None;
        self.state.readiness.reloading(self.deps.published.newest().is_some());
    }

    /// Tells the readiness how far the windows are.
    fn note_progress(&mut self) {
        if let Some(markets) = &self.state.markets {
            self.state.readiness.advanced(markets.seq(), markets.has_trades());
        }
    }
}

impl Aggregator {
    /// Takes in what was read, part by part. Messages and probes are handled in between.
    fn take_in(&mut self, mut update: Update, ctx: &mut Context<Self>) {
        self.deps.status.advance();
        let is_over = self.state.markets.as_mut().is_none_or(|markets| markets.update(&mut update));
        if !is_over {
            let next = tokio::task::yield_now().into_actor(self);
            ctx.spawn(next.map(|(), this, ctx| this.take_in(update, ctx)));
            return;
        }
        self.state.reading = false;
        self.deps.published.vitals.coverage.store(Arc::new(update.coverage().to_vec()));
        self.note_progress();
        self.publish_if_due(ctx);
    }
}

impl Actor for Aggregator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.deps.status.set_state("loading");
        self.catch_up(ctx);
        ctx.run_interval(CATCH_UP_INTERVAL, |this, ctx| {
            this.corrupt_if_armed();
            this.catch_up(ctx);
            this.publish_first(ctx);
        });
        ctx.run_interval(self.deps.publish_interval, |this, ctx| this.publish(ctx));
    }
}

impl Supervised for Aggregator {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.state = State::new(&self.deps.published);
        self.deps.run_began = self.deps.clock.now();
    }
}

impl Handler<Ping> for Aggregator {
    type Result = Pulse;

    fn handle(&mut self, _: Ping, _: &mut Context<Self>) -> Pulse {
        self.deps.status.pulse()
    }
}

impl Handler<Envelope<TradesCommitted>> for Aggregator {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<TradesCommitted>, ctx: &mut Context<Self>) {
        let handling = self.deps.status.begin(&envelope);
        let _in_trace = handling.span().enter();
        self.state.cause = Some(handling.trace());
        self.deps.status.advance();
        let followed =
            self.state.markets.as_mut().is_some_and(|markets| markets.follow(&envelope.body.batch));
        debug!(seq = envelope.body.batch.seq, followed, "a batch is heard of");
        if followed {
            self.note_progress();
            self.publish_if_due(ctx);
        } else {
            self.catch_up(ctx);
        }
    }
}

impl Handler<Envelope<AssetsCommitted>> for Aggregator {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<AssetsCommitted>, ctx: &mut Context<Self>) {
        let handling = self.deps.status.begin(&envelope);
        let _in_trace = handling.span().enter();
        self.state.cause = Some(handling.trace());
        let AssetsCommitted { all_upto, seq } = envelope.body;
        if let Some(markets) = &self.state.markets {
            self.state.readiness.assets_committed(all_upto, seq, markets.seq());
        }
        self.catch_up(ctx);
    }
}

impl Handler<Envelope<RankMarkets>> for Aggregator {
    type Result = MessageResult<Envelope<RankMarkets>>;

    fn handle(
        &mut self,
        envelope: Envelope<RankMarkets>,
        _: &mut Context<Self>,
    ) -> MessageResult<Envelope<RankMarkets>> {
        let _handling = self.deps.status.begin(&envelope);
        let now = UnixSeconds::from(self.deps.clock.now());
        MessageResult(self.state.markets.as_mut().map(|markets| Arc::new(markets.ranked_at(now))))
    }
}

impl Handler<Drain> for Aggregator {
    type Result = ResponseActFuture<Self, ()>;

    /// One last publication of everything that was committed, so that the files end with it.
    fn handle(&mut self, drain: Drain, ctx: &mut Context<Self>) -> Self::Result {
        self.state.draining = true;
        if !self.state.readiness.may_publish(Instant::now()) {
            self.state.drained = true;
            return Box::pin(async {}.into_actor(self));
        }
        self.catch_up(ctx);
        self.publish(ctx);
        let (database, published) = (self.deps.database.clone(), Arc::clone(&self.deps.published));
        let everything = async move {
            let Ok(committed) = database.current_seq().await else { return };
            while published.newest().is_none_or(|newest| newest.seq < committed) {
                actix_rt::time::sleep(DRAIN_POLL).await;
            }
        };
        let wait = async move {
            let _ = tokio::time::timeout(drain.within, everything).await;
        };
        Box::pin(wait.into_actor(self).map(|(), this, _| this.state.drained = true))
    }
}
