//! Patience of the start: how long its steps wait for a database that is not up yet, slow, or silent.

use std::time::Duration;

use tokio::time::Instant;
use tracing::info;

use super::{Database, DbError};

/// Pause between attempts to reach the database at start.
const READY_POLL: Duration = Duration::from_millis(200);
/// Shortest time limit of a step of the start, so that a short patience does not cut a step of a busy server.
const STEP_MIN: Duration = Duration::from_secs(3);
/// Longest time limit of one attempt at a step. A connection that hangs must leave time for another one.
const STEP_MAX: Duration = Duration::from_secs(15);
/// Pause before a migration that gave way is tried again.
const MIGRATION_PAUSE: Duration = Duration::from_secs(3);

/// Returns the time limit of an attempt at a step that is to be done at `until`.
fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).clamp(STEP_MIN, STEP_MAX)
}

impl Database {
    /// Waits until the database answers.
    ///
    /// # Errors
    ///
    /// The last failure, if the database does not answer within `patience` or if waiting cannot help.
    pub async fn wait_until_ready(&self, patience: Duration) -> Result<(), DbError> {
        let until = Instant::now() + patience;
        let mut is_logged = false;
        loop {
            let Err(error) = self.ping(until).await else { return Ok(()) };
            if error.is_final_at_start() || Instant::now() >= until {
                return Err(error);
            }
            if !std::mem::replace(&mut is_logged, true) {
                info!(%error, "waiting for the database");
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// Runs a step of the start. If the database goes away, is too slow for a moment, or accepts the connection and
    /// then stays silent, runs it again until `patience` is over. The step must have the same effect if it runs twice.
    ///
    /// # Errors
    ///
    /// The last failure, or one that trying again cannot help.
    pub async fn patiently<T>(
        &self,
        patience: Duration,
        step: impl AsyncFn(&Self) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        let until = Instant::now() + patience;
        self.retried(until, async |database: &Self| database.within(left(until), step(database)).await).await
    }

    /// Like [`Self::patiently`], for a step that may take longer than `patience` once it runs, and limits its waits for
    /// the server itself.
    ///
    /// # Errors
    ///
    /// Those of [`Self::patiently`].
    pub async fn patiently_to_its_end<T>(
        &self,
        patience: Duration,
        step: impl AsyncFn(&Self) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        self.retried(Instant::now() + patience, step).await
    }

    async fn retried<T>(
        &self,
        until: Instant,
        step: impl AsyncFn(&Self) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        loop {
            match step(self).await {
                Err(error)
                    if error.is_transient() && !error.is_final_at_start() && Instant::now() < until =>
                {
                    info!(%error, "the database failed during the start, trying again");
                    // Those that a migration gave way to need time for themselves.
                    let gave_way = matches!(error, DbError::MigrationInterrupted(_));
                    tokio::time::sleep(if gave_way { MIGRATION_PAUSE } else { READY_POLL }).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Connects, within the limits of the hosts, and asks for an answer.
    async fn ping(&self, until: Instant) -> Result<(), DbError> {
        let client = self.client().await?;
        // It owns the connection, so that one that stays silent is closed with it.
        let answer = async move { Ok(client.simple_query("").await.map(drop)?) };
        self.within(left(until), answer).await
    }
}
