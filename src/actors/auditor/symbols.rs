//! Audit of the assets that stand for codes. A choice may change only by the rule, so each pass also compares the
//! stored choices with those of the pass before.

use tracing::{info, warn};

use super::{Audit, DIFFERENCES_LOGGED_MAX, Tally};
use crate::{
    audit::symbols,
    db::DbError,
    domain::{
        conversions::SaturatingFrom,
        instant::UnixSeconds,
        symbol_choice::{Choices, overturned},
        symbols::Symbols,
    },
};

impl Audit {
    /// Compares the stored choices with the last pass, and the published symbols with the stored choices. The leader
    /// writes a choice back that changed against the rule, and every replica takes over what is stored.
    pub(super) async fn audit_symbols(&self, tally: &mut Tally) -> Result<(), DbError> {
        let Some(publication) = self.published.newest() else { return Ok(()) }; // each pass begins with one
        let mut stored = self.database.symbol_choices().await?;
        let now = UnixSeconds::from(self.clock.now());
        let wrong = overturned(&self.choices_seen.borrow(), &stored, now);
        for (code, choice) in wrong.iter().take(DIFFERENCES_LOGGED_MAX) {
            let found = stored.get(code).map_or("none", |found| found.asset.issuer());
            let expected = choice.asset.issuer();
            warn!(
                code,
                stored = found,
                expected,
                "stored symbol changed, but no other issuer led for 7 days"
            );
        }
        self.count_differences(tally, u64::saturating_from(wrong.len()));
        self.write_back(&wrong).await?;
        stored.extend(wrong);
        self.choices_seen.replace(stored.clone());
        let held = self.published.facts.load();
        // Right after the start nothing has been read yet.
        if held.choices.is_empty() {
            tally.is_partial |= !stored.is_empty();
            return Ok(());
        }
        let shown = Symbols::of(&publication.snapshot, &self.listing.anchors, &held.choices);
        let compared = symbols::compare(&publication.snapshot, &shown, &stored);
        for difference in compared.differences.iter().take(DIFFERENCES_LOGGED_MAX) {
            let (published, expected) = (&difference.served, &difference.expected);
            warn!(
                code = difference.entry,
                published, expected, "published symbol differs from the stored one"
            );
        }
        self.count_differences(tally, u64::saturating_from(compared.differences.len()));
        if compared.difference_count > 0 {
            self.published.facts.set_choices(&stored);
        }
        Ok(())
    }

    /// Only the leader writes. Another replica finds the same difference and leaves it to the leader.
    async fn write_back(&self, choices: &Choices) -> Result<(), DbError> {
        let Some(epoch) = self.leadership.epoch().filter(|_| !choices.is_empty()) else { return Ok(()) };
        self.database.record_symbol_choices(epoch, choices).await?;
        info!(symbols = choices.len(), "stored symbols restored");
        Ok(())
    }
}
