//! The audit compares what is served with figures recomputed from the raw rows.
//!
//! Pure, and independent of the windows: no code here uses their sums, so an error in them cannot hide itself.

pub mod assets;
pub mod candles;
pub mod graphql;
pub mod lists;
pub mod markets;
mod parts;
mod rows;
mod served;
pub mod sums;
pub mod symbols;
pub mod usd;
pub mod windows;

pub use served::UnreadableError;

use self::{assets::ExpectedAsset, markets::ExpectedMarket};
use crate::domain::plain_text::excerpt;

/// Differences kept in full. Further ones are only counted.
const DIFFERENCES_KEPT_MAX: usize = 1_000;
/// Characters kept of a served or expected text.
const SHOWN_CHARS_MAX: usize = 200;

/// Figures recomputed from the rows for one publication. Every answer of that publication follows from them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected {
    /// Every market of valid assets with a trade in the last 7 days, in no particular order.
    pub markets: Vec<ExpectedMarket>,
    /// Every valid asset, in no particular order.
    pub assets: Vec<ExpectedAsset>,
    /// Issuers of valid assets: public key, and the object that GraphQL's `issuers` should return.
    pub issuers: Vec<(String, String)>,
}

/// Served figure that differs from the expected one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// Pair name, or asset as `CODE:ISSUER`. Empty if the file's own head differs.
    pub entry: String,
    /// Field name. Empty if the whole entry is missing or unexpected.
    pub field: String,
    /// Served value, as written in the file.
    pub served: String,
    /// Value recomputed from the rows.
    pub expected: String,
}

/// Result of comparing one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Comparison {
    /// Number of pairs or assets served.
    pub entries: usize,
    /// Number of figures compared.
    pub figures: u64,
    /// Number of figures that differ.
    pub difference_count: u64,
    /// First differences found, at most 1,000.
    pub differences: Vec<Difference>,
}

impl Comparison {
    fn add_difference(&mut self, entry: &str, field: &str, served: &str, expected: &str) {
        self.difference_count = self.difference_count.saturating_add(1);
        if self.differences.len() < DIFFERENCES_KEPT_MAX {
            let [entry, field, served, expected] =
                [entry, field, served, expected].map(|text| excerpt(text, SHOWN_CHARS_MAX).into_owned());
            self.differences.push(Difference { entry, field, served, expected });
        }
    }

    fn record(&mut self, is_equal: bool, entry: &str, field: &str, served: &str, expected: &str) {
        self.figures = self.figures.saturating_add(1);
        if !is_equal {
            self.add_difference(entry, field, served, expected);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_all_differences_keeps_the_first_and_cuts_their_texts() {
        let mut comparison = Comparison::default();
        for _ in 0..DIFFERENCES_KEPT_MAX + 7 {
            comparison.record(false, "TEA_TEE", "open", &"9".repeat(10_000), "1");
        }
        comparison.record(true, "TEA_TEE", "low", "1", "1");
        assert_eq!(comparison.differences.len(), DIFFERENCES_KEPT_MAX);
        assert_eq!((comparison.difference_count, comparison.figures), (1_007, 1_008));
        assert_eq!(comparison.differences[0].served.chars().count(), SHOWN_CHARS_MAX + 1);
    }
}
