//! Stored ledgers of a lake that no hash of Horizon confirms. The database names them, so that a restart or a
//! take-over does not forget them (ADR 22).

use tracing::{info, warn};

use super::reports::LakeReports;
use crate::{
    actors::trade_writer::{TradeWriter, WriteError},
    domain::{
        coverage::{self, LedgerRange},
        instant::UnixSeconds,
    },
};

/// Notes about unconfirmed ledgers in the database.
#[derive(Clone)]
pub struct UnconfirmedLedgers {
    /// True if hashes are compared with Horizon's. Otherwise nothing would ever confirm a ledger, and none is noted.
    are_hashes_checked: bool,
    reports: LakeReports,
}

/// Stored ledgers below one that Horizon has, or that it contradicts. If Horizon has it, also the chain that begins
/// with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgersInDoubt {
    /// First ledger beyond doubt, or the one that is contradicted.
    pub below: u32,
    /// Its close time.
    pub below_time: UnixSeconds,
    /// Ledgers below that this process took, and that no chain connects to a hash of Horizon. None if it took no such
    /// ledger. The database may name others.
    pub taken: Option<LedgerRange>,
    /// Last ledger of the chain that begins with `below` and is Horizon's, and its close time. None if Horizon has
    /// another hash.
    pub confirmed_to: Option<(u32, UnixSeconds)>,
}

impl LedgersInDoubt {
    /// Ranges to read again: what was taken below, and after another hash all that the database names. A hash that
    /// agrees says nothing of other noted ledgers. Horizon may still not have theirs.
    fn ranges(&self, noted: &[LedgerRange]) -> Vec<LedgerRange> {
        let below = |from, from_time| {
            let (to, to_time) = (self.below.saturating_sub(1), self.below_time.max(from_time));
            LedgerRange { from, to, from_time, to_time }
        };
        let noted = noted.iter().filter_map(|range| {
            if is_endless(range) {
                Some(below(range.from, range.from_time))
            } else {
                self.confirmed_to.is_none().then_some(*range)
            }
        });
        coverage::merge(noted.chain(self.taken).collect())
    }

    /// Ledgers that need no note any more: the confirmed chain, and those below it that are read again. The ledgers
    /// between keep their notes. None after another hash.
    fn settled(&self, uncovered: &[LedgerRange]) -> Vec<LedgerRange> {
        let Some((to, to_time)) = self.confirmed_to else { return Vec::new() };
        let chain = LedgerRange { from: self.below, to, from_time: self.below_time, to_time };
        coverage::merge(uncovered.iter().copied().chain([chain]).collect())
    }
}

/// True for a row of an earlier version, which noted no end. It ends below the ledger that is compared.
const fn is_endless(range: &LedgerRange) -> bool {
    range.to == u32::MAX
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
            writer.database.add_unconfirmed(epoch, range).await?;
        }
        Ok(())
    }

    /// Takes ledgers in doubt out of the coverage, so that they are read again, and ends the notes about a confirmed
    /// chain. Does nothing if there is neither.
    ///
    /// # Errors
    ///
    /// [`WriteError`] if the database fails, or this replica does not lead. The call may be repeated then.
    pub async fn uncover(&self, writer: &TradeWriter, in_doubt: LedgersInDoubt) -> Result<(), WriteError> {
        let epoch = writer.leadership.epoch().ok_or(WriteError::NotLeading)?;
        let noted = writer.database.unconfirmed_ledgers().await?;
        let uncovered = in_doubt.ranges(&noted);
        if in_doubt.confirmed_to.is_some() {
            let settled = in_doubt.settled(&uncovered);
            let is_settled = |noted: &LedgerRange| {
                settled.iter().any(|range| noted.from <= range.to && range.from <= noted.to)
            };
            if noted.iter().any(is_settled) || !uncovered.is_empty() {
                writer.database.settle_unconfirmed(epoch, &settled, &uncovered).await?;
            }
            let endless: Vec<LedgerRange> = noted.into_iter().filter(is_endless).collect();
            if !endless.is_empty() {
                writer.database.clear_unconfirmed(epoch, &endless, &[]).await?;
            }
        } else if !noted.is_empty() || !uncovered.is_empty() {
            writer.database.clear_unconfirmed(epoch, &noted, &uncovered).await?;
        }
        self.report(in_doubt, &uncovered);
        Ok(())
    }

    fn report(&self, in_doubt: LedgersInDoubt, uncovered: &[LedgerRange]) {
        let (Some(first), Some(last)) = (uncovered.first(), uncovered.last()) else { return };
        let (from, to, ranges) = (first.from, last.to, uncovered.len());
        if in_doubt.confirmed_to.is_none() {
            warn!(
                from,
                to, ranges, "ledgers of the lake are not ancestors of Horizon's ledger, reading them again"
            );
            self.reports.note_wrong_chain();
        } else {
            info!(
                from,
                to, ranges, "Horizon has confirmed none of these ledgers of the lake, reading them again"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: u32, to: u32) -> LedgerRange {
        let at = |ledger: u32| UnixSeconds(i64::from(ledger) * 5);
        LedgerRange { from, to, from_time: at(from), to_time: at(to) }
    }

    fn closed(ledger: u32) -> (u32, UnixSeconds) {
        (ledger, UnixSeconds(i64::from(ledger) * 5))
    }

    /// Comparison of ledger 35, which agreed if it confirmed a chain.
    fn compared(taken: Option<LedgerRange>, confirmed_to: Option<u32>) -> LedgersInDoubt {
        let (below, below_time) = closed(35);
        let confirmed_to = confirmed_to.map(closed);
        LedgersInDoubt { below, below_time, taken, confirmed_to }
    }

    fn ends(ranges: &[LedgerRange]) -> Vec<(u32, u32, i64)> {
        ranges.iter().map(|range| (range.from, range.to, range.to_time.0)).collect()
    }

    #[test]
    fn a_hash_that_agrees_leaves_noted_ledgers_of_no_chain_and_ends_the_notes_about_its_own() {
        let (noted, agreed) = ([range(10, 12), range(30, 40)], compared(None, Some(44)));
        assert_eq!(agreed.ranges(&noted), []);
        assert_eq!(agreed.settled(&[]), [range(35, 44)]);
    }

    #[test]
    fn what_was_taken_below_a_confirmed_chain_is_read_again_and_needs_no_note() {
        let (noted, agreed) = ([range(10, 12), range(30, 40)], compared(Some(range(33, 34)), Some(44)));
        let uncovered = agreed.ranges(&noted);
        assert_eq!(uncovered, [range(33, 34)]);
        assert_eq!(agreed.settled(&uncovered), [range(33, 44)]);
    }

    #[test]
    fn ledgers_between_what_was_taken_and_a_confirmed_chain_keep_their_coverage_and_notes() {
        let agreed = compared(Some(range(20, 25)), Some(44));
        let uncovered = agreed.ranges(&[]);
        assert_eq!(uncovered, [range(20, 25)]);
        assert_eq!(agreed.settled(&uncovered), [range(20, 25), range(35, 44)]);
    }

    #[test]
    fn after_another_hash_all_noted_ledgers_are_in_doubt() {
        let noted = [range(10, 12), range(30, 40)];
        assert_eq!(ends(&compared(None, None).ranges(&noted)), [(10, 12, 60), (30, 40, 200)]);
        let with_taken = compared(Some(range(28, 34)), None).ranges(&noted);
        assert_eq!(ends(&with_taken), [(10, 12, 60), (28, 40, 200)]);
        assert_eq!(compared(Some(range(28, 34)), None).settled(&with_taken), []);
    }

    #[test]
    fn what_an_earlier_version_noted_ends_below_the_ledger_that_was_compared() {
        let of_an_earlier_version = LedgerRange { to: u32::MAX, ..range(20, 20) };
        for confirmed_to in [None, Some(44)] {
            let uncovered = compared(None, confirmed_to).ranges(&[of_an_earlier_version]);
            assert_eq!(ends(&uncovered), [(20, 34, 175)]);
        }
        let late = LedgerRange { from_time: UnixSeconds(900), ..of_an_earlier_version };
        let uncovered = compared(None, None).ranges(&[late]);
        assert_eq!(ends(&uncovered), [(20, 34, 900)], "close times that contradict each other");
    }
}
