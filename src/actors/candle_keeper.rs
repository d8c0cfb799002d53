//! The candle keeper: derives candles from committed trades, while this replica leads. It works from what the database
//! says waits, so no message has to reach it.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use metrics::counter;
use tracing::{debug, info};

use super::{
    leadership::Leadership,
    outage,
    supervision::status::ChildStatus,
    wiring::{DaemonActor, Wiring},
    worker::{TICK, Work, WorkContext, Worker, transaction},
};
use crate::{
    clock::SharedClock,
    db::{Database, candles::DroppedCandles},
    published::{Part, Published},
    shutdown, steps,
};

/// Pause once nothing waits. A late trade is in its candles soon after.
const REST: Duration = Duration::from_secs(10);
/// Rest after a step while more waits, as a multiple of the step's duration, so that commits
/// keep four fifths of a core.
const RESTS_PER_STEP: u32 = 4;
/// Longest rest after a step.
const STEP_REST_MAX: Duration = Duration::from_secs(10);
/// Longest wait for the first publication. Until then the aggregator reads trades, and the database has enough to do.
const FIRST_PUBLICATION_MAX: Duration = Duration::from_secs(60);
/// Seconds between two looks for candles that are too old.
const DROP_EVERY_S: i64 = 3_600;
/// Seconds until the next look if some old candles could not be dropped. Readers queue behind each attempt.
const DROP_AGAIN_S: i64 = 10;

/// Dependencies of the candle keeper.
#[derive(Clone)]
pub struct KeepCandles {
    /// Database of trades and candles.
    pub database: Database,
    /// The lease under which it writes.
    pub leadership: Leadership,
    /// Source of the current time.
    pub clock: SharedClock,
    /// Publications of the aggregator.
    pub published: Arc<Published>,
    /// Longest wait for the first one.
    pub first_publication_max: Duration,
    /// Age in days beyond which candles are dropped. Those of minutes are dropped after 30 days if that is less.
    pub retention_days: i64,
    /// Status in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub type CandleKeeper = Worker<KeepCandles>;

impl DaemonActor for CandleKeeper {
    const NAME: &'static str = "candle_keeper";
    const DRAIN_PHASE: usize = shutdown::SOURCES;
    const PART: Option<Part> = Some(Part::of_leader("candles"));

    fn make(wiring: &Wiring, status: Arc<ChildStatus>) -> Self {
        let services = &wiring.services;
        Worker::new(KeepCandles {
            database: services.database.clone(),
            leadership: services.leadership.clone(),
            clock: Arc::clone(&services.clock),
            published: Arc::clone(&services.published),
            first_publication_max: FIRST_PUBLICATION_MAX,
            retention_days: i64::from(services.config.candle_retention_days),
            status,
        })
    }
}

impl Work for KeepCandles {
    async fn run(self, context: WorkContext) {
        // Time of the last look for old candles, and the seconds until the next.
        let mut dropped: Option<(DateTime<Utc>, i64)> = None;
        self.wait_for_first_publication(&context).await;
        loop {
            context.advance();
            let Some(epoch) = self.leadership.epoch_within(TICK).await else { continue };
            let now = self.clock.now();
            if dropped.is_none_or(|(at, wait)| (now - at).num_seconds().abs() >= wait) {
                dropped = Some((now, self.drop_old(&context, epoch, now).await));
            }
            let rest = self.step(&context, epoch).await;
            context.pause(rest).await;
        }
    }

    fn status(&self) -> &Arc<ChildStatus> {
        &self.status
    }
}

impl KeepCandles {
    async fn wait_for_first_publication(&self, context: &WorkContext) {
        let begun = self.clock.monotonic();
        let is_starting = || {
            let waited = self.clock.monotonic().saturating_duration_since(begun);
            self.published.newest().is_none() && waited < self.first_publication_max
        };
        while is_starting() && !context.is_draining() {
            context.advance();
            context.pause(TICK).await;
        }
    }

    /// Derives the candles of some trades. Returns the time to rest.
    async fn step(&self, context: &WorkContext, epoch: i64) -> Duration {
        self.status.set_state("deriving");
        let begun = self.clock.monotonic();
        let step = context.pass(steps::DERIVE_CANDLES);
        let derived = async {
            let now = self.clock.now();
            let time = self.database.retention_time(now).await?.unwrap_or(now);
            let deriving = self.database.derive_candles(epoch, time, context.heartbeat());
            transaction(&self.status, &step.trace(), deriving).await
        };
        let derived = derived.await;
        let took = self.clock.monotonic().saturating_duration_since(begun);
        self.status.set_state("resting");
        step.ended(&derived);
        match derived {
            Ok(derived) => {
                self.status.succeeds("candles are derived");
                counter!("ticker_candles_written_total").increment(derived.candles);
                debug!(trades = derived.trades, candles = derived.candles, "candles derived");
                if derived.is_caught_up {
                    REST
                } else {
                    took.saturating_mul(RESTS_PER_STEP).min(STEP_REST_MAX)
                }
            }
            Err(error) => {
                if !error.is_take_over() {
                    self.status.fails(&error);
                }
                outage::database_failed(&self.database, &error, "deriving candles");
                STEP_REST_MAX
            }
        }
    }

    /// Drops candles that are too old. Returns the seconds until the next look for some.
    async fn drop_old(&self, context: &WorkContext, epoch: i64, now: DateTime<Utc>) -> i64 {
        let dropped = async {
            match self.database.retention_time(now).await? {
                Some(time) => {
                    self.database.drop_candles(epoch, self.retention_days, time, context.heartbeat()).await
                }
                None => Ok(DroppedCandles::default()),
            }
        };
        let step = context.step(steps::CLEAN, None);
        let dropped = dropped.await;
        step.ended(&dropped);
        match dropped {
            Ok(DroppedCandles { partitions, left, markets }) => {
                if partitions > 0 {
                    info!(partitions, left, markets_forgotten = markets, "old candles dropped");
                }
                if left == 0 {
                    return DROP_EVERY_S;
                }
                debug!(left, "old candles are in use");
                DROP_AGAIN_S
            }
            Err(error) => {
                outage::database_failed(&self.database, &error, "dropping old candles");
                DROP_AGAIN_S
            }
        }
    }
}
