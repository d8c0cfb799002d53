//! Whole numbers of up to 128 bits in PostgreSQL's `numeric`.

use tokio_postgres::types::{FromSql, Type};

use crate::domain::conversions::SaturatingFrom;

/// Base of the digits in the binary form.
const BASE: u128 = 10_000;
/// Sign of a negative number in the binary form. That of a positive one is 0.
const NEGATIVE: u16 = 0x4000;
/// Length of the head: number of digits, weight of the first one, sign, and scale.
const HEAD_BYTES: usize = 8;

/// A whole number as `numeric`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole(pub(super) i128);

impl Whole {
    /// Binary form.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut digits: Vec<u16> = Vec::new();
        let mut rest = self.0.unsigned_abs();
        while rest > 0 {
            digits.push(u16::saturating_from(rest % BASE));
            rest /= BASE;
        }
        digits.reverse();
        let count = u16::saturating_from(digits.len());
        let sign = if self.0 < 0 { NEGATIVE } else { 0 };
        let head = [count, count.saturating_sub(1), sign, 0];
        head.iter().chain(&digits).flat_map(|number| number.to_be_bytes()).collect()
    }

    /// Reads the binary form. `None` for a fraction, a number beyond 128 bits, and what is no number.
    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (head, digits) = bytes.split_at_checked(HEAD_BYTES)?;
        let mut head = numbers(head);
        let (count, weight, sign) = (head.next()?, head.next()?, head.next()?);
        let digits = numbers(digits);
        if count == 0 {
            return (sign == 0).then_some(Self(0));
        }
        // PostgreSQL leaves out zeros at the end. Their number follows from the weight.
        let zeros = weight.checked_add(1)?.checked_sub(count)?;
        let mut number = 0_i128;
        let base = i128::saturating_from(BASE);
        for digit in digits.chain(std::iter::repeat_n(0, zeros.into())) {
            number = number.checked_mul(base)?.checked_add(digit.into())?;
        }
        match sign {
            0 => Some(Self(number)),
            NEGATIVE => Some(Self(-number)),
            _ => None,
        }
    }
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.as_chunks().0.iter().map(|pair| u16::from_be_bytes(*pair))
}

impl<'a> FromSql<'a> for Whole {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Self::of_bytes(raw).ok_or_else(|| "a number that is not whole or too large".into())
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::NUMERIC
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_postgresql_writes() {
        let bytes = |numbers: &[u16]| numbers.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<u8>>();
        for (numbers, expected) in [
            (&[0, 0, 0, 0][..], Some(0)),
            (&[1, 0, 0, 0, 7], Some(7)),
            (&[1, 1, 0, 0, 3], Some(30_000)),
            (&[2, 2, NEGATIVE, 0, 1, 20], Some(-100_200_000)),
            (&[1, u16::MAX, 0, 4, 5_000], None), // 0.5
            (&[0, 0, 0xC000, 0], None),          // NaN
        ] {
            assert_eq!(Whole::of_bytes(&bytes(numbers)).map(|whole| whole.0), expected, "{numbers:?}");
        }
        assert_eq!(Whole::of_bytes(&[0; 7]), None);
    }

    proptest! {
        #[test]
        fn round_trips(number in (i128::MIN + 1)..=i128::MAX) {
            prop_assert_eq!(Whole::of_bytes(&Whole(number).to_bytes()), Some(Whole(number)));
        }
    }
}
