//! Exact figures as plain decimals, for new outputs: never an exponent, never a double.

use std::fmt::Write as _;

use super::amount::STROOPS_PER_UNIT;

/// Significant digits of a quotient.
const SIGNIFICANT: usize = 15;
/// Most decimal places of a quotient. A smaller one prints as 0.
const PLACES_MAX: usize = 36;
/// Decimal places of an amount.
const AMOUNT_PLACES: usize = 7;

/// Amount of stroops in units, with seven places: `-12.3456789`.
#[must_use]
pub fn amount(stroops: i128) -> String {
    let sign = if stroops < 0 { "-" } else { "" };
    let unit = u128::from(STROOPS_PER_UNIT.unsigned_abs());
    let magnitude = stroops.unsigned_abs();
    format!("{sign}{}.{:0AMOUNT_PLACES$}", magnitude / unit, magnitude % unit)
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
    let (whole, mut rest) = (n.checked_div(d)?, n.checked_rem(d)?);
    let mut places = Vec::new();
    let mut significant = if whole == 0 { 0 } else { whole.to_string().len() };
    // One more digit than is shown decides the rounding.
    while rest != 0 && significant <= SIGNIFICANT && places.len() <= PLACES_MAX {
        rest *= 10;
        let digit = u8::try_from(rest / d).unwrap_or(9);
        rest %= d;
        places.push(digit);
        significant += usize::from(significant > 0 || digit > 0);
    }
    let is_cut = significant > SIGNIFICANT || places.len() > PLACES_MAX;
    let round_up = is_cut && places.pop().is_some_and(|digit| digit >= 5);
    Some(printed(is_negative, whole, places, round_up))
}

fn printed(is_negative: bool, mut whole: u128, mut places: Vec<u8>, round_up: bool) -> String {
    if round_up {
        let mut carries = true;
        for digit in places.iter_mut().rev() {
            if *digit < 9 {
                *digit += 1;
                carries = false;
                break;
            }
            *digit = 0;
        }
        whole += u128::from(carries);
    }
    while places.last() == Some(&0) {
        places.pop();
    }
    let is_zero = whole == 0 && places.is_empty();
    let mut text = if is_negative && !is_zero { "-".to_owned() } else { String::new() };
    // Writing to a String never fails.
    let _ = write!(text, "{whole}");
    if !places.is_empty() {
        text.push('.');
        text.extend(places.into_iter().map(|digit| char::from(b'0' + digit)));
    }
    text
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

    proptest! {
        #[test]
        fn quotients_are_right_to_the_last_digit(n in any::<i64>(), d in 1..=i64::MAX) {
            let text = quotient(n.into(), d.into()).unwrap();
            prop_assert!(!text.contains('e') && !text.ends_with('.') && !text.starts_with('.'));
            let (read, exact) = (text.parse::<f64>().unwrap(), ratio_to_f64(n.into(), d));
            prop_assert!((read - exact).abs() <= exact.abs() * 1e-14, "{text} {exact}");
        }
    }
}
