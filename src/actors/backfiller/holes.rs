//! Holes in Horizon's own history. While an operator loads old ledgers into a Horizon, those between may be missing.
//! A page then goes on below them as if nobody had traded.

use super::history_error::HistoryError;
use crate::{
    domain::{
        cursor::PagingToken,
        instant::{HOUR, UnixSeconds},
    },
    horizon::{HorizonClient, HorizonError},
};

/// Smallest distance between two trades, in ledgers, at which a pause may be a hole.
pub(super) const HOLE_LEDGERS_MIN: u32 = 200;
/// Longest pause between two trades, in seconds, that is believed without a request.
const PAUSE_MAX_S: i64 = HOUR;
/// Most pauses of one page for which Horizon is asked. A network without many trades has a long pause below each.
const ASKED_MAX: usize = 10;

/// Pause between two neighbouring trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pause {
    /// Trade above it.
    pub(super) above: PagingToken,
    /// Ledger in its middle.
    pub(super) middle: u32,
    /// Length in ledgers.
    ledgers: u32,
}

/// Returns the long pauses between trades, the newest first: the longest ones if there are many. `trades` go from new
/// to old, with their close times. Only ledgers from `from` to `to` count.
pub(super) fn pauses(trades: &[(PagingToken, UnixSeconds)], from: u32, to: u32) -> Vec<Pause> {
    let neighbours = trades.iter().zip(trades.iter().skip(1));
    let mut pauses: Vec<Pause> = neighbours
        .filter_map(|((above, above_at), (below, below_at))| {
            let first = below.ledger().saturating_add(1).max(from);
            let last = above.ledger().saturating_sub(1).min(to);
            let ledgers = above.ledger().saturating_sub(below.ledger());
            let is_long = ledgers > HOLE_LEDGERS_MIN && above_at.minus(PAUSE_MAX_S) > *below_at;
            (is_long && first <= last).then(|| Pause { above: *above, middle: first.midpoint(last), ledgers })
        })
        .collect();
    if pauses.len() > ASKED_MAX {
        pauses.sort_by_key(|pause| std::cmp::Reverse(pause.ledgers));
        pauses.truncate(ASKED_MAX);
        pauses.sort_by_key(|pause| std::cmp::Reverse(pause.above));
    }
    pauses
}

/// Returns the newest pause in which Horizon lacks a ledger. Costs a request for each pause.
pub(super) async fn first_hole(
    horizon: &HorizonClient,
    pauses: &[Pause],
) -> Result<Option<Pause>, HistoryError> {
    for pause in pauses {
        match ledger_state(horizon, pause.middle, pause.above.ledger()).await? {
            LedgerState::Held => {}
            LedgerState::Lacking => return Ok(Some(*pause)),
            LedgerState::NotServed => break,
        }
    }
    Ok(None)
}

/// Answer of Horizon for a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LedgerState {
    /// Horizon has it.
    Held,
    /// Horizon does not have it.
    Lacking,
    /// This address serves no ledgers: a proxy passes only some paths.
    NotServed,
}

/// Asks Horizon for a ledger. If Horizon lacks it, also asks for `known`, which a page or the root has named. If that
/// is missing too, this address serves no ledgers.
pub(super) async fn ledger_state(
    horizon: &HorizonClient,
    ledger: u32,
    known: u32,
) -> Result<LedgerState, HorizonError> {
    if answer(horizon, ledger).await? == Some(true) {
        return Ok(LedgerState::Held);
    }
    match answer(horizon, known).await? {
        Some(true) if ledger != known => Ok(LedgerState::Lacking),
        _ => Ok(LedgerState::NotServed),
    }
}

/// Returns true if Horizon has the ledger, false if it does not, none if the answer is not Horizon's.
async fn answer(horizon: &HorizonClient, ledger: u32) -> Result<Option<bool>, HorizonError> {
    match horizon.ledger_hash(ledger).await {
        Ok(hash) => Ok(Some(hash.is_some())),
        Err(
            error @ (HorizonError::Connect(_) | HorizonError::RateLimited { .. } | HorizonError::Silent(_)),
        ) => Err(error),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trade(ledger: u32, at: i64) -> (PagingToken, UnixSeconds) {
        (PagingToken { order: 1, ..PagingToken::before_ledger(ledger) }, UnixSeconds(at))
    }

    fn middles(trades: &[(PagingToken, UnixSeconds)], from: u32, to: u32) -> Vec<u32> {
        pauses(trades, from, to).iter().map(|pause| pause.middle).collect()
    }

    #[test]
    fn a_pause_counts_if_it_is_long_in_ledgers_and_in_time() {
        let below = |ledger, at| middles(&[trade(1_000, 100_000), trade(ledger, at)], 1, 2_000);
        assert_eq!(below(500, 90_000), [750]);
        assert_eq!(below(799, 90_000), [899]);
        assert!(below(800, 90_000).is_empty(), "few ledgers: the network stood still");
        assert_eq!(below(500, 100_000 - HOUR - 1), [750]);
        assert!(below(500, 100_000 - HOUR).is_empty(), "an hour without a trade is common");
    }

    #[test]
    fn only_the_wanted_ledgers_of_a_pause_count() {
        let trades = [trade(1_000, 100_000), trade(500, 50_000)];
        assert_eq!(middles(&trades, 800, 900), [850]);
        assert!(middles(&trades, 1_000, 2_000).is_empty() && middles(&trades, 1, 500).is_empty());
    }

    #[test]
    fn of_many_pauses_the_longest_are_asked_for_from_new_to_old() {
        let length = |step: u32| if step == 3 || step == 20 { 5_000 } else { 300 };
        let mut ledger = 100_000;
        let trades: Vec<_> = (0..40)
            .map(|step| {
                ledger -= length(step);
                trade(ledger, i64::from(ledger) * 60)
            })
            .collect();
        let asked = pauses(&trades, 1, 200_000);
        assert_eq!(asked.len(), ASKED_MAX);
        assert!(asked.is_sorted_by_key(|pause| std::cmp::Reverse(pause.above)));
        assert_eq!(asked.iter().filter(|pause| pause.ledgers == 5_000).count(), 2);
    }
}
