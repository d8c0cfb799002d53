//! Reading held ledgers again from the lake. It costs no request, and a ledger proves that it is complete.

use super::{
    Backfill, HistoryError,
    comparison::{self, ComparedWith, Comparison, Differences, SourceTrade},
    reread::{RereadOutcome, Rereading},
};
use crate::{
    actors::{
        lake_reader::{Collected, LakeReader},
        worker::WorkContext,
    },
    db::held::HeldRows,
    domain::{coverage::LedgerRange, cursor::PagingToken, instant::UnixSeconds},
    horizon::budget::Class,
    lake::{Content, Link, VerifiedLedger},
    published::HashCheck,
};

impl Backfill {
    /// Compares a held ledger with the lake's. `Unreadable` for a ledger that the lake lacks or that is refused.
    pub(super) async fn compare_with_lake(
        &self,
        reader: &LakeReader,
        reading: &mut Rereading<'_>,
        range: LedgerRange,
        ledger: u32,
    ) -> Result<RereadOutcome, HistoryError> {
        reading.context.advance();
        let batch = reader.lake.read(ledger).await?;
        reading.context.advance();
        let Content::Ledgers(ledgers) = batch.content else { return Ok(RereadOutcome::Unreadable) };
        let found = ledgers.into_iter().flatten().find(|found| found.sequence == ledger);
        let Some(found) = found else { return Ok(RereadOutcome::Unreadable) };
        let (comparison, found) = self.compared(reader, found).await?;
        let differs = !comparison.differences.is_empty();
        let is_believed = if reader.hashes.is_enabled() {
            // A difference counts only if Horizon confirms the ledger's hash.
            let (hash, hashes) = (found.hash.to_string(), reader.hashes.caused_by(&reading.trace()));
            !differs || matches!(hashes.check(ledger, &hash, Class::Audit).await, HashCheck::Agrees { .. })
        } else {
            // The chain may have refused this ledger before, so that its trades came from Horizon. What contradicts
            // them is only quarantined. Trades are stored only if the next ledger names this one.
            comparison.differences.missing.is_empty()
                || !reader.checks_chain()
                || is_named_by_next(reader, reading.context, &found).await?
        };
        if !is_believed {
            return Ok(RereadOutcome::Unreadable);
        }
        self.settle(reading, range, comparison).await?;
        Ok(RereadOutcome::Compared)
    }

    /// Compares a held ledger with that of the lake or RPC that history does not come from, else of the one that it
    /// comes from, or else with Horizon's pages: the first that can be read and believed counts.
    pub(super) async fn compare_with_either(
        &self,
        reading: &mut Rereading<'_>,
        range: LedgerRange,
        ledger: u32,
    ) -> Result<RereadOutcome, HistoryError> {
        let is_own = self.is_reread_from_history();
        let own = self.lake.as_ref().filter(|_| self.is_from_lake && !is_own);
        let mut compared = Ok(RereadOutcome::Unreadable);
        let readers = [(self.reread_lake.as_ref(), is_own), (own, true)];
        for (reader, is_own) in readers.into_iter().filter_map(|(reader, is_own)| Some((reader?, is_own))) {
            compared = self.compare_with_lake(reader, reading, range, ledger).await;
            // A lake that cannot be reached proves its ledgers later. Those of another source it only checks.
            let is_refused = match &compared {
                Ok(outcome) => matches!(outcome, RereadOutcome::Unreadable),
                Err(HistoryError::Lake(error)) => error.may_be_of_object() || !is_own,
                Err(_) => false,
            };
            if !is_refused {
                return compared;
            }
        }
        match self.history(&reading.client(&self.horizon), reading.shared).await {
            Ok(history) if history.elder <= ledger => self.compare(reading, range, ledger).await,
            Ok(_) | Err(_) => compared,
        }
    }

    /// True if history comes from the lake that held ledgers are read again from.
    fn is_reread_from_history(&self) -> bool {
        let shown =
            |reader: &Option<LakeReader>| reader.as_ref().map(|reader| reader.lake.shown().to_owned());
        self.is_from_lake && shown(&self.lake) == shown(&self.reread_lake)
    }

    async fn compared(
        &self,
        reader: &LakeReader,
        ledger: VerifiedLedger,
    ) -> Result<(Comparison, VerifiedLedger), HistoryError> {
        let (from, to) = (
            PagingToken::before_ledger(ledger.sequence),
            PagingToken::before_ledger(ledger.sequence.saturating_add(1)),
        );
        let HeldRows { rows, from: below } = self.writer.database.held_between(from, to).await?;
        let now = UnixSeconds::from(self.writer.clock.now());
        let mut collected = Collected::default();
        collected.add(ledger.clone(), reader.reports.newest_at(), self.retention_days, now);
        let trades = collected.trades.into_iter().filter(|incoming| incoming.trade.token >= below);
        let differences = Differences::of(
            rows,
            trades.map(|incoming| SourceTrade::Believed(Box::new(incoming))),
            comparison::kept_since(now, self.retention_days),
            // Refused trades are not among the collected ones, so their rows may look surplus.
            collected.quarantine.is_empty(),
        );
        let comparison =
            Comparison { with: ComparedWith::Lake, below, ledgers: 1, is_unreadable: false, differences };
        Ok((comparison, ledger))
    }
}

/// True if the next ledger of the lake names this one as its predecessor.
async fn is_named_by_next(
    reader: &LakeReader,
    context: &WorkContext,
    ledger: &VerifiedLedger,
) -> Result<bool, HistoryError> {
    let Some(next) = ledger.sequence.checked_add(1) else { return Ok(false) };
    let batch = reader.lake.read(next).await?;
    context.advance();
    let Content::Ledgers(ledgers) = batch.content else { return Ok(false) };
    Ok(Link::is_named_by_next(ledgers.iter().flatten(), ledger))
}
