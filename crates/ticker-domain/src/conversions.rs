//! Conversions between kinds of numbers, which say at the call what happens to a number that does not fit.
//!
//! `as` drops bits in silence, so the lint `as_conversions` bans it. `From` lacks most pairs, for example `usize` to
//! `u64`, and `try_from` needs a fallback at each call. These conversions never fail and have no fallback to choose.

/// A whole number of fixed width.
pub trait Integer: Copy + Ord + Default {
    /// Least number of the type.
    const MIN: Self;
    /// Greatest number of the type.
    const MAX: Self;

    /// Double nearest to the number, ties to even. Exact up to 2^53.
    #[must_use]
    fn to_f64(self) -> f64;
}

/// Conversion that takes the limit of the type for a number beyond it.
pub trait SaturatingFrom<N> {
    /// Number of this type that is nearest to `number`: 0 for a negative one if the type has no sign.
    ///
    /// Cuts off the fraction of a double. NaN becomes 0.
    #[must_use]
    fn saturating_from(number: N) -> Self;
}

impl<T: Integer + TryFrom<N>, N: Integer> SaturatingFrom<N> for T {
    fn saturating_from(number: N) -> T {
        let limit = if number < N::default() { T::MIN } else { T::MAX };
        T::try_from(number).unwrap_or(limit)
    }
}

macro_rules! integers {
    ($($integer:ident)*) => { $(
        impl Integer for $integer {
            const MIN: Self = Self::MIN;
            const MAX: Self = Self::MAX;

            #[expect(clippy::as_conversions, reason = "rounds to nearest, ties to even; `From` lacks these pairs")]
            fn to_f64(self) -> f64 {
                self as f64
            }
        }

        impl SaturatingFrom<f64> for $integer {
            #[expect(clippy::as_conversions, reason = "saturates, and is the only conversion from a double")]
            fn saturating_from(number: f64) -> Self {
                number as Self
            }
        }
    )* };
}

integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_that_fits_stays_the_same() {
        assert_eq!(u64::saturating_from(7_usize), 7);
        assert_eq!(usize::saturating_from(u32::MAX), 4_294_967_295);
        assert_eq!(i32::saturating_from(-5_i64), -5);
        assert_eq!(i64::saturating_from(9_223_372_036_854_775_807_u64), i64::MAX);
        assert_eq!(i8::saturating_from(-128_i128), i8::MIN);
    }

    #[test]
    fn a_number_beyond_a_limit_becomes_the_limit() {
        assert_eq!(u32::saturating_from(4_294_967_296_u64), u32::MAX);
        assert_eq!(u8::saturating_from(256_i32), u8::MAX);
        assert_eq!(i64::saturating_from(9_223_372_036_854_775_808_u64), i64::MAX);
        assert_eq!(i32::saturating_from(i64::MIN), i32::MIN);
        assert_eq!(i64::saturating_from(i128::MIN), i64::MIN);
        assert_eq!(i128::saturating_from(u128::MAX), i128::MAX);
    }

    #[test]
    fn a_negative_number_becomes_0_in_a_type_without_a_sign() {
        assert_eq!(u64::saturating_from(-1_i64), 0);
        assert_eq!(usize::saturating_from(i32::MIN), 0);
        assert_eq!(u16::saturating_from(-1_i16), 0);
    }

    #[test]
    fn a_double_loses_its_fraction_and_stops_at_the_limits() {
        assert_eq!(u8::saturating_from(254.999), 254);
        assert_eq!(u8::saturating_from(256.0), u8::MAX);
        assert_eq!(u64::saturating_from(-0.5), 0);
        assert_eq!(i64::saturating_from(-1.9), -1);
        assert_eq!(i64::saturating_from(f64::INFINITY), i64::MAX);
        assert_eq!(i64::saturating_from(f64::NEG_INFINITY), i64::MIN);
        assert_eq!(u32::saturating_from(f64::NAN), 0);
    }

    #[test]
    fn doubles_are_exact_to_2_to_the_53rd_and_then_round_to_even() {
        let exact = 1_u64 << 53;
        assert_eq!(exact.to_f64(), 9_007_199_254_740_992.0);
        assert_eq!((exact + 1).to_f64(), 9_007_199_254_740_992.0);
        assert_eq!((exact + 3).to_f64(), 9_007_199_254_740_996.0);
        assert_eq!((-3_i64).to_f64(), -3.0);
        assert_eq!(u128::MAX.to_f64(), 2_f64.powi(128));
    }

    proptest! {
        #[test]
        fn the_nearest_number_is_a_clamped_one(number in any::<i128>()) {
            prop_assert_eq!(
                i128::from(i64::saturating_from(number)),
                number.clamp(i64::MIN.into(), i64::MAX.into())
            );
            prop_assert_eq!(i128::from(u16::saturating_from(number)), number.clamp(0, u16::MAX.into()));
        }
    }
}
