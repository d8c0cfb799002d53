//! The assets that stand for codes: every replica reads the choices, and the leader checks them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::info;

use crate::{
    clock::SharedClock,
    db::{Database, DbError},
    domain::{
        asset::Asset,
        instant::UnixSeconds,
        symbol_choice::{self, Choices, NOTICE},
        symbols::candidates,
    },
    published::Published,
};

/// Interval at which a replica reads the choices. A new choice counts only after [`NOTICE`], so that all replicas know
/// it by then.
const READ: Duration = Duration::from_secs(60);
const _: () = assert!(NOTICE > 120, "two readings must fit into the notice");
/// Interval at which the leader checks them.
const CHECK: Duration = Duration::from_secs(3_600);

/// Reader and writer of the choices.
#[derive(Clone)]
pub struct Symbols {
    /// Publications, from which volumes are taken, and the cell that receives the choices.
    pub published: Arc<Published>,
    /// Assets that count as one dollar.
    pub anchors: Arc<[Asset]>,
}

/// Times of the last reading and of the last check.
#[derive(Default)]
pub(super) struct Times {
    read_at: Option<Instant>,
    checked_at: Option<Instant>,
}

impl Times {
    fn is_due(last: Option<Instant>, interval: Duration) -> bool {
        last.is_none_or(|last| last.elapsed() >= interval)
    }
}

impl Symbols {
    /// Reads the choices if a minute has passed. An error leaves them as they are until the next attempt.
    pub(super) async fn read(&self, database: &Database, times: &mut Times) -> Result<(), DbError> {
        if !Times::is_due(times.read_at, READ) {
            return Ok(());
        }
        times.read_at = Some(Instant::now());
        let choices = database.symbol_choices().await?;
        self.published.vitals.symbols.store(Arc::new(choices));
        Ok(())
    }

    /// Checks the choices if an hour has passed, and stores them. Waits for the whole history: volumes of a part of it
    /// would choose wrongly.
    pub(super) async fn check(
        &self,
        database: &Database,
        epoch: i64,
        clock: &SharedClock,
        times: &mut Times,
    ) -> Result<(), DbError> {
        let is_whole =
            self.published.vitals.backfill.load().as_ref().is_some_and(|backfill| backfill.done_ratio >= 1.0);
        let Some(newest) = self.published.newest().filter(|_| is_whole) else { return Ok(()) };
        if !Times::is_due(times.checked_at, CHECK) {
            return Ok(());
        }
        let stored = database.symbol_choices().await?;
        let now = UnixSeconds::from(clock.now());
        let choices = symbol_choice::next(&stored, &candidates(&newest.snapshot, &self.anchors), now);
        if !choices.is_empty() {
            database.record_symbol_choices(epoch, &choices).await?;
        }
        times.checked_at = Some(Instant::now());
        report(&stored, &choices);
        self.published.vitals.symbols.store(Arc::new(choices));
        Ok(())
    }
}

/// Logs each code whose asset changed.
fn report(before: &Choices, after: &Choices) {
    for (code, choice) in after {
        let Some(was) = before.get(code).filter(|was| was.asset != choice.asset) else { continue };
        info!(
            code,
            from = was.asset.issuer(),
            to = choice.asset.issuer(),
            since = %choice.since.to_rfc3339(),
            "symbol changed: another issuer had led for 7 days"
        );
    }
}
