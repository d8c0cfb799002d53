//! The stored facts that views show, as this process last read them.

use std::sync::Arc;

use arc_swap::ArcSwap;
use ticker_formats::listings::facts::HourlyFacts;

use crate::domain::{symbol_choice::Choices, trading_accounts::AccountCounts};

/// The facts. The cleaner reads and determines them, and the auditor corrects the choices. Each writes only the part
/// that it knows, so that no one takes the other part back.
#[derive(Debug, Default)]
pub struct FactsCell(ArcSwap<HourlyFacts>);

impl FactsCell {
    /// The facts that count now or later.
    #[must_use]
    pub fn load(&self) -> Arc<HourlyFacts> {
        self.0.load_full()
    }

    /// Replaces the assets that stand for codes.
    pub fn set_choices(&self, choices: &Choices) {
        let changed = |held: &Arc<HourlyFacts>| HourlyFacts {
            choices: choices.clone(),
            accounts: held.accounts.clone(),
        };
        self.0.rcu(changed);
    }

    /// Replaces the counts of the accounts behind markets.
    pub fn set_accounts(&self, accounts: &AccountCounts) {
        let changed = |held: &Arc<HourlyFacts>| HourlyFacts {
            accounts: accounts.clone(),
            choices: held.choices.clone(),
        };
        self.0.rcu(changed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::domain::{
        asset::Asset, instant::UnixSeconds, symbol_choice::Choice, trading_accounts::AccountCount,
    };

    #[test]
    fn each_part_is_written_without_the_other() {
        let facts = FactsCell::default();
        let before = facts.load();
        let now = UnixSeconds(1);
        let choice =
            Choice { asset: Asset::Native, since: now, previous: None, challenger: None, checked_at: now };
        let count = AccountCount { until: now, counts_from: now, markets: HashMap::new() };
        facts.set_choices(&Choices::from([("XLM".to_owned(), choice)]));
        facts.set_accounts(&AccountCounts(vec![count]));
        let held = facts.load();
        assert_eq!((held.choices.len(), held.accounts.0.len()), (1, 1));
        assert!(before.choices.is_empty(), "a reader keeps what it has");
    }
}
