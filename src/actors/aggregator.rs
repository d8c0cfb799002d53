//! The aggregator: applies committed trades to the windows, and makes publications of the windows.

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
    envelope::Envelope,
    messages::{AssetsCommitted, PublicationReady, RankMarkets, TradesCommitted},
    outage,
    port::Port,
    supervision::{
        messages::{Drain, Ping, Pulse},
        status::ChildStatus,
    },
    test_hooks,
    trace::{context::TraceContext, record::Causes, subject::Subject},
    wiring::{DaemonActor, Wiring},
    worker::attend,
};
use crate::{
    clock::SharedClock,
    db::{Database, DbError, marks::Mark},
    domain::instant::UnixSeconds,
    published::{FileMaker, Published},
    shutdown, steps,
};

/// Interval between two checks whether the database is ahead: by commits of other replicas, or by lost messages.
const CATCH_UP_INTERVAL: Duration = Duration::from_millis(500);
/// Time limit for reading everything. Longer than the statement timeout of 300 s in `db::snapshot`.
const LOAD_TIMEOUT: Duration = Duration::from_secs(330);
/// Time limit for reading what was committed since.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(60);
/// Name of the reads in the log.
const READING: &str = "reading committed trades";
/// Interval at which the drain checks for the last publication.
const DRAIN_POLL: Duration = Duration::from_millis(5);

/// Dependencies of the aggregator.
#[derive(Clone)]
pub struct AggregatorDeps {
    /// Source of committed trades, assets and books.
    pub database: Database,
    /// Receives publications and vitals.
    pub published: Arc<Published>,
    /// Writes publications to files.
    pub writer: Port<PublicationReady>,
    /// Source of the time of publications.
    pub clock: SharedClock,
    /// Start of the process. After a restart of this actor, the time of that restart.
    pub run_began: DateTime<Utc>,
    /// Shortest time between two publications.
    pub publish_interval: Duration,
    /// Time after which the first publication no longer waits for look-ups of assets.
    pub first_publication_patience: Duration,
    /// Status in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub struct Aggregator {
    deps: AggregatorDeps,
    state: State,
}

/// State of one incarnation.
struct State {
    /// Data of publications; none while it is loaded.
    markets: Option<MarketState>,
    /// True while a read of the database is under way, or its result is being applied.
    is_reading: bool,
    /// True while a publication is rendered.
    is_rendering: bool,
    /// Renders publications. It keeps parts of the last one that the next one reuses.
    maker: Arc<Mutex<FileMaker>>,
    /// Times of the last publications.
    pace: Pace,
    /// `seq` and `as_of` of the last publication of this incarnation.
    last_published: Option<(i64, UnixSeconds)>,
    /// Decides when the first publication may be made.
    readiness: Readiness,
    /// Messages whose effects the next publication contains.
    causes: Causes,
    /// True once the drain began: everything committed is then published at once.
    is_draining: bool,
    /// True once the drain is over: the connection pool may close at any moment.
    is_drained: bool,
}

impl State {
    fn new(deps: &AggregatorDeps) -> Self {
        Self {
            markets: None,
            is_reading: false,
            is_rendering: false,
            maker: Arc::default(),
            pace: Pace::default(),
            last_published: None,
            readiness: Readiness::new(
                Instant::now(),
                deps.first_publication_patience,
                deps.published.newest().is_some(),
            ),
            causes: Causes::default(),
            is_draining: false,
            is_drained: false,
        }
    }
}

/// Result of a read of the database.
enum Read {
    /// All data, read for the first time or again.
    Full(MarketState),
    /// Marks that the database still holds, and what was committed since; none if nothing was.
    Since(Vec<Mark>, Option<Update>),
}

/// Reads what the database has beyond `known`: the last batch in memory and its unverified marks. Reads everything if
/// that is none.
async fn read_beyond(
    database: &Database,
    status: &ChildStatus,
    known: Option<(i64, Vec<Mark>)>,
    now: UnixSeconds,
) -> Result<Read, DbError> {
    let Some((seq, known)) = known else {
        let step = || status.advance();
        let load = MarketState::load_in_steps(database, now, &step);
        // A single statement may take longer than an actor may be without progress.
        return Ok(Read::Full(attend(database.within(LOAD_TIMEOUT, load), step).await?));
    };
    let read = MarketState::read_after(database, seq, &known, now);
    let update = database.within(CATCH_UP_TIMEOUT, read).await?;
    Ok(Read::Since(known, update))
}

impl DaemonActor for Aggregator {
    const NAME: &'static str = "aggregator";
    const DRAIN_PHASE: usize = shutdown::AGGREGATOR;

    fn make(wiring: &Wiring, status: Arc<ChildStatus>) -> Self {
        let services = &wiring.services;
        let deps = AggregatorDeps {
            database: services.database.clone(),
            published: Arc::clone(&services.published),
            writer: wiring.receivers.publication_ready.port(Self::NAME),
            clock: Arc::clone(&services.clock),
            run_began: services.began,
            publish_interval: services.config.publish_interval,
            first_publication_patience: services.timings.first_publication,
            status,
        };
        let state = State::new(&deps);
        Self { deps, state }
    }
}

impl Aggregator {
    /// Reads what the database has beyond the windows, unless a read is under way already. `cause` is the message that
    /// shows that there is something; none at a tick.
    fn catch_up(&mut self, cause: Option<&TraceContext>, ctx: &mut Context<Self>) {
        if self.state.is_drained || std::mem::replace(&mut self.state.is_reading, true) {
            return;
        }
        let known = self.state.markets.as_ref().map(|markets| (markets.seq(), markets.unverified()));
        let (database, status) = (self.deps.database.clone(), Arc::clone(&self.deps.status));
        let now = UnixSeconds::from(self.deps.clock.now());
        let mut step = status.step(if known.is_some() { steps::CATCH_UP } else { steps::LOAD }, cause);
        let read = async move {
            let mut trace = None;
            let read = read_beyond(&database, &status, known, now).await;
            match &read {
                Ok(Read::Full(markets)) => {
                    step.set_subject(Subject::none().with("seq", markets.seq()));
                    trace = Some(step.done());
                }
                // Nothing new, twice a second: not worth a record.
                Ok(Read::Since(_, None)) => step.discard(),
                Ok(Read::Since(_, Some(update))) => {
                    step.set_subject(update.subject());
                    trace = Some(step.done());
                }
                Err(_) => {
                    step.failed();
                }
            }
            (read, trace)
        };
        ctx.spawn(read.into_actor(self).map(|(read, trace), this, ctx| {
            trace.into_iter().for_each(|trace| this.state.causes.add(trace));
            this.caught_up(read, ctx);
        }));
    }

    fn caught_up(&mut self, read: Result<Read, DbError>, ctx: &mut Context<Self>) {
        self.state.is_reading = false;
        self.deps.status.advance();
        let now = self.deps.clock.now();
        match read {
            Err(DbError::Trimmed { .. }) => {
                info!("missed batches are no longer kept, reloading everything");
                self.drop_markets();
            }
            Err(error @ DbError::TooFarBehind { .. }) => {
                info!(%error, "too many batches were missed, reloading everything");
                self.drop_markets();
            }
            Err(error @ DbError::Rewound { .. }) => {
                // The database was restored, or a standby that lagged took over: some data in memory is not in it.
                warn!(%error, "database was rewound, reloading everything");
                self.drop_markets();
            }
            // The pool may be closed by now. The supervisor reports a drain that takes too long.
            Err(_) if self.state.is_draining => return,
            Err(error) => {
                outage::database_failed(&self.deps.database, &error, READING);
                // A cell of its own: the lease keeper reports a database that renews its lease.
                let detail = "reads of committed trades fail: the figures stay as they are";
                self.deps.published.vitals.database.unreadable.fails(detail, now);
                return;
            }
            Ok(Read::Full(markets)) => {
                info!(seq = markets.seq(), "windows loaded");
                self.deps.status.set_state("publishing");
                let was_validated = markets.was_validated_before(self.deps.run_began);
                self.state.readiness.loaded(markets.seq(), markets.has_trades(), was_validated);
                self.deps.published.vitals.coverage.store(markets.coverage());
                self.state.markets = Some(markets);
                self.publish(ctx);
            }
            Ok(Read::Since(known, update)) => {
                if let Some(markets) = &mut self.state.markets {
                    markets.verified(&known);
                }
                if let Some(update) = update {
                    self.state.is_reading = true; // until all parts are applied
                    self.apply(update, ctx);
                }
            }
        }
        self.deps.published.vitals.database.unreadable.clear();
        if self.deps.database.record_read(READING) {
            info!("database can be read again");
        }
    }

    /// Drops the windows. The next [`Self::catch_up`] loads them from the database.
    pub(super) fn drop_markets(&mut self) {
        self.state.markets = None;
        self.state.readiness.reloading(self.deps.published.newest().is_some());
    }

    /// Passes the position of the windows on to the readiness.
    fn note_progress(&mut self) {
        if let Some(markets) = &self.state.markets {
            self.state.readiness.advanced(markets.seq(), markets.has_trades());
        }
    }
}

impl Aggregator {
    /// Applies an update part by part. Messages and probes are handled between two parts.
    fn apply(&mut self, mut update: Update, ctx: &mut Context<Self>) {
        self.deps.status.advance();
        let Some(markets) = &mut self.state.markets else {
            self.state.is_reading = false;
            return;
        };
        if !markets.update(&mut update) {
            let next = tokio::task::yield_now().into_actor(self);
            ctx.spawn(next.map(|(), this, ctx| this.apply(update, ctx)));
            return;
        }
        self.state.is_reading = false;
        self.deps.published.vitals.coverage.store(markets.coverage());
        self.note_progress();
        self.publish_if_due(ctx);
    }
}

impl Actor for Aggregator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.deps.status.set_state("loading");
        self.catch_up(None, ctx);
        ctx.run_interval(CATCH_UP_INTERVAL, |this, ctx| {
            this.corrupt_if_armed();
            this.catch_up(None, ctx);
            this.publish_first(ctx);
        });
        ctx.run_interval(self.deps.publish_interval, |this, ctx| this.publish(ctx));
    }
}

impl Supervised for Aggregator {
    fn restarting(&mut self, _: &mut Context<Self>) {
        self.state = State::new(&self.deps);
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
        self.state.causes.add(handling.trace());
        self.deps.status.advance();
        let batch = test_hooks::misjudged_if_armed(self.deps.status.test_hooks(), &envelope.body.batch);
        let is_applied = self.state.markets.as_mut().is_some_and(|markets| markets.append(&batch));
        debug!(seq = batch.seq, is_applied, "batch received");
        if is_applied {
            self.note_progress();
            self.publish_if_due(ctx);
        } else {
            // A batch is missing in between, or brings a new market: read it from the database.
            self.catch_up(Some(&handling.trace()), ctx);
        }
    }
}

impl Handler<Envelope<AssetsCommitted>> for Aggregator {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<AssetsCommitted>, ctx: &mut Context<Self>) {
        let handling = self.deps.status.begin(&envelope);
        let _in_trace = handling.span().enter();
        self.state.causes.add(handling.trace());
        let AssetsCommitted { all_upto, seq } = envelope.body;
        if let Some(markets) = &self.state.markets {
            self.state.readiness.assets_committed(all_upto, seq, markets.seq());
        }
        self.catch_up(Some(&handling.trace()), ctx);
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
        MessageResult(self.state.markets.as_mut().map(|markets| markets.snapshot_at(now)))
    }
}

impl Handler<Drain> for Aggregator {
    type Result = ResponseActFuture<Self, ()>;

    /// Makes one last publication of everything committed, so that the files end with it.
    fn handle(&mut self, drain: Drain, ctx: &mut Context<Self>) -> Self::Result {
        self.state.is_draining = true;
        if !self.state.readiness.may_publish(Instant::now()) {
            self.state.is_drained = true;
            return Box::pin(async {}.into_actor(self));
        }
        self.catch_up(None, ctx);
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
        Box::pin(wait.into_actor(self).map(|(), this, _| this.state.is_drained = true))
    }
}
