//! Numbers of the accounts behind a market's trades of 24 hours, counted by the leader each hour.
//!
//! An offer never meets its own account, since the protocol refuses that. So trades with oneself need two accounts, and
//! the share of the busiest pair of accounts shows them. Such trades are shown, never left out.

use std::collections::HashMap;

use super::{
    instant::{DAY, UnixSeconds},
    windows::MarketId,
};

/// Accounts behind the trades of one market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketAccounts {
    /// Accounts that took an offer or traded with a pool.
    pub takers: u32,
    /// Accounts whose offers were taken, and pools.
    pub makers: u32,
    /// Share of the base volume of new outputs that the busiest pair of accounts made with each other, in hundredths of
    /// a per cent, rounded half up. Pools are no accounts.
    pub largest_pair: u16,
}

impl MarketAccounts {
    /// Share of the busiest pair in per cent, with two decimals.
    #[must_use]
    pub fn largest_pair_percent(self) -> String {
        format!("{}.{:02}", self.largest_pair / 100, self.largest_pair % 100)
    }
}

/// Count of all markets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountCount {
    /// End of the counted 24 hours, a full hour.
    pub until: UnixSeconds,
    /// Moment from which views show it. Every replica has read it by then, so that all show the same.
    pub counts_from: UnixSeconds,
    /// Markets with trades.
    pub markets: HashMap<MarketId, MarketAccounts>,
}

/// The last counts, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountCounts(
    /// At most two: the one that counts, and the one that will.
    pub Vec<AccountCount>,
);

impl AccountCounts {
    /// Returns the count of a market that a view of this moment shows, and the end of its 24 hours. A count that is
    /// older than a day says nothing about the present.
    #[must_use]
    pub fn of_market(&self, market: MarketId, moment: UnixSeconds) -> Option<(UnixSeconds, MarketAccounts)> {
        let count = self.0.iter().find(|count| count.counts_from <= moment)?;
        let is_recent = moment.0 - count.until.0 <= DAY;
        is_recent.then(|| Some((count.until, *count.markets.get(&market)?))).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_shown_from_its_moment_on_and_for_a_day() {
        let accounts = |takers| MarketAccounts { takers, makers: 1, largest_pair: 10_000 };
        let count = |until, takers| AccountCount {
            until: UnixSeconds(until),
            counts_from: UnixSeconds(until + 180),
            markets: HashMap::from([(7, accounts(takers))]),
        };
        let counts = AccountCounts(vec![count(7_200, 2), count(3_600, 1)]);
        let takers =
            |moment| counts.of_market(7, UnixSeconds(moment)).map(|(until, it)| (until.0, it.takers));
        assert_eq!(takers(3_779), None);
        assert_eq!(takers(7_379), Some((3_600, 1)));
        assert_eq!(takers(7_380), Some((7_200, 2)));
        assert_eq!(takers(7_201 + DAY), None);
        assert_eq!(counts.of_market(8, UnixSeconds(7_380)), None);
    }
}
