//! Exact figures as plain decimals, for new outputs: never an exponent, never a double.

use std::{
    fmt::Write as _,
    ops::{Div, Mul, Rem},
};

use super::{amount::STROOPS_PER_UNIT, conversions::SaturatingFrom};

/// Significant digits of a quotient.
const SIGNIFICANT: u32 = 15;
/// Most decimal places of a quotient. A smaller one prints as 0.
const PLACES_MAX: usize = 36;
/// Most digits that one division gives.
const GROUP_MAX: usize = 17;
/// Decimal places of an amount.
const AMOUNT_PLACES: usize = 7;

/// Amount of stroops in units, with seven places: `-12.3456789`.
#[must_use]
pub fn amount(stroops: i128) -> String {
    let sign = if stroops < 0 { "-" } else { "" };
    let unit = STROOPS_PER_UNIT.unsigned_abs();
    // Division of 128 bits takes several times as long, and hardly any amount needs it.
    match u64::try_from(stroops.unsigned_abs()) {
        Ok(magnitude) => {
            let mut text = String::with_capacity(20);
            // Writing to a String never fails.
            let _ = write!(text, "{sign}{}.", magnitude / unit);
            let places = digits_of(magnitude % unit).into_iter().skip(GROUP_MAX - AMOUNT_PLACES);
            text.extend(places.map(letter));
            text
        }
        Err(_) => {
            let (magnitude, unit) = (stroops.unsigned_abs(), u128::from(unit));
            format!("{sign}{}.{:0AMOUNT_PLACES$}", magnitude / unit, magnitude % unit)
        }
    }
}

/// Quotient with 15 significant digits, rounded half up, without trailing zeros. `None` if the divisor is 0.
///
/// The whole part is never rounded, however many digits it has.
#[must_use]
pub fn quotient(numerator: i128, divisor: i128) -> Option<String> {
    let is_negative = (numerator < 0) != (divisor < 0) && numerator != 0;
    let (mut n, mut d) = (numerator.unsigned_abs(), divisor.unsigned_abs());
    // Long division multiplies the remainder by ten.
    while d > u128::MAX / 10 {
        (n, d) = (n / 2, d / 2);
    }
    let (whole, rest) = (n.checked_div(d)?, n.checked_rem(d)?);
    let significant = whole.checked_ilog10().map_or(0, |log| log + 1);
    // Division of 128 bits takes several times as long, and hardly any price needs it.
    let places = match (u64::try_from(rest), u64::try_from(d)) {
        (Ok(rest), Ok(d)) if d <= u64::MAX / 10 => Places::of(rest, d, u64::MAX / d, significant),
        _ => Places::of(rest, d, u128::MAX / d, significant),
    };
    Some(places.printed(is_negative, whole))
}

/// Decimal places of a quotient.
struct Places {
    digits: [u8; PLACES_MAX + 1],
    count: usize,
    /// True if the last place is to be rounded up.
    rounds_up: bool,
}

impl Places {
    /// Places of `rest / d`, which is below 1. `significant` digits precede them. `room` times `d` must fit in the type,
    /// and be at least ten times `d`.
    fn of<T>(mut rest: T, d: T, room: T, mut significant: u32) -> Self
    where
        T: Copy + From<u64> + PartialOrd + Mul<Output = T> + Div<Output = T> + Rem<Output = T> + TryInto<u64>,
    {
        // A division takes longer than everything else here, so each gives as many digits as there is room for.
        let (mut at_once, mut power) = (1, 10);
        while at_once < GROUP_MAX && T::from(power * 10) <= room {
            (at_once, power) = (at_once + 1, power * 10);
        }
        let mut places = Self { digits: [0; PLACES_MAX + 1], count: 0, rounds_up: false };
        // One more digit than is shown decides the rounding.
        let is_cut = |significant, count| significant > SIGNIFICANT || count > PLACES_MAX;
        while rest != T::from(0) && !is_cut(significant, places.count) {
            let multiple = rest * T::from(power);
            let group = (multiple / d).try_into().unwrap_or_default();
            rest = multiple % d;
            for digit in digits_of(group).into_iter().skip(GROUP_MAX - at_once) {
                if is_cut(significant, places.count) {
                    break;
                }
                places.push(digit);
                significant += u32::from(significant > 0 || digit > 0);
            }
        }
        // A whole part of 16 or more digits leaves no place.
        if is_cut(significant, places.count) && places.count > 0 {
            places.count -= 1;
            places.rounds_up = places.digits.get(places.count).is_some_and(|digit| *digit >= 5);
        }
        places
    }

    fn push(&mut self, digit: u8) {
        if let Some(place) = self.digits.get_mut(self.count) {
            *place = digit;
            self.count += 1;
        }
    }

    fn printed(mut self, is_negative: bool, mut whole: u128) -> String {
        let places = self.digits.get_mut(..self.count).unwrap_or_default();
        if self.rounds_up {
            let nines = places.iter().rev().take_while(|digit| **digit == 9).count();
            let (kept, carried) = places.split_at_mut(places.len() - nines);
            carried.fill(0);
            match kept.last_mut() {
                Some(digit) => *digit += 1,
                None => whole += 1,
            }
        }
        let shown = places.iter().rposition(|digit| *digit > 0).map_or(0, |last| last + 1);
        let mut text = String::with_capacity(shown + 8);
        if is_negative && (whole > 0 || shown > 0) {
            text.push('-');
        }
        // Writing to a String never fails.
        let _ = match u64::try_from(whole) {
            Ok(whole) => write!(text, "{whole}"),
            Err(_) => write!(text, "{whole}"),
        };
        if shown > 0 {
            text.push('.');
            text.extend(places.iter().take(shown).copied().map(letter));
        }
        text
    }
}

/// Last [`GROUP_MAX`] digits of a number, with zeros before it.
fn digits_of(mut number: u64) -> [u8; GROUP_MAX] {
    let mut digits = [0; GROUP_MAX];
    for digit in digits.iter_mut().rev() {
        *digit = u8::saturating_from(number % 10);
        number /= 10;
    }
    digits
}

fn letter(digit: u8) -> char {
    char::from(b'0' + digit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::ratio_to_f64;
    use proptest::prelude::*;

    #[test]
    fn quotients_have_fifteen_significant_digits() {
        for (n, d, text) in [
            (1, 3, "0.333333333333333"),
            (2, 3, "0.666666666666667"),
            (10, 5, "2"),
            (-1, 8, "-0.125"),
            (1, 1_000_000_000_000, "0.000000000001"),
            (1_234_567_890_123_456_789, 1, "1234567890123456789"),
            (1_234_567_890_123_456_789, 10, "123456789012345678"),
            (999_999_999_999_999_999, 1_000_000_000_000_000_000, "1"),
            (0, 7, "0"),
            (i128::MAX, i128::MAX, "1"),
            (1, i128::MAX, "0"),
        ] {
            assert_eq!(quotient(n, d).unwrap(), text, "{n}/{d}");
        }
        assert_eq!(quotient(1, 0), None);
    }

    #[test]
    fn amounts_have_seven_places() {
        assert_eq!(amount(0), "0.0000000");
        assert_eq!(amount(-1), "-0.0000001");
        assert_eq!(amount(123_456_789_012), "12345.6789012");
    }

    /// Long division, digit by digit, by the rule.
    fn by_hand(n: u64, d: u64) -> String {
        let (whole, mut rest) = (n / d, u128::from(n % d));
        let (mut digits, mut significant) =
            (String::new(), if whole > 0 { whole.to_string().len() } else { 0 });
        while significant <= 15 && digits.len() < 37 {
            rest *= 10;
            let digit = rest / u128::from(d);
            rest %= u128::from(d);
            digits.push_str(&digit.to_string());
            significant += usize::from(significant > 0 || digit > 0);
        }
        if significant <= 15 && digits.len() < 37 {
            return format!("{whole}.{digits}");
        }
        let last = digits.pop().unwrap_or('0');
        let joined: u128 = format!("{whole}{digits}").parse().unwrap();
        let rounded = (joined + u128::from(last >= '5')).to_string();
        let padded = format!("{rounded:0>width$}", width = digits.len() + 1);
        let (whole, places) = padded.split_at(padded.len() - digits.len());
        let places = places.trim_end_matches('0');
        if places.is_empty() { whole.to_owned() } else { format!("{whole}.{places}") }
    }

    proptest! {
        /// Quotients near a carry too: of small numbers, and of one number by a close one.
        #[test]
        fn quotients_equal_long_division_by_hand(
            (n, d) in prop_oneof![
                (any::<u64>(), 1..=u64::MAX),
                (0..100_000_u64, 1..100_000_u64),
                (any::<u64>(), 1..10_000_u64),
                (1..10_000_u64, 1..=u64::MAX),
                (1_u64 << 40..1 << 62, 0..3_u64).prop_map(|(d, less)| (d - less, d)),
            ],
        ) {
            prop_assert_eq!(quotient(n.into(), d.into()).unwrap(), by_hand(n, d), "{}/{}", n, d);
        }

        #[test]
        fn quotients_are_right_to_the_last_digit(n in any::<i64>(), d in 1..=i64::MAX) {
            let text = quotient(n.into(), d.into()).unwrap();
            prop_assert!(!text.contains('e') && !text.ends_with('.') && !text.starts_with('.'));
            let (read, exact) = (text.parse::<f64>().unwrap(), ratio_to_f64(n.into(), d));
            prop_assert!((read - exact).abs() <= exact.abs() * 1e-14, "{text} {exact}");
        }

        /// Numbers of 64 bits take a shorter way.
        #[test]
        fn quotients_of_either_width_are_equal(n in any::<u64>(), d in 1..=u64::MAX / 10) {
            let wide = quotient(i128::from(n) << 62, i128::from(d) << 62);
            prop_assert_eq!(quotient(n.into(), d.into()), wide);
            let unit = i128::from(STROOPS_PER_UNIT);
            prop_assert_eq!(amount(n.into()), format!("{}.{:07}", i128::from(n) / unit, i128::from(n) % unit));
        }
    }
}
