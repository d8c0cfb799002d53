//! Exact figures as plain decimals, for new outputs: never an exponent, never a double.

use std::ops::{Div, Mul, Rem};

use super::{amount::STROOPS_PER_UNIT, conversions::SaturatingFrom};

/// Significant digits of a quotient.
const SIGNIFICANT: u32 = 15;
/// Most decimal places of a quotient. A smaller one prints as 0.
const PLACES_MAX: usize = 36;
/// Most digits that one division gives.
const AT_ONCE_MAX: u32 = 17;
/// Decimal places of an amount.
const AMOUNT_PLACES: usize = 7;

/// Amount of stroops in units, with seven places: `-12.3456789`.
#[must_use]
pub fn amount(stroops: i128) -> String {
    let (magnitude, unit) = (stroops.unsigned_abs(), STROOPS_PER_UNIT.unsigned_abs());
    // Division of 128 bits takes several times as long, and hardly any amount needs it.
    let (whole, rest) = match u64::try_from(magnitude) {
        Ok(magnitude) => (u128::from(magnitude / unit), magnitude % unit),
        Err(_) => (magnitude / u128::from(unit), u64::saturating_from(magnitude % u128::from(unit))),
    };
    let mut places = Places::default();
    places.push_group(rest, AMOUNT_PLACES, |_| false);
    joined(stroops < 0, whole, places.bytes())
}

/// Quotient with 15 significant digits, rounded half up, without trailing zeros. `None` if the divisor is 0.
///
/// All digits of a longer whole part are given.
#[must_use]
pub fn quotient(numerator: i128, divisor: i128) -> Option<String> {
    let is_negative = (numerator < 0) != (divisor < 0) && numerator != 0;
    let (mut n, mut d) = (numerator.unsigned_abs(), divisor.unsigned_abs());
    // Long division multiplies the remainder by ten.
    while d > u128::MAX / 10 {
        (n, d) = (n / 2, d / 2);
    }
    // Division of 128 bits takes several times as long, and hardly any price needs it.
    let (mut whole, mut places) = match (u64::try_from(n), u64::try_from(d)) {
        (Ok(n), Ok(d)) if d <= u64::MAX / 10 => {
            let (whole, rest) = (n.checked_div(d)?, n.checked_rem(d)?);
            (whole.into(), Places::of(rest, d, (u64::MAX / d).ilog10(), digits_in(whole.into())))
        }
        _ => {
            let (whole, rest) = (n.checked_div(d)?, n.checked_rem(d)?);
            (whole, Places::of(rest, d, (u128::MAX / d).ilog10(), digits_in(whole)))
        }
    };
    whole += u128::from(places.round());
    Some(joined(is_negative, whole, places.without_zeros()))
}

/// Number of digits, 0 for 0.
fn digits_in(whole: u128) -> u32 {
    let log = match u64::try_from(whole) {
        Ok(whole) => whole.checked_ilog10(),
        Err(_) => whole.checked_ilog10(),
    };
    log.map_or(0, |log| log + 1)
}

/// Decimal places of a number, as digits in ASCII.
struct Places {
    digits: [u8; PLACES_MAX + 1],
    count: usize,
    /// Significant digits so far, those of the whole part included.
    significant: u32,
}

impl Default for Places {
    fn default() -> Self {
        Self { digits: [b'0'; PLACES_MAX + 1], count: 0, significant: 0 }
    }
}

impl Places {
    /// Places of `rest / d`, which is below 1, after a whole part with this number of significant digits. If they go
    /// on, there is one more than is shown, which decides the rounding. `d` times ten to the power of `at_once`,
    /// which is at least 1, must fit in the type.
    fn of<T>(mut rest: T, d: T, at_once: u32, significant: u32) -> Self
    where
        T: Copy + From<u64> + PartialEq + Mul<Output = T> + Div<Output = T> + Rem<Output = T> + TryInto<u64>,
    {
        // A division takes longer than everything else here, so each gives as many digits as fit.
        let at_once = at_once.min(AT_ONCE_MAX);
        let power = T::from(10_u64.pow(at_once));
        let mut places = Self { significant, ..Self::default() };
        while rest != T::from(0) && !places.is_cut() {
            let multiple = rest * power;
            rest = multiple % d;
            places.push_group(
                (multiple / d).try_into().unwrap_or_default(),
                usize::saturating_from(at_once),
                Self::is_cut,
            );
        }
        places
    }

    /// Returns true if there is one place more than is shown.
    const fn is_cut(&self) -> bool {
        self.significant > SIGNIFICANT && self.count > 0 || self.count > PLACES_MAX
    }

    /// Adds a number of this many digits, with zeros before it, up to the place where `is_full`.
    fn push_group(&mut self, group: u64, digits: usize, is_full: impl Fn(&Self) -> bool) {
        let mut buffer = itoa::Buffer::new();
        let printed = buffer.format(group).as_bytes();
        let zeros = std::iter::repeat_n(b'0', digits.saturating_sub(printed.len()));
        for digit in zeros.chain(printed.iter().copied()) {
            if is_full(self) {
                return;
            }
            if let Some(place) = self.digits.get_mut(self.count) {
                *place = digit;
            }
            self.count += 1;
            self.significant += u32::from(self.significant > 0 || digit > b'0');
        }
    }

    /// Removes the place that decides the rounding, if there is one. Returns true if the whole part grows by one.
    fn round(&mut self) -> bool {
        if !self.is_cut() {
            return false;
        }
        self.count -= 1;
        let rounds_up = self.digits.get(self.count).is_some_and(|digit| *digit >= b'5');
        if !rounds_up {
            return false;
        }
        let places = self.digits.get_mut(..self.count).unwrap_or_default();
        for digit in places.iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                return false;
            }
            *digit = b'0';
        }
        true
    }

    fn bytes(&self) -> &[u8] {
        self.digits.get(..self.count).unwrap_or_default()
    }

    fn without_zeros(&self) -> &[u8] {
        let bytes = self.bytes();
        let shown = bytes.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
        bytes.get(..shown).unwrap_or_default()
    }
}

fn joined(is_negative: bool, whole: u128, places: &[u8]) -> String {
    let mut buffer = itoa::Buffer::new();
    let printed = match u64::try_from(whole) {
        Ok(whole) => buffer.format(whole),
        Err(_) => buffer.format(whole),
    };
    let places = str::from_utf8(places).unwrap_or_default();
    let mut text = String::with_capacity(printed.len() + places.len() + 2);
    if is_negative && (whole > 0 || !places.is_empty()) {
        text.push('-');
    }
    text.push_str(printed);
    if !places.is_empty() {
        text.push('.');
        text.push_str(places);
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
            (1_234_567_890_123_456_789, 10, "123456789012345679"),
            (1_234_567_890_123_456_784, 10, "123456789012345678"),
            (9_999_999_999_999_999_995, 10, "1000000000000000000"),
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
        while (significant <= 15 || digits.is_empty()) && digits.len() < 37 {
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
