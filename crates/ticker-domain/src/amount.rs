//! Amounts in stroops, the ten-millionth part of a unit.

use std::fmt;

/// Stroops in one unit of any asset.
pub const STROOPS_PER_UNIT: i64 = 10_000_000;
/// Digits after the point.
const PLACES: usize = 7;

/// A non-negative amount of some asset, in stroops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i64);

/// What several hold together, in stroops: more than an [`Amount`] can be, but never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Total(i128);

/// Why a text or a number is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not `digits` or `digits.digits` with at most seven places.
    #[error("an amount must be a decimal number with at most 7 places")]
    NotDecimal,
    /// Below zero.
    #[error("an amount must not be negative")]
    Negative,
    /// Beyond what 64 bits of stroops hold; a total: 128.
    #[error("an amount must be at most 922337203685.4775807")]
    TooLarge,
}

impl Amount {
    /// The amount of this many stroops.
    pub fn from_stroops(stroops: i64) -> Result<Self, AmountError> {
        if stroops < 0 { Err(AmountError::Negative) } else { Ok(Self(stroops)) }
    }

    /// How many stroops it is.
    #[must_use]
    pub const fn stroops(self) -> i64 {
        self.0
    }

    /// Reads Horizon's decimal string, e.g. `12.3456789`.
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        let stroops = Total::parse(text)?.stroops();
        i64::try_from(stroops).map(Self).map_err(|_| AmountError::TooLarge)
    }
}

impl Total {
    /// The total of this many stroops.
    pub fn from_stroops(stroops: i128) -> Result<Self, AmountError> {
        if stroops < 0 { Err(AmountError::Negative) } else { Ok(Self(stroops)) }
    }

    /// How many stroops it is.
    #[must_use]
    pub const fn stroops(self) -> i128 {
        self.0
    }

    /// Reads Horizon's decimal string, e.g. `1844674407370.9551614`.
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        if text.starts_with('-') {
            return Err(AmountError::Negative);
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > PLACES {
            return Err(AmountError::NotDecimal);
        }
        let whole: i128 = whole.parse().map_err(|_| AmountError::TooLarge)?;
        let fraction: i128 = format!("{fraction:0<PLACES$}").parse().map_err(|_| AmountError::NotDecimal)?;
        whole
            .checked_mul(STROOPS_PER_UNIT.into())
            .and_then(|stroops| stroops.checked_add(fraction))
            .map(Self)
            .ok_or(AmountError::TooLarge)
    }
}

impl From<Amount> for Total {
    fn from(amount: Amount) -> Self {
        Self(amount.0.into())
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:07}", self.0 / STROOPS_PER_UNIT, self.0 % STROOPS_PER_UNIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_horizon_writes() {
        assert_eq!(Amount::parse("19.7340000"), Ok(Amount(197_340_000)));
        assert_eq!(Amount::parse("0.0000001"), Ok(Amount(1)));
        assert_eq!(Amount::parse("922337203685.4775807"), Ok(Amount(i64::MAX)));
        assert_eq!(Amount::parse("7"), Ok(Amount(70_000_000)));
    }

    #[test]
    fn refuses_what_is_no_amount() {
        for text in ["", ".", "1.", ".5", "1.23456789", "1e3", "+1", " 1", "1,0", "٣", "1.0.0"] {
            assert_eq!(Amount::parse(text), Err(AmountError::NotDecimal), "{text:?}");
        }
        assert_eq!(Amount::parse("-1"), Err(AmountError::Negative));
        assert_eq!(Amount::parse("922337203685.4775808"), Err(AmountError::TooLarge));
        assert_eq!(Amount::parse("99999999999999999999"), Err(AmountError::TooLarge));
        assert_eq!(Amount::from_stroops(-1), Err(AmountError::Negative));
    }

    #[test]
    fn a_total_may_be_more_than_an_amount() {
        assert_eq!(Total::parse("1844674407370.9551614"), Ok(Total(2 * i128::from(i64::MAX))));
        assert_eq!(Total::parse("7").unwrap(), Amount(70_000_000).into());
        assert_eq!(Total::parse("9".repeat(40).as_str()), Err(AmountError::TooLarge));
        assert_eq!(Total::parse("-1"), Err(AmountError::Negative));
        assert_eq!(Total::from_stroops(-1), Err(AmountError::Negative));
    }

    proptest! {
        #[test]
        fn printing_and_reading_round_trip(stroops in 0..=i64::MAX) {
            let amount = Amount::from_stroops(stroops).unwrap();
            prop_assert_eq!(Amount::parse(&amount.to_string()), Ok(amount));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = (Amount::parse(&text), Total::parse(&text));
        }
    }
}
