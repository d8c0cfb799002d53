//! Conversion of exact values to doubles, and of doubles to the digits of the legacy files.

use std::fmt::Write;

use super::conversions::{Integer, SaturatingFrom};

/// Double nearest to `numerator / denominator` (ties to even). 0 if the denominator is not positive.
///
/// Dividing two doubles would round three times. This divides integers with more bits than a double has, and rounds
/// once.
#[must_use]
pub fn ratio_to_f64(numerator: i128, denominator: i64) -> f64 {
    let Ok(denominator) = u128::try_from(denominator) else { return 0.0 };
    let magnitude = numerator.unsigned_abs();
    if denominator == 0 || magnitude == 0 {
        return 0.0;
    }
    let shift = magnitude.leading_zeros();
    let scaled = magnitude << shift; // the top bit is set, so the quotient has at least 65 bits
    // The sticky bit records that a remainder was cut off, so that a quotient just above a tie rounds up.
    let sticky = u128::from(!scaled.is_multiple_of(denominator));
    let quotient = (scaled / denominator) | sticky;
    // A power of two scales without rounding.
    let value = quotient.to_f64() * 0.5_f64.powi(i32::saturating_from(shift));
    if numerator < 0 { -value } else { value }
}

/// Appends `value` as Go's `encoding/json` prints a float64.
///
/// Prints the shortest digits that parse to the same value: decimal for 1e-6 <= |x| < 1e21, else an exponent without
/// padding. Infinite values and NaN print as 0.
pub fn push_go_number(out: &mut String, value: f64) {
    if value == 0.0 || !value.is_finite() {
        out.push('0'); // also for -0
        return;
    }
    let magnitude = value.abs();
    // Writing to a String never fails.
    let _ =
        if (1e-6..1e21).contains(&magnitude) { write!(out, "{value}") } else { write_exponent(out, value) };
}

/// Rust prints `1.5e-8` and `1e21`. Go also writes the sign of a positive exponent.
fn write_exponent(out: &mut String, value: f64) -> std::fmt::Result {
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => write!(out, "{digits}e+{exponent}"),
        _ => write!(out, "{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn go(value: f64) -> String {
        let mut out = String::new();
        push_go_number(&mut out, value);
        out
    }

    #[test]
    fn prints_as_the_old_encoder_did() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (100.0, "100"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (1.5e-8, "1.5e-8"),
            (1e-7, "1e-7"),
            (1e-6, "0.000001"),
            (0.000_001_499_999_999_999_999_8, "0.0000014999999999999998"),
            (1e21, "1e+21"),
            (1.25e22, "1.25e+22"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (-0.5, "-0.5"),
            (1.265_822_736_740_908_7e-8, "1.2658227367409087e-8"),
            (f64::NAN, "0"),
        ] {
            assert_eq!(go(value), text);
        }
    }

    #[test]
    fn rounds_once_where_doubles_would_round_repeatedly() {
        assert_eq!(ratio_to_f64(15, 10_000_000), 0.000_001_5);
        assert_eq!(ratio_to_f64(1, 3), 1.0 / 3.0);
        assert_eq!(ratio_to_f64(-1, 4), -0.25);
        assert_eq!(ratio_to_f64(i128::from(i64::MAX), i64::MAX), 1.0);
        assert_eq!(ratio_to_f64(1, i64::MAX), 2_f64.powi(-63));
        assert_eq!(ratio_to_f64(5, 0), 0.0);
    }

    proptest! {
        #[test]
        fn matches_doubles_where_they_are_exact(n in 0..1_i64 << 53, d in 1..1_i64 << 53) {
            prop_assert_eq!(ratio_to_f64(i128::from(n), d), n.to_f64() / d.to_f64());
        }

        #[test]
        fn any_number_reads_back_unchanged(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            let read: f64 = go(value).parse().unwrap();
            let expected = if value.is_finite() { value } else { 0.0 };
            prop_assert_eq!(read, expected);
        }
    }
}
