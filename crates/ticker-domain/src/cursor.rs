//! Paging tokens: positions of trades in Horizon's history.

use std::{fmt, str::FromStr};

use super::conversions::SaturatingFrom;

/// Bits of a toid below the ledger number: transaction (20) and operation (12).
const LEDGER_SHIFT: u32 = 32;

/// Position and identity of a trade, written `<toid>-<order>`. Tokens are ordered by both numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PagingToken {
    /// `ledger << 32 | transaction << 12 | operation`. Never negative.
    pub toid: i64,
    /// Index of the trade within its operation. Never negative.
    pub order: i32,
}

/// Error for a text that is not a paging token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a paging token must be two whole numbers, <toid>-<order>")]
pub struct PagingTokenError;

impl PagingToken {
    /// Position before every trade.
    pub const FIRST: Self = Self { toid: 0, order: 0 };
    /// Position after every trade.
    pub const LAST: Self = Self { toid: i64::MAX, order: i32::MAX };

    /// Token of these two numbers, or `None` if either is negative.
    #[must_use]
    pub const fn new(toid: i64, order: i32) -> Option<Self> {
        if toid < 0 || order < 0 { None } else { Some(Self { toid, order }) }
    }

    /// Position before every trade of `ledger` and after all trades of lower ledgers.
    #[must_use]
    pub fn before_ledger(ledger: u32) -> Self {
        // A ledger above 2^31 has no toid. Its position is after everything.
        let toid = i64::from(ledger).checked_mul(1 << LEDGER_SHIFT).unwrap_or(i64::MAX);
        Self { toid, order: 0 }
    }

    /// Position directly after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        match self.order.checked_add(1) {
            Some(order) => Self { order, ..self },
            None => Self { toid: self.toid.saturating_add(1), order: 0 },
        }
    }

    /// Ledger of the trade.
    #[must_use]
    pub fn ledger(self) -> u32 {
        u32::saturating_from(self.toid >> LEDGER_SHIFT)
    }
}

impl FromStr for PagingToken {
    type Err = PagingTokenError;

    fn from_str(text: &str) -> Result<Self, PagingTokenError> {
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let (toid, order) = text.split_once('-').ok_or(PagingTokenError)?;
        if !digits(toid) || !digits(order) {
            return Err(PagingTokenError);
        }
        Self::new(toid.parse().map_err(|_| PagingTokenError)?, order.parse().map_err(|_| PagingTokenError)?)
            .ok_or(PagingTokenError)
    }
}

impl fmt::Display for PagingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.toid, self.order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn orders_as_numbers_not_as_text() {
        let [ninth, tenth]: [PagingToken; 2] = ["100-9", "100-10"].map(|text| text.parse().unwrap());
        assert!(ninth < tenth);
        assert!(PagingToken::before_ledger(5) < PagingToken { toid: (5 << 32) + (1 << 12) + 1, order: 0 });
        assert_eq!("148329556015616001-3".parse::<PagingToken>().unwrap().ledger(), 34_535_666);
    }

    #[test]
    fn rejects_other_texts() {
        for text in
            ["", "5", "-5", "5-", "-", "5--1", "+5-1", "5-1-1", "99999999999999999999-1", "1-99999999999"]
        {
            assert_eq!(text.parse::<PagingToken>(), Err(PagingTokenError), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn round_trips(toid in 0..=i64::MAX, order in 0..=i32::MAX) {
            let token = PagingToken { toid, order };
            prop_assert_eq!(token.to_string().parse(), Ok(token));
        }

        #[test]
        fn nothing_lies_between_a_position_and_the_next(toid in 0..i64::MAX, order in 0..=i32::MAX) {
            let (token, next) = (PagingToken { toid, order }, PagingToken { toid, order }.next());
            let before = PagingToken { order: next.order.wrapping_sub(1), ..next };
            prop_assert!(token < next && (before == token || next.order == 0));
        }

        #[test]
        fn every_ledger_has_a_position(ledger in any::<u32>()) {
            let place = PagingToken::before_ledger(ledger);
            prop_assert!(place.ledger() == ledger || place.toid == i64::MAX);
        }
    }
}
