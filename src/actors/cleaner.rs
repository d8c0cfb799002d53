//! The cleaner: drops old trades by schedule, while this replica leads. It also keeps the stored facts that
//! views show.

mod backoff;
mod hourly;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::counter;
use tracing::info;

use super::{
    leadership::Leadership,
    outage, services,
    supervision::status::ChildStatus,
    timetable::{Schedule, Timetable},
    wiring::{DaemonActor, Wiring},
    worker::{TICK, Work, WorkContext, Worker},
};
use crate::{
    clock::SharedClock,
    db::{Database, DbError, clean::Cleaned},
    published::Part,
    shutdown, steps,
};

use backoff::Backoff;
pub use hourly::Hourly;

/// Pause before days are tried again that could not be dropped because others were reading them, and before a pass is
/// tried again after its first failure.
const AGAIN: Duration = Duration::from_secs(5);

/// Dependencies of the cleaner.
#[derive(Clone)]
pub struct Clean {
    /// Database that is cleaned.
    pub database: Database,
    /// The lease under which it writes.
    pub leadership: Leadership,
    /// Source of the current time.
    pub clock: SharedClock,
    /// Schedule of the passes.
    pub schedule: Schedule,
    /// Age in days beyond which trades are dropped.
    pub retention_days: i64,
    /// Keeper of the facts that views show.
    pub hourly: Hourly,
    /// Status in `/actors.json`.
    pub status: Arc<ChildStatus>,
}

/// The actor.
pub type Cleaner = Worker<Clean>;

impl DaemonActor for Cleaner {
    const NAME: &'static str = "cleaner";
    const DRAIN_PHASE: usize = shutdown::SOURCES;
    const PART: Option<Part> = Some(Part::of_leader("cleaning"));

    fn make(wiring: &Wiring, status: Arc<ChildStatus>) -> Self {
        let services = &wiring.services;
        let hourly =
            Hourly { published: Arc::clone(&services.published), anchors: services.usd_anchors().into() };
        Worker::new(Clean {
            database: services.database.clone(),
            leadership: services.leadership.clone(),
            clock: Arc::clone(&services.clock),
            schedule: services::schedule(&services.config.clean_schedule),
            retention_days: services.retention_days(),
            hourly,
            status,
        })
    }
}

impl Work for Clean {
    async fn run(self, context: WorkContext) {
        let mut timetable = Timetable::due_at_start(Arc::clone(&self.schedule));
        let (mut is_due, mut backoff) = (false, Backoff::new(AGAIN));
        let mut times = hourly::Times::default();
        loop {
            context.advance();
            if let Err(error) = self.hourly.read(&self.database, &mut times).await {
                outage::database_failed(&self.database, &error, "reading the stored facts of views");
            }
            let Some(epoch) = self.leadership.epoch_within(TICK).await else { continue };
            if let Err(error) = self.hourly.check(&self.database, epoch, &self.clock, &mut times).await {
                outage::database_failed(&self.database, &error, "storing the choices of symbols");
            }
            let count = self.hourly.count(&self.database, epoch, &self.clock, &mut times, &context);
            if let Err(error) = count.await {
                outage::database_failed(&self.database, &error, "counting the accounts behind markets");
                context.pause(AGAIN).await;
            }
            // A pass stays due until it has succeeded and all old days are dropped.
            is_due |= timetable.take_due(self.clock.now());
            if !is_due || !backoff.is_over(Instant::now()) {
                self.status.set_state(if is_due { "waiting after a failure" } else { "idle" });
                context.pause(TICK).await;
                continue;
            }
            self.status.set_state("cleaning");
            let step = context.step(steps::CLEAN, None);
            let cleaned = self.clean(epoch, context.heartbeat()).await;
            step.ended(&cleaned);
            match cleaned {
                Ok(cleaned) => {
                    self.status.succeeds("old trades are dropped");
                    backoff.reset();
                    is_due = cleaned.days_left > 0;
                    report(cleaned);
                }
                Err(error) => {
                    if !error.is_take_over() {
                        self.status.fails(&error);
                    }
                    backoff.note_failure(&error, Instant::now());
                    outage::database_failed(&self.database, &error, "dropping old trades");
                }
            }
            if is_due {
                context.pause(AGAIN).await;
            }
        }
    }

    fn status(&self) -> &Arc<ChildStatus> {
        &self.status
    }
}

impl Clean {
    async fn clean(&self, epoch: i64, advance: impl Fn()) -> Result<Cleaned, DbError> {
        advance();
        let now = self.clock.now();
        let time = self.database.retention_time(now).await?.unwrap_or(now);
        self.database.clean(epoch, self.retention_days, time, advance).await
    }
}

/// Counts and logs the result of a pass.
fn report(cleaned: Cleaned) {
    counter!("ticker_cleaned_partitions_total").increment(cleaned.days);
    counter!("ticker_cleaned_rows_total").increment(cleaned.rows);
    if cleaned.days > 0 || cleaned.days_left > 0 || cleaned.rows > 0 {
        info!(
            days_dropped = cleaned.days,
            days_left = cleaned.days_left,
            rows_deleted = cleaned.rows,
            "cleaned"
        );
    }
}
