//! The audit: what is served against what the raw rows come to. Pure, and independent of the windows: nothing in here
//! and below uses their sums.

pub mod assets;
pub mod graphql;
pub mod lists;
pub mod markets;
mod rows;
mod served;
pub mod sums;
pub mod windows;

pub use served::Unreadable;

use self::{assets::ExpectedAsset, markets::ExpectedMarket};

/// Differences that are kept in full; more are only counted.
const DIFFERENCES_KEPT_MAX: usize = 1_000;
/// Characters of a served or expected text that are kept.
const SHOWN_CHARS_MAX: usize = 200;

/// What the rows come to at one publication, from which all answers of it follow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected {
    /// Every market of valid assets with a trade in the last 7 days, in no particular order.
    pub markets: Vec<ExpectedMarket>,
    /// Every valid asset, in no particular order.
    pub assets: Vec<ExpectedAsset>,
    /// Every issuer of a valid asset: its key, and its object in an answer to GraphQL's `issuers`.
    pub issuers: Vec<(String, String)>,
}

/// One figure that is served otherwise than it should be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// The pair, or the asset as `CODE:ISSUER`; empty where the file itself differs.
    pub entry: String,
    /// The field; empty where the whole entry is missing or too much.
    pub field: String,
    /// What is served, as it stands in the file.
    pub served: String,
    /// What the rows come to.
    pub expected: String,
}

/// What came of comparing one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Comparison {
    /// Pairs or assets that are served.
    pub entries: usize,
    /// Figures that were compared.
    pub figures: u64,
    /// How many differ.
    pub difference_count: u64,
    /// The first of those.
    pub differences: Vec<Difference>,
}

impl Comparison {
    fn differs(&mut self, entry: &str, field: &str, served: &str, expected: &str) {
        self.difference_count = self.difference_count.saturating_add(1);
        if self.differences.len() < DIFFERENCES_KEPT_MAX {
            let [entry, field, served, expected] = [entry, field, served, expected].map(shortened);
            self.differences.push(Difference { entry, field, served, expected });
        }
    }

    fn compared(&mut self, agrees: bool, entry: &str, field: &str, served: &str, expected: &str) {
        self.figures = self.figures.saturating_add(1);
        if !agrees {
            self.differs(entry, field, served, expected);
        }
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_counted_beyond_those_that_are_kept_and_their_texts_are_cut() {
        let mut comparison = Comparison::default();
        for _ in 0..DIFFERENCES_KEPT_MAX + 7 {
            comparison.compared(false, "TEA_TEE", "open", &"9".repeat(10_000), "1");
        }
        comparison.compared(true, "TEA_TEE", "low", "1", "1");
        assert_eq!(comparison.differences.len(), DIFFERENCES_KEPT_MAX);
        assert_eq!((comparison.difference_count, comparison.figures), (1_007, 1_008));
        assert_eq!(comparison.differences[0].served.chars().count(), SHOWN_CHARS_MAX + 1);
    }
}
