//! Requests that an open stream costs without an admission, as far as its records show them. Pure.

use std::time::{Duration, Instant};

/// Shortest interval between two looks of Horizon for a new ledger. The public one looks every 5 s.
const LOOKS_APART_MIN: Duration = Duration::from_secs(1);

/// Cost of one connection. Horizon counts a request whenever it looks and finds a new ledger. One look sends all
/// records up to that ledger, and the connection's own request pays for the first look.
#[derive(Debug)]
pub(super) struct StreamCost {
    /// Highest ledger of the received records; 0 before the first.
    highest: u32,
    /// Time of the last look that is paid for.
    paid_at: Instant,
}

impl StreamCost {
    /// Cost of a connection that was opened now.
    pub(super) const fn new(opened: Instant) -> Self {
        Self { highest: 0, paid_at: opened }
    }

    /// Records that a record of this ledger was received. Returns true if Horizon counted a request for it.
    pub(super) fn note_record(&mut self, ledger: u32, received_at: Instant) -> bool {
        let is_new = ledger > self.highest;
        self.highest = self.highest.max(ledger);
        let is_counted = is_new && received_at.saturating_duration_since(self.paid_at) >= LOOKS_APART_MIN;
        if is_counted {
            self.paid_at = received_at;
        }
        is_counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(cost: &mut StreamCost, records: impl Iterator<Item = (u32, Instant)>) -> usize {
        records.filter(|(ledger, at)| cost.note_record(*ledger, *at)).count()
    }

    #[test]
    fn many_ledgers_in_one_chunk_are_one_look() {
        let opened = Instant::now();
        let mut cost = StreamCost::new(opened);
        assert_eq!(counted(&mut cost, (1..=200).map(|ledger| (ledger, opened))), 0, "the connection paid");
        let later = opened + Duration::from_secs(10);
        assert_eq!(counted(&mut cost, (201..=400).map(|ledger| (ledger, later))), 1);
    }

    #[test]
    fn a_ledger_every_five_seconds_costs_a_request_each() {
        let opened = Instant::now();
        let mut cost = StreamCost::new(opened);
        let records = (1..=10).flat_map(|step| {
            let at = opened + Duration::from_secs(5 * u64::from(step));
            [(step, at), (step, at)]
        });
        assert_eq!(counted(&mut cost, records), 10);
    }

    #[test]
    fn ledgers_below_the_highest_cost_nothing_and_no_order_of_them_more_than_a_request_a_second() {
        let opened = Instant::now();
        let mut cost = StreamCost::new(opened);
        let at = |step: u32| opened + Duration::from_millis(10) * step;
        assert_eq!(counted(&mut cost, (0..100_000).map(|step| (7 + step % 2, at(step)))), 0);
        let mut cost = StreamCost::new(opened);
        assert_eq!(counted(&mut cost, (0..1_000).map(|step| (7 + step, at(step)))), 9, "in ten seconds");
    }
}
