//! Unconfirmed ledgers of the lake that are read again: by Horizon's pages, or, if history comes from the lake, from it
//! once Horizon has their hashes.

use std::time::Instant;

use tracing::{info, warn};

use super::{Backfill, HistoryError, SharedByLoops, hash_turns::HashTurns, left_to_horizon::Reason};
use crate::{
    actors::{
        lake_reader::{HashAtHorizon, LakeReader},
        network_check::History,
        trade_writer::WriteError,
    },
    domain::{
        coverage::{self, LedgerRange},
        cursor::PagingToken,
        instant::UnixSeconds,
    },
    horizon::budget::Class,
    published::LakeUse,
};

impl Backfill {
    /// Takes unconfirmed ledgers of the lake out of the coverage, so that Horizon's pages fill them. Those that are
    /// older than Horizon's history stay.
    pub(super) async fn read_unconfirmed_from_horizon(
        &self,
        reader: &LakeReader,
        shared: &SharedByLoops,
    ) -> Result<(), HistoryError> {
        // Read first: another reader that fails meanwhile resets what they share.
        let oldest = self.history(&self.horizon.of_class(Class::Live), shared).await?.elder;
        let uncovered = self.uncover_unconfirmed(oldest).await?;
        // The lake of history may answer. It would only give them again, as unconfirmed as before.
        let reason = if reader.reports.is_contradicted() { Reason::Bad } else { Reason::Outage };
        for LedgerRange { from, to, .. } in uncovered {
            shared.left.borrow_mut().add_for(reason, (from, to), Instant::now());
        }
        Ok(())
    }

    /// True if no reader of a lake will compare what is unconfirmed: none takes new ledgers of it, the lake has given
    /// none for minutes, or Horizon has another hash.
    pub(super) fn confirms_nothing(&self) -> bool {
        let Some(reader) = self.lake.as_ref().filter(|_| self.is_live_from_lake) else { return true };
        reader.reports.is_contradicted() || self.is_lake_out_for(LakeUse::Recent, reader.timeouts.given_up)
    }

    /// Takes unconfirmed ledgers of a lake that is not read any more out of the coverage, so that Horizon's pages
    /// fill them. Those below `oldest` stay: Horizon no longer has them. Returns the ledgers that were taken out.
    pub(super) async fn uncover_unconfirmed(&self, oldest: u32) -> Result<Vec<LedgerRange>, HistoryError> {
        let database = &self.writer.database;
        let noted = database.unconfirmed_ledgers().await?;
        if noted.is_empty() {
            return Ok(Vec::new());
        }
        let held = self.held().await?;
        let mut uncovered = Vec::new();
        for range in &noted {
            uncovered.extend(self.part_from(oldest, range, &held).await?);
        }
        let uncovered = coverage::merge(uncovered);
        let epoch = self.writer.leadership.epoch().ok_or(WriteError::NotLeading)?;
        database.clear_unconfirmed(epoch, &noted, &uncovered).await?;
        if let (Some(first), Some(last)) = (uncovered.first(), uncovered.last()) {
            warn!(
                from = first.from,
                to = last.to,
                ranges = uncovered.len(),
                "Horizon has never confirmed these ledgers of the lake, reading them again from Horizon"
            );
        }
        Ok(uncovered)
    }

    /// Part of a noted range from a ledger on, up to the newest held one; none if there is none.
    async fn part_from(
        &self,
        oldest: u32,
        noted: &LedgerRange,
        held: &[LedgerRange],
    ) -> Result<Option<LedgerRange>, HistoryError> {
        let Some(newest) = held.last() else { return Ok(None) };
        let (from, to) = (noted.from.max(oldest), noted.to.min(newest.to));
        if from > to {
            return Ok(None);
        }
        let from_time = if from == noted.from {
            noted.from_time
        } else {
            let [first, end] = [noted.from, from].map(PagingToken::before_ledger);
            let newest_below = self.writer.database.newest_held_between(first, end).await?.map(|(_, at)| at);
            coverage::end_of_part_below(held, from, newest_below).unwrap_or(noted.from_time)
        };
        let to_time = if to == noted.to { noted.to_time } else { newest.to_time };
        Ok(Some(LedgerRange { from, to, from_time, to_time: to_time.max(from_time) }))
    }

    /// Takes unconfirmed ledgers out of the coverage whose newest one Horizon has now, so that they are read from the
    /// lake again and compared. Returns true if there were any.
    ///
    /// The follower of new ledgers compares only the chain that it takes itself: none while the lake lags behind the
    /// network.
    pub(super) async fn read_unconfirmed_again(
        &self,
        reader: &LakeReader,
        shared: &SharedByLoops,
        turns: &mut HashTurns,
    ) -> Result<bool, HistoryError> {
        if reader.hashes.is_horizon_silent() {
            return Ok(false);
        }
        let database = &self.writer.database;
        let asked = turns.begin_round(self.unconfirmed_below_chain(reader).await?, Instant::now());
        if asked.is_empty() {
            return Ok(false);
        }
        let (held, oldest) = (self.held().await?, shared.oldest_of_horizon());
        let mut is_any = false;
        for range in asked {
            let part = self.part_from(range.from, &range, &held).await?;
            let part = part.filter(|part| part.to >= oldest); // older ones can never be compared
            if let Some(part) = &part {
                match reader.hashes.has_hash(part.to).await {
                    HashAtHorizon::Has => {}
                    HashAtHorizon::Lacks => {
                        turns.note_lack(&range, Instant::now());
                        continue;
                    }
                    HashAtHorizon::NoAnswer => {
                        turns.note_no_answer(&range, Instant::now());
                        break; // Horizon does not answer for the others either
                    }
                    HashAtHorizon::NotAsked => {
                        turns.note_not_asked();
                        break;
                    }
                }
            }
            let epoch = self.writer.leadership.epoch().ok_or(WriteError::NotLeading)?;
            database.settle_unconfirmed(epoch, &[range], part.as_slice()).await?;
            turns.note_settled();
            if let Some(LedgerRange { from, to, .. }) = part {
                info!(
                    from,
                    to, "Horizon has the hashes of these ledgers of the lake now, reading them again"
                );
                is_any = true;
            }
        }
        Ok(is_any)
    }

    /// Takes unconfirmed ledgers below the chain of new ledgers out of the coverage, so that Horizon's pages fill them:
    /// with history from Horizon, nothing reads them from the lake again. Returns true if there were any.
    ///
    /// Those that Horizon no longer has stay, without a note. Those that it does not have yet wait.
    pub(super) async fn uncover_unconfirmed_below_chain(
        &self,
        history: &History,
    ) -> Result<bool, HistoryError> {
        let Some(reader) = self.lake.as_ref().filter(|_| self.is_live_from_lake) else { return Ok(false) };
        let below = self.unconfirmed_below_chain(reader).await?;
        if below.is_empty() {
            return Ok(false);
        }
        let held = self.held().await?;
        let mut is_any = false;
        for range in below.into_iter().filter(|range| is_at_horizon(range, history.latest, &held)) {
            let part = self.part_from(history.elder, &range, &held).await?;
            let epoch = self.writer.leadership.epoch().ok_or(WriteError::NotLeading)?;
            self.writer.database.settle_unconfirmed(epoch, &[range], part.as_slice()).await?;
            if let Some(LedgerRange { from, to, .. }) = part {
                info!(from, to, "reading these unconfirmed ledgers of the lake again from Horizon");
                is_any = true;
            }
        }
        Ok(is_any)
    }

    /// Noted ranges below the chain of new ledgers. The follower compares only that chain.
    async fn unconfirmed_below_chain(&self, reader: &LakeReader) -> Result<Vec<LedgerRange>, HistoryError> {
        let noted = self.writer.database.unconfirmed_ledgers().await?;
        // Read afterwards: the chain is reported before its ledgers are noted.
        let chain_from = reader.reports.chain_from();
        // A row of the version before has no end: the follower settles it.
        let ended = noted.iter().filter(|range| range.to < u32::MAX);
        Ok(ended.filter_map(|range| below_chain(range, chain_from)).collect())
    }
}

/// True if Horizon, whose newest ledger is `latest`, has these ledgers, and a newer one is held, from which its pages
/// are read. A newer one of the lake does not show that Horizon has them.
fn is_at_horizon(range: &LedgerRange, latest: u32, held: &[LedgerRange]) -> bool {
    range.to <= latest && held.last().is_some_and(|newest| range.to < newest.to)
}

/// Part of a noted range below the chain of new ledgers. The follower compares that chain, which begins at
/// `chain_from`.
fn below_chain(range: &LedgerRange, chain_from: Option<(u32, UnixSeconds)>) -> Option<LedgerRange> {
    let Some((first, at)) = chain_from.filter(|(first, _)| *first <= range.to) else { return Some(*range) };
    let to = first.checked_sub(1).filter(|to| range.from <= *to)?;
    Some(LedgerRange { to, to_time: at.max(range.from_time), ..*range })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_below_the_chain_of_new_ledgers_is_compared_apart_from_it() {
        let at = |ledger: u32| UnixSeconds(i64::from(ledger) * 5);
        let range = |from, to, to_time| LedgerRange { from, to, from_time: at(from), to_time };
        let noted = range(30, 40, at(40));
        let below = |first: Option<u32>| below_chain(&noted, first.map(|first| (first, at(first))));
        assert_eq!(below(None), Some(noted), "no chain is being read");
        assert_eq!(below(Some(41)), Some(noted));
        assert_eq!(below(Some(35)), Some(range(30, 34, at(35))));
        assert_eq!(below(Some(30)), None, "all of it is of the chain");
        assert_eq!(below(Some(7)), None);
    }

    #[test]
    fn pages_are_read_only_of_ledgers_that_horizon_has() {
        let at = |ledger: u32| UnixSeconds(i64::from(ledger) * 5);
        let range = |from, to| LedgerRange { from, to, from_time: at(from), to_time: at(to) };
        let held = [range(10, 20), range(25, 40)];
        assert!(is_at_horizon(&range(30, 39), 39, &held));
        assert!(!is_at_horizon(&range(30, 39), 38, &held), "Horizon is behind the lake");
        assert!(!is_at_horizon(&range(30, 40), 50, &held), "nothing newer is held");
        assert!(!is_at_horizon(&range(30, 39), 50, &[]));
    }
}
