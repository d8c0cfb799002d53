//! Stored ledgers of a lake that no hash of Horizon confirms. The database names the lowest one, so that a restart or a
//! take-over does not forget them (ADR 22).

use tracing::{info, warn};

use super::reports::LakeReports;
use crate::{
    actors::trade_writer::{TradeWriter, WriteError},
    domain::{coverage::LedgerRange, instant::UnixSeconds},
};

/// Notes about unconfirmed ledgers in the database.
#[derive(Clone)]
pub struct UnconfirmedLedgers {
    /// True if hashes are compared with Horizon's. Otherwise nothing would ever confirm a ledger, and none is noted.
    are_hashes_checked: bool,
    reports: LakeReports,
}

/// Stored ledgers below one that Horizon has, or that it contradicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgersInDoubt {
    /// First ledger beyond doubt, or the one that is contradicted.
    pub below: u32,
    /// Its close time.
    pub below_time: UnixSeconds,
    /// Lowest ledger that was taken and leads to no hash of Horizon, and its close time. The database may name a lower
    /// one.
    pub taken: Option<(u32, UnixSeconds)>,
    /// True if Horizon has another hash, false if nothing leads from these ledgers to one that it has.
    pub is_contradicted: bool,
}

impl LedgersInDoubt {
    /// Range of these ledgers if this is the lowest one; none if it is beyond doubt.
    fn range_from(&self, (from, from_time): (u32, UnixSeconds)) -> Option<LedgerRange> {
        let (to, to_time) = (self.below.saturating_sub(1), self.below_time.max(from_time));
        (from <= to).then_some(LedgerRange { from, to, from_time, to_time })
    }
}

impl UnconfirmedLedgers {
    /// Creates the notes of one actor.
    pub(super) const fn new(are_hashes_checked: bool, reports: LakeReports) -> Self {
        Self { are_hashes_checked, reports }
    }

    /// Runs `storing`, which stores ledgers. If they are unconfirmed, notes them in the database before, so that a kill
    /// in between loses nothing. Notes them afterwards again, because the row may have been deleted meanwhile.
    ///
    /// # Errors
    ///
    /// Those of `storing`, and [`WriteError`] if the note cannot be written.
    pub async fn note_around<T, E: From<WriteError>>(
        &self,
        writer: &TradeWriter,
        unconfirmed: Option<LedgerRange>,
        storing: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        if let Some(range) = unconfirmed {
            self.note(writer, range).await?;
        }
        let stored = storing.await?;
        if let Some(range) = unconfirmed {
            self.note(writer, range).await?;
        }
        Ok(stored)
    }

    async fn note(&self, writer: &TradeWriter, range: LedgerRange) -> Result<(), WriteError> {
        if self.are_hashes_checked {
            let epoch = writer.leadership.epoch().ok_or(WriteError::NotLeading)?;
            writer.database.add_unconfirmed(epoch, (range.from, range.from_time)).await?;
        }
        Ok(())
    }

    /// Takes ledgers in doubt out of the coverage, so that they are read again, and with them those that the database
    /// names. Does nothing if there is none.
    ///
    /// # Errors
    ///
    /// [`WriteError`] if the database fails, or this replica does not lead. Nothing is changed then.
    pub async fn uncover(&self, writer: &TradeWriter, in_doubt: LedgersInDoubt) -> Result<(), WriteError> {
        let epoch = writer.leadership.epoch().ok_or(WriteError::NotLeading)?;
        let noted = writer.database.unconfirmed_ledgers().await?;
        let Some(lowest) = noted.into_iter().chain(in_doubt.taken).min() else { return Ok(()) };
        let uncovered = in_doubt.range_from(lowest);
        writer.database.clear_unconfirmed(epoch, lowest.0, uncovered).await?;
        match uncovered {
            Some(LedgerRange { from, to, .. }) if in_doubt.is_contradicted => {
                warn!(
                    from,
                    to, "ledgers of the lake are not ancestors of Horizon's ledger, reading them again"
                );
                self.reports.note_wrong_chain();
            }
            Some(LedgerRange { from, to, .. }) => {
                info!(
                    from,
                    to, "Horizon has confirmed none of these ledgers of the lake, reading them again"
                );
            }
            None => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_in_doubt_ends_below_the_ledger_that_was_compared() {
        let below_time = UnixSeconds(100);
        let in_doubt = LedgersInDoubt { below: 20, below_time, taken: None, is_contradicted: true };
        let range = |from, at| {
            in_doubt.range_from((from, UnixSeconds(at))).map(|range| (range.from, range.to, range.to_time.0))
        };
        assert_eq!(range(10, 50), Some((10, 19, 100)));
        assert_eq!(range(19, 150), Some((19, 19, 150)), "close times that contradict each other");
        assert_eq!(range(20, 100), None);
    }
}
