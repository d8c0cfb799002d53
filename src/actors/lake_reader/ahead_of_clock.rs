//! Ledgers that the clock of this machine does not allow yet.

use crate::domain::instant::{DAY, UnixSeconds};

/// Ledger that closed more than a day ahead of this machine's clock. Its trades would be refused as those of a future,
/// so it is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the clock of this machine is more than a day slow, or ledger {ledger} of the lake is wrong: it closed at {}. It is \
     read again later", .closed_at.to_rfc3339()
)]
pub struct AheadOfClockError {
    ledger: u32,
    closed_at: UnixSeconds,
}

impl AheadOfClockError {
    /// Checks the close time of a ledger.
    pub(super) fn check(ledger: u32, closed_at: UnixSeconds, now: UnixSeconds) -> Result<(), Self> {
        if closed_at > now.plus(DAY) { Err(Self { ledger, closed_at }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_may_be_a_day_ahead_of_the_clock() {
        let now = UnixSeconds(1_800_000_000);
        assert_eq!(AheadOfClockError::check(7, now.plus(DAY), now), Ok(()));
        let ahead = AheadOfClockError::check(7, now.plus(DAY + 1), now).unwrap_err();
        assert!(ahead.to_string().contains("more than a day slow, or ledger 7 of the lake"), "{ahead}");
    }
}
