//! Rows that PostgreSQL refuses. Such a row is left out, and the rest of its batch is written. Otherwise the same batch
//! would fail for ever.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use metrics::counter;
use tokio_postgres::error::SqlState;
use tracing::warn;

use super::DbError;
use crate::trouble::SharedLimit;

/// Largest number of refused rows in one batch. With more, the table or the whole batch is at fault, and writing the
/// rest would hide that.
const REFUSED_MAX: usize = 100;

/// Refused rows, by their index in the batch, with the error.
pub(super) type Refusals = Vec<(usize, DbError)>;

impl DbError {
    /// Returns true if PostgreSQL refuses a row for its content: SQLSTATE class 22 (an impossible value: encoding,
    /// range) or 23 (a constraint). Duplicate rows and missing partitions do not count, because a retry cures them.
    pub(super) fn refuses_a_row(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        let Some(server) = error.as_db_error() else { return false };
        // A missing partition has the code of a check constraint, but names none.
        let is_without_partition =
            *server.code() == SqlState::CHECK_VIOLATION && server.constraint().is_none();
        let is_refusal = server.code().code().starts_with("22") || server.code().code().starts_with("23");
        is_refusal && !is_without_partition && *server.code() != SqlState::UNIQUE_VIOLATION
    }
}

/// Parts in which a batch is written. The first part is the whole batch. A part with a refused row is halved until the
/// row is found. Each part is a transaction of its own, so a refused row costs two transactions per halving.
#[derive(Debug)]
pub(super) struct Parts<'a, T> {
    /// Parts to write, the next one last. Halving bounds their number by the bits of the batch's length.
    waiting: Vec<Part<'a, T>>,
    refused: Refusals,
}

/// A part of a batch.
#[derive(Debug)]
pub(super) struct Part<'a, T> {
    /// Index of its first row in the batch.
    pub(super) place: usize,
    pub(super) rows: &'a [T],
}

impl<T> Part<'_, T> {
    /// Returns the index behind its last row.
    pub(super) fn end(&self) -> usize {
        self.place.saturating_add(self.rows.len())
    }
}

impl<'a, T> Parts<'a, T> {
    pub(super) fn of(rows: &'a [T]) -> Self {
        Self { waiting: vec![Part { place: 0, rows }], refused: Refusals::new() }
    }

    /// Returns the next part to write, or none after the last. A batch without rows has one part, so that it still
    /// moves cursors and sweeps.
    pub(super) fn next(&mut self) -> Option<Part<'a, T>> {
        self.waiting.pop()
    }

    /// Records that a part was not written, and splits it if it has several rows.
    ///
    /// # Errors
    ///
    /// The error itself, if it does not refuse a row or if too many rows were refused before.
    pub(super) fn failed(&mut self, part: &Part<'a, T>, error: DbError) -> Result<(), DbError> {
        if !error.refuses_a_row() || self.refused.len() >= REFUSED_MAX {
            return Err(error);
        }
        if part.rows.len() <= 1 {
            self.refused.push((part.place, error));
            return Ok(());
        }
        let (first, second) = part.rows.split_at(part.rows.len() / 2);
        self.waiting.push(Part { place: part.place.saturating_add(first.len()), rows: second });
        self.waiting.push(Part { place: part.place, rows: first });
        Ok(())
    }

    /// Returns the refused rows, in order.
    pub(super) fn refused(self) -> Refusals {
        self.refused
    }
}

/// Log lines per minute about such rows. Their content comes from Horizon, and each sweep brings the same rows again.
const LINES_A_MINUTE: u32 = 10;
static LINES: LazyLock<SharedLimit> =
    LazyLock::new(|| SharedLimit::new(LINES_A_MINUTE, Duration::from_secs(60)));

/// Counts and logs a row that is left out.
pub(super) fn report(table: &'static str, row: &str, error: &DbError) {
    counter!("ticker_rows_refused_total", "table" => table).increment(1);
    if let Some(suppressed) = LINES.allow(Instant::now()) {
        warn!(table, %row, %error, suppressed, "row refused by the database, skipped");
    }
}
