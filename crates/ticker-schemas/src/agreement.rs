//! Comparisons of documents: a market has the same figures in every format.
//!
//! Figures are compared as decimal texts, with all of their digits. No comparison rounds.

mod bars;
mod books;
mod formats;
mod reference;
mod table;
mod trades;

pub use bars::{aggregations, udf_history};
pub use books::book;
pub use formats::{Format, IdStyle};
pub use reference::{Reference, ReferenceMarket};
pub use trades::trades;

use ticker_domain::plain_text::shown;

use crate::validator::VIOLATIONS_MAX;

/// Document that cannot be compared, because it is not what its schema says.
#[derive(Debug, thiserror::Error)]
#[error("{document} cannot be compared: {reason}")]
pub struct UnreadableError {
    document: &'static str,
    reason: String,
}

impl UnreadableError {
    fn new(document: &'static str, reason: impl std::fmt::Display) -> Self {
        Self { document, reason: reason.to_string() }
    }
}

/// Result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Number of compared entries: markets, trades, bars or levels.
    pub entries: usize,
    /// Differences, at most [`Compared::SHOWN_MAX`], without hidden characters.
    pub differences: Vec<String>,
}

impl Compared {
    /// Most differences that are kept. The rest would say the same again.
    pub const SHOWN_MAX: usize = VIOLATIONS_MAX;

    /// True if the documents had nothing in common to compare.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries == 0 && self.differences.is_empty()
    }

    fn differs(&mut self, text: impl AsRef<str>) {
        if self.differences.len() < Self::SHOWN_MAX {
            self.differences.push(shown(text.as_ref()).into_owned());
        }
    }

    /// Notes a difference if two figures are not equal. The one of `theirs` is the checked one.
    fn same(&mut self, place: &str, theirs: Option<&str>, ours: Option<&str>) {
        let (theirs, ours) = (theirs.map(plain), ours.map(plain));
        if theirs != ours {
            let text = |figure: Option<&str>| figure.unwrap_or("nothing").to_owned();
            self.differs(format!("{place} is {}, expected {}", text(theirs), text(ours)));
        }
    }
}

/// Decimal without zeros at its end, so that `1.50` equals `1.5`. Any other text is returned as it is.
fn plain(text: &str) -> &str {
    let is_decimal =
        text.contains('.') && text.bytes().all(|byte| byte.is_ascii_digit() || b".-".contains(&byte));
    if is_decimal { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_equal_whatever_their_zeros() {
        for (one, other) in [("1.50", "1.5"), ("3.0000000", "3"), ("100", "100"), ("XLM", "XLM")] {
            assert_eq!(plain(one), plain(other));
        }
        assert_ne!(plain("100"), plain("1"));
        let mut compared = Compared::default();
        compared.same("a", Some("1.0"), Some("1"));
        compared.same("b", None, Some("2"));
        assert_eq!(compared.differences, ["b is nothing, expected 2"]);
    }
}
