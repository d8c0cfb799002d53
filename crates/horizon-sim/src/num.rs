//! Hashing and smooth noise. Uses only additions and multiplications, so every machine gets the same bits.

const UNIT: f64 = 1.0 / 4_294_967_296.0;

/// Finaliser of SplitMix64: every input bit affects every output bit.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Hash of three words. The order matters.
pub(crate) fn hash3(a: u64, b: u64, c: u64) -> u64 {
    mix(mix(mix(a) ^ b) ^ c)
}

/// Upper half of a hash as a number in `[0, 1)`.
pub(crate) fn unit(hash: u64) -> f64 {
    f64::from(high(hash)) * UNIT
}

/// Upper 32 bits.
pub(crate) fn high(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or(u32::MAX)
}

/// Lower 32 bits.
pub(crate) fn low(hash: u64) -> u32 {
    u32::try_from(hash & 0xffff_ffff).unwrap_or(u32::MAX)
}

/// Hash as an index below `len`. 0 for an empty list.
pub(crate) fn below(hash: u64, len: usize) -> usize {
    let len = u64::try_from(len).unwrap_or(u64::MAX).max(1);
    usize::try_from(hash % len).unwrap_or(0)
}

/// Smooth noise in `[-1, 1]`: hashed values at every `period` steps, interpolated smoothly.
pub(crate) fn noise(seed: u64, step: u32, period: u32) -> f64 {
    let cell = step / period;
    let at = |cell: u32| unit(hash3(seed, u64::from(period), u64::from(cell))).mul_add(2.0, -1.0);
    let t = f64::from(step % period) / f64::from(period);
    let smooth = t * t * 2.0f64.mul_add(-t, 3.0);
    let (from, to) = (at(cell), at(cell.saturating_add(1)));
    (to - from).mul_add(smooth, from)
}

/// Nearest double. Sizes here need no exact bits.
#[expect(clippy::as_conversions, reason = "there is no `From`; `as` rounds to nearest")]
pub(crate) fn to_f64(value: i64) -> f64 {
    value as f64
}

/// Next whole number that is not below the value, saturating. 0 for a negative value and for NaN.
#[expect(clippy::as_conversions, reason = "the only conversion from a double; `as` saturates here")]
pub(crate) fn ceil_u32(value: f64) -> u32 {
    value.ceil() as u32
}

/// Nearest whole number, saturating. NaN becomes 0.
#[expect(clippy::as_conversions, reason = "the only conversion from a double; `as` saturates here")]
pub(crate) fn round_i64(value: f64) -> i64 {
    value.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_continuous_and_bounded() {
        let mut last = noise(7, 0, 100);
        for step in 1..1000 {
            let value = noise(7, step, 100);
            assert!((-1.0..=1.0).contains(&value));
            assert!((value - last).abs() < 0.05, "jumps at {step}");
            last = value;
        }
    }

    #[test]
    fn round_saturates() {
        assert_eq!(round_i64(1e300), i64::MAX);
        assert_eq!(round_i64(f64::NAN), 0);
        assert_eq!(round_i64(-2.4), -2);
    }

    #[test]
    fn part_of_a_number_counts_as_a_whole_one() {
        assert_eq!([0.0, 0.001, 1.0, 1.5].map(ceil_u32), [0, 1, 1, 2]);
        assert_eq!([-1.5, f64::NAN, 1e300].map(ceil_u32), [0, 0, u32::MAX]);
    }
}
