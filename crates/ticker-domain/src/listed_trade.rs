//! Numbers of trades for listing sites, which want an integer that is unique within a market.
//!
//! The number is `ledger << 20 | ordinal`, below 2^53. The ordinal counts the trades of the market in that ledger, from
//! 0, by (toid, order). It is the same on every replica and after every reading, because only complete ledgers have
//! numbers.

use super::{coverage::LedgerRange, trade_stats::WindowTrade};

/// Bits of the ordinal.
const ORDINAL_BITS: u32 = 20;

/// Trade with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedTrade {
    /// Number of the trade within its market.
    pub id: u64,
    /// The trade, in the market's own orientation.
    pub trade: WindowTrade,
}

/// Numbers the trades of one market. Leaves out those of ledgers that are not complete in `coverage`, whose ranges must
/// be sorted. The result is in the order of the numbers.
#[must_use]
pub fn numbered(trades: impl IntoIterator<Item = WindowTrade>, coverage: &[LedgerRange]) -> Vec<ListedTrade> {
    // One list from the beginning to the end: a busy market has a million trades.
    let mut listed: Vec<_> = trades.into_iter().map(|trade| ListedTrade { id: 0, trade }).collect();
    listed.sort_unstable_by_key(|listed| listed.trade.token);
    let (mut ledger, mut ordinal) = (0, 0);
    listed.retain_mut(|listed| {
        let own = listed.trade.token.ledger();
        (ledger, ordinal) = if own == ledger { (ledger, ordinal + 1) } else { (own, 0) };
        listed.id = u64::from(ledger) << ORDINAL_BITS | ordinal;
        is_complete(coverage, ledger)
    });
    listed
}

fn is_complete(coverage: &[LedgerRange], ledger: u32) -> bool {
    let place = coverage.partition_point(|range| range.to < ledger);
    coverage.get(place).is_some_and(|range| range.from <= ledger)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{instant::UnixSeconds, test_support::trade};

    fn range(from: u32, to: u32) -> LedgerRange {
        LedgerRange { from, to, from_time: UnixSeconds(0), to_time: UnixSeconds(0) }
    }

    #[test]
    fn ordinals_count_from_0_in_every_ledger_in_any_order_of_arrival() {
        let trades = [(7, 1), (5, 0), (7, 0), (5, 3), (9, 0)];
        let trades = trades.map(|(ledger, order)| trade(ledger, order, ledger, (1, 1), (1, 1)));
        let ids = |coverage: &[LedgerRange]| {
            let listed = numbered(trades, coverage);
            listed
                .iter()
                .map(|of| (of.id >> ORDINAL_BITS, of.id & 0xf_ffff, of.trade.token.order))
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(&[range(1, 9)]), [(5, 0, 0), (5, 1, 3), (7, 0, 0), (7, 1, 1), (9, 0, 0)]);
        assert_eq!(ids(&[range(1, 5), range(8, 8)]), [(5, 0, 0), (5, 1, 3)]);
        assert_eq!(ids(&[]), []);
        assert!(numbered(trades, &[range(1, 9)]).iter().all(|of| of.id < 1 << 53));
    }
}
