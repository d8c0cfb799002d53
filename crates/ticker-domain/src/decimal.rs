//! Exact figures as plain decimals, for new outputs: never an exponent, never a double.

use std::{
    fmt::Write as _,
    ops::{Div, Mul, Rem},
};

use super::amount::STROOPS_PER_UNIT;

/// Significant digits of a quotient.
const SIGNIFICANT: u32 = 15;
/// Most decimal places of a quotient. A smaller one prints as 0.
const PLACES_MAX: usize = 36;
/// Decimal places of an amount.
const AMOUNT_PLACES: usize = 7;

/// Amount of stroops in units, with seven places: `-12.3456789`.
#[must_use]
pub fn amount(stroops: i128) -> String {
    let sign = if stroops < 0 { "-" } else { "" };
    let unit = STROOPS_PER_UNIT.unsigned_abs();
    // Division of 128 bits takes several times as long, and hardly any amount needs it.
    match u64::try_from(stroops.unsigned_abs()) {
        Ok(magnitude) => format!("{sign}{}.{:0AMOUNT_PLACES$}", magnitude / unit, magnitude % unit),
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
    let (places, round_up) = match (u64::try_from(rest), u64::try_from(d)) {
        (Ok(rest), Ok(d)) if d <= u64::MAX / 10 => divided(rest, d, significant),
        _ => divided(rest, d, significant),
    };
    Some(printed(is_negative, whole, places, round_up))
}

/// Places of `rest / d`, which is below 1, and true if the last of them is to be rounded up. `significant` digits precede
/// them. Ten times `d` must fit in the type.
fn divided<T>(mut rest: T, d: T, mut significant: u32) -> (Vec<u8>, bool)
where
    T: Copy + From<u8> + PartialEq + Mul<Output = T> + Div<Output = T> + Rem<Output = T> + TryInto<u8>,
{
    let mut places = Vec::with_capacity(PLACES_MAX + 1);
    // One more digit than is shown decides the rounding.
    while rest != T::from(0) && significant <= SIGNIFICANT && places.len() <= PLACES_MAX {
        let ten_times = rest * T::from(10);
        let digit = (ten_times / d).try_into().unwrap_or(9);
        rest = ten_times % d;
        places.push(digit);
        significant += u32::from(significant > 0 || digit > 0);
    }
    let is_cut = significant > SIGNIFICANT || places.len() > PLACES_MAX;
    let round_up = is_cut && places.pop().is_some_and(|digit| digit >= 5);
    (places, round_up)
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
    let mut text = String::with_capacity(places.len() + 8);
    if is_negative && !is_zero {
        text.push('-');
    }
    // Writing to a String never fails.
    let _ = match u64::try_from(whole) {
        Ok(whole) => write!(text, "{whole}"),
        Err(_) => write!(text, "{whole}"),
    };
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
