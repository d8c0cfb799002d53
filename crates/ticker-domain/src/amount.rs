//! Amounts of assets in stroops. One stroop is 1/10,000,000 of a unit.

use std::fmt;

/// Stroops in one unit of any asset.
pub const STROOPS_PER_UNIT: i64 = 10_000_000;
/// Decimal places of an amount.
const PLACES: usize = 7;

/// Non-negative amount of one asset, in stroops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i64);

/// Sum of amounts, in stroops. Never negative, and may exceed the range of [`Amount`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Total(i128);

/// Reason why a text or a number is not a valid amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Text that is not `digits` or `digits.digits` with at most seven decimal places.
    #[error("an amount must be a decimal number with at most 7 places")]
    NotDecimal,
    /// Negative number.
    #[error("an amount must not be negative")]
    Negative,
    /// Number beyond the range: 64 bits of stroops for an [`Amount`], 128 bits for a [`Total`].
    #[error("an amount must be at most 922337203685.4775807")]
    TooLarge,
}

impl Amount {
    /// Converts stroops to an amount. Fails if `stroops` is negative.
    pub fn from_stroops(stroops: i64) -> Result<Self, AmountError> {
        if stroops < 0 { Err(AmountError::Negative) } else { Ok(Self(stroops)) }
    }

    /// Value in stroops.
    #[must_use]
    pub const fn stroops(self) -> i64 {
        self.0
    }

    /// Parses Horizon's decimal string, e.g. `12.3456789`.
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        let stroops = Total::parse(text)?.stroops();
        i64::try_from(stroops).map(Self).map_err(|_| AmountError::TooLarge)
    }
}

impl Total {
    /// Converts stroops to a total. Fails if `stroops` is negative.
    pub fn from_stroops(stroops: i128) -> Result<Self, AmountError> {
        if stroops < 0 { Err(AmountError::Negative) } else { Ok(Self(stroops)) }
    }

    /// Value in stroops.
    #[must_use]
    pub const fn stroops(self) -> i128 {
        self.0
    }

    /// Parses Horizon's decimal string, e.g. `1844674407370.9551614`.
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
        // Pad to seven places, so that the digits count stroops: `.5` is 5,000,000.
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
    fn parses_horizons_decimal_strings() {
        assert_eq!(Amount::parse("19.7340000"), Ok(Amount(197_340_000)));
        assert_eq!(Amount::parse("0.0000001"), Ok(Amount(1)));
        assert_eq!(Amount::parse("922337203685.4775807"), Ok(Amount(i64::MAX)));
        assert_eq!(Amount::parse("7"), Ok(Amount(70_000_000)));
    }

    #[test]
    fn rejects_invalid_amounts() {
        for text in ["", ".", "1.", ".5", "1.23456789", "1e3", "+1", " 1", "1,0", "٣", "1.0.0"] {
            assert_eq!(Amount::parse(text), Err(AmountError::NotDecimal), "{text:?}");
        }
        assert_eq!(Amount::parse("-1"), Err(AmountError::Negative));
        assert_eq!(Amount::parse("922337203685.4775808"), Err(AmountError::TooLarge));
        assert_eq!(Amount::parse("99999999999999999999"), Err(AmountError::TooLarge));
        assert_eq!(Amount::from_stroops(-1), Err(AmountError::Negative));
    }

    #[test]
    fn a_total_may_exceed_the_range_of_an_amount() {
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
        fn never_panics_on_any_text(text in "\\PC*") {
            let _ = (Amount::parse(&text), Total::parse(&text));
        }
    }
}
