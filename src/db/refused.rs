//! Rows that PostgreSQL refuses. One odd row must cost that row and never its batch, or the same batch fails for ever.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use metrics::counter;
use tokio_postgres::error::SqlState;
use tracing::warn;

use super::DbError;
use crate::trouble::SharedLimit;

/// Rows that may be refused of one batch. More are no odd rows: the table or the batch is at fault, and to write the
/// rest would hide that.
const REFUSED_MAX: usize = 100;

/// Rows of a batch that were refused, by their places, and why.
pub(super) type Refusals = Vec<(usize, DbError)>;

impl DbError {
    /// Returns true if PostgreSQL refuses a row for its content: SQLSTATE class 22 (an impossible value: encoding, range) or
    /// 23 (a constraint). Duplicate rows and missing partitions do not count: those faults pass.
    pub(super) fn refuses_a_row(&self) -> bool {
        let Self::Postgres(error) = self else { return false };
        let Some(told) = error.as_db_error() else { return false };
        let is_without_partition = *told.code() == SqlState::CHECK_VIOLATION && told.constraint().is_none();
        let is_refusal = told.code().code().starts_with("22") || told.code().code().starts_with("23");
        is_refusal && !is_without_partition && *told.code() != SqlState::UNIQUE_VIOLATION
    }
}

/// The parts in which a batch is written: all rows at once as a rule. If PostgreSQL refuses one of them, ever smaller parts, in
/// order, until each refused row is known. Each part is a transaction of its own; a refused row costs two for each halving.
#[derive(Debug)]
pub(super) struct Parts<'a, T> {
    /// Parts that are still to be written, the next one last. Halving bounds them by the bits of the batch's length.
    waiting: Vec<Part<'a, T>>,
    refused: Refusals,
}

/// A part of a batch.
#[derive(Debug)]
pub(super) struct Part<'a, T> {
    /// The place of its first row in the batch.
    pub(super) place: usize,
    pub(super) rows: &'a [T],
}

impl<T> Part<'_, T> {
    /// The place behind its last row.
    pub(super) fn end(&self) -> usize {
        self.place.saturating_add(self.rows.len())
    }
}

impl<'a, T> Parts<'a, T> {
    pub(super) fn of(rows: &'a [T]) -> Self {
        Self { waiting: vec![Part { place: 0, rows }], refused: Refusals::new() }
    }

    /// The next part to write; none when all are written or refused. A batch without rows is one part.
    pub(super) fn next(&mut self) -> Option<Part<'a, T>> {
        self.waiting.pop()
    }

    /// A part was not written.
    ///
    /// # Errors
    ///
    /// The error itself, if it is no refusal of a row or if too many were refused before.
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

    /// The rows that were refused, in their order.
    pub(super) fn refused(self) -> Refusals {
        self.refused
    }
}

/// Lines in a minute about such rows: what is in them comes from Horizon, and each sweep brings the same again.
const LINES_A_MINUTE: u32 = 10;
static LINES: LazyLock<SharedLimit> =
    LazyLock::new(|| SharedLimit::new(LINES_A_MINUTE, Duration::from_secs(60)));

/// Counts a row that is left out, and names it.
pub(super) fn tell(table: &'static str, row: &str, error: &DbError) {
    counter!("ticker_rows_refused_total", "table" => table).increment(1);
    if let Some(unnamed) = LINES.allow(Instant::now()) {
        let row = row.escape_debug();
        warn!(table, %row, %error, unnamed, "the database refuses a row, which is left out");
    }
}
