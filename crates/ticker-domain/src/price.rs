//! Prices as exact ratios.

use std::cmp::Ordering;

use super::number::ratio_to_f64;

/// Positive price `n / d`. It keeps the ratio of the trade and compares by value.
///
/// In a normalised trade it is counter per base, as in Horizon. [`Price::inverse`] is the legacy orientation, base per
/// counter.
#[derive(Clone, Copy, Debug)]
pub struct Price {
    n: i64,
    d: i64,
}

impl Price {
    /// Price `n / d`, or `None` if either is not positive. A trade with such a ratio sets no price.
    #[must_use]
    pub const fn new(n: i64, d: i64) -> Option<Self> {
        if n > 0 && d > 0 { Some(Self { n, d }) } else { None }
    }

    /// Numerator, positive.
    #[must_use]
    pub const fn n(self) -> i64 {
        self.n
    }

    /// Denominator, positive.
    #[must_use]
    pub const fn d(self) -> i64 {
        self.d
    }

    /// Price in the opposite orientation.
    #[must_use]
    pub const fn inverse(self) -> Self {
        Self { n: self.d, d: self.n }
    }

    /// The lower of two prices. Of equal ones the one with the smaller numbers, so that the order does not matter.
    #[must_use]
    pub fn lower(self, other: Self) -> Self {
        self.chosen(other, self < other)
    }

    /// The higher of two prices. Of equal ones the one with the smaller numbers.
    #[must_use]
    pub fn higher(self, other: Self) -> Self {
        self.chosen(other, self > other)
    }

    fn chosen(self, other: Self, wins: bool) -> Self {
        if wins || self == other && self.n <= other.n { self } else { other }
    }

    /// Double nearest to the exact ratio.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        ratio_to_f64(i128::from(self.n), self.d)
    }
}

impl Ord for Price {
    fn cmp(&self, other: &Self) -> Ordering {
        // Both products are below 2^126.
        let left = i128::from(self.n) * i128::from(other.d);
        let right = i128::from(other.n) * i128::from(self.d);
        left.cmp(&right)
    }
}

impl PartialOrd for Price {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Price {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Price {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn compares_by_value() {
        assert_eq!(Price::new(1, 2), Price::new(50, 100));
        assert!(Price::new(i64::MAX, i64::MAX - 1) > Price::new(1, 1));
        assert!(Price::new(0, 1).is_none() && Price::new(1, 0).is_none() && Price::new(-1, -1).is_none());
    }

    #[test]
    fn of_equal_prices_the_same_fraction_wins_in_any_order() {
        let [half, large, third] = [(1, 2), (50, 100), (1, 3)].map(|(n, d)| Price::new(n, d).unwrap());
        let fraction = |price: Price| (price.n(), price.d());
        for (one, other) in [(half, large), (large, half)] {
            assert_eq!((fraction(one.lower(other)), fraction(one.higher(other))), ((1, 2), (1, 2)));
        }
        assert_eq!((fraction(large.lower(third)), fraction(third.higher(large))), ((1, 3), (50, 100)));
    }

    proptest! {
        #[test]
        fn the_inverse_reverses_the_order(a in 1..=i64::MAX, b in 1..=i64::MAX, c in 1..=i64::MAX, d in 1..=i64::MAX) {
            let (left, right) = (Price::new(a, b).unwrap(), Price::new(c, d).unwrap());
            prop_assert_eq!(left.cmp(&right), right.inverse().cmp(&left.inverse()));
            prop_assert!(left.to_f64() > 0.0 && left.to_f64().is_finite());
        }
    }
}
