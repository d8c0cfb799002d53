//! Numbered batches: a reader that has missed some learns from them which rows changed.

use deadpool_postgres::Transaction;
use tokio_postgres::types::Type;

use super::{
    Database, DbError,
    marks::{self, Mark},
    trades::rows::RANGE_GAP_LEDGERS,
    transaction,
};
use crate::domain::cursor::PagingToken;

/// Most batches that a reader catches up with: three days of a batch per ledger. Their rows take 10 MB.
const BATCHES_MAX: i64 = 50_000;

/// Kind of a batch that deleted markets. Readers then read all remaining ones.
pub(super) const MARKETS_REMOVED: &str = "markets_removed";
/// Kind of a batch that removed books. Readers then read all remaining ones.
pub(super) const BOOKS_REMOVED: &str = "books_removed";

/// Changes after some `seq`.
#[derive(Debug, Default)]
pub(super) struct ChangesSince {
    /// Ranges of trades, both ends inclusive, in order and without overlaps. Between the trades of the batches they may
    /// contain others.
    pub(super) trades: Vec<(PagingToken, PagingToken)>,
    /// Number of trades of the batches.
    pub(super) count: i64,
    /// First and last version of changed assets.
    pub(super) asset_versions: Option<(i64, i64)>,
    /// First and last version of changed books.
    pub(super) book_versions: Option<(i64, i64)>,
    /// True if books were removed.
    pub(super) has_removed_books: bool,
    /// True if markets were removed.
    pub(super) has_removed_markets: bool,
}

impl Database {
    /// Returns the number of the last committed batch.
    ///
    /// # Errors
    ///
    /// [`DbError::Rewound`] if the database lacks a batch of `known`, or an error of the connection.
    pub async fn current_seq_after(&self, known: &[Mark]) -> Result<i64, DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin(&mut client, "").await?;
        let position = marks::position(&transaction, known).await?;
        transaction.commit().await?;
        Ok(position.seq)
    }
}

/// Reads the batches after `after`, up to `upto`.
///
/// Fails with [`DbError::Trimmed`] if some of them were deleted, and with [`DbError::TooFarBehind`] if they are more
/// than [`BATCHES_MAX`].
pub(super) async fn read_after(
    transaction: &Transaction<'_>,
    after: i64,
    upto: i64,
) -> Result<ChangesSince, DbError> {
    if upto.saturating_sub(after) > BATCHES_MAX {
        return Err(DbError::TooFarBehind { after });
    }
    let rows =
        transaction.query_typed(include_str!("sql/batches/after.sql"), &[(&after, Type::INT8)]).await?;
    let first: Option<i64> = rows.first().map(|row| row.try_get(0)).transpose()?;
    // The cleaner deletes the oldest batches, so a gap can only be at the beginning. Without a newer batch there is no
    // gap.
    if first.unwrap_or(i64::MAX) != after.saturating_add(1) && upto > after {
        return Err(DbError::Trimmed { after });
    }
    let mut written = ChangesSince::default();
    for row in &rows {
        let kind: String = row.try_get(1)?;
        let (from, to): (Option<String>, Option<String>) = (row.try_get(2)?, row.try_get(3)?);
        written.has_removed_books |= kind == BOOKS_REMOVED;
        written.has_removed_markets |= kind == MARKETS_REMOVED;
        let (Some(from), Some(to)) = (from, to) else { continue };
        let corrupt = |what: &dyn std::fmt::Display| DbError::Corrupt(format!("batch of {kind}: {what}"));
        let number = |text: &str| text.parse::<i64>().map_err(|error| corrupt(&error));
        let token = |text: &str| text.parse().map_err(|error| corrupt(&error));
        match kind.as_str() {
            "assets" => widen(&mut written.asset_versions, number(&from)?, number(&to)?),
            "books" => widen(&mut written.book_versions, number(&from)?, number(&to)?),
            _ => {
                written.trades.push((token(&from)?, token(&to)?));
                written.count = written.count.saturating_add(i64::from(row.try_get::<_, i32>(4)?));
            }
        }
    }
    written.trades = bridged(written.trades);
    Ok(written)
}

fn widen(versions: &mut Option<(i64, i64)>, from: i64, to: i64) {
    let (first, last) = versions.unwrap_or((from, to));
    *versions = Some((first.min(from), last.max(to)));
}

/// Merges overlapping ranges, so that each row is read and counted once.
pub(super) fn joined(mut ranges: Vec<(PagingToken, PagingToken)>) -> Vec<(PagingToken, PagingToken)> {
    ranges.sort_unstable();
    merged(ranges, |end, from| from <= end)
}

/// Merges overlapping ranges and those that are close together. Each ledger is a batch of its own, so that an absence
/// would otherwise take thousands of statements.
fn bridged(mut ranges: Vec<(PagingToken, PagingToken)>) -> Vec<(PagingToken, PagingToken)> {
    ranges.sort_unstable();
    merged(ranges, |end, from| from.ledger() <= end.ledger().saturating_add(RANGE_GAP_LEDGERS))
}

/// Merges each range with the one before if `meet` is true for the end of that and its own start.
fn merged(
    ranges: Vec<(PagingToken, PagingToken)>,
    meet: impl Fn(PagingToken, PagingToken) -> bool,
) -> Vec<(PagingToken, PagingToken)> {
    let mut merged: Vec<(PagingToken, PagingToken)> = Vec::with_capacity(ranges.len());
    for (from, to) in ranges {
        match merged.last_mut() {
            Some((_, end)) if meet(*end, from) => *end = to.max(*end),
            _ => merged.push((from, to)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_overlap_are_read_once() {
        let token = |toid| PagingToken { toid, order: 0 };
        let ranges =
            [(5, 6), (1, 3), (2, 2), (3, 4), (9, 9), (8, 9)].map(|(from, to)| (token(from), token(to)));
        assert_eq!(
            joined(ranges.to_vec()),
            [(1, 4), (5, 6), (8, 9)].map(|(from, to)| (token(from), token(to)))
        );
    }

    #[test]
    fn ranges_of_an_absence_are_read_at_once() {
        let ledgers = |from: i64, to: i64| {
            (PagingToken { toid: from << 32, order: 0 }, PagingToken { toid: (to << 32) + 9, order: 2 })
        };
        let far = 100 + i64::from(RANGE_GAP_LEDGERS) + 1;
        let each = (1..=100).map(|ledger| ledgers(ledger, ledger));
        let others = [ledgers(far, far), ledgers(far - 1, far - 1), ledgers(2 * far, 2 * far)];
        assert_eq!(
            bridged(each.clone().chain(others).collect()),
            [ledgers(1, far), ledgers(2 * far, 2 * far)]
        );
        assert_eq!(bridged(each.chain([others[0]]).collect()), [ledgers(1, 100), ledgers(far, far)]);
    }
}
