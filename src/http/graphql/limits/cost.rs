//! Cost of a document, and the limits that it must keep.

use crate::{
    domain::{conversions::SaturatingFrom, market_snapshot::MarketSnapshot},
    http::graphql::output::ANSWER_BYTES_MAX,
};

/// Depth of brackets of any kind, checked before the recursive parser runs. GraphiQL's introspection has 14.
pub(super) const NESTING_MAX: usize = 40;
/// Depth of fields, with fragments expanded.
const DEPTH_MAX: u32 = 20;
/// Number of fragments.
pub(super) const FRAGMENTS_MAX: usize = 50;
/// Number of fields, with fragments expanded. A client that queries 100 pairs by aliases, each with all fields, needs
/// 2,200.
const FIELDS_MAX: u32 = 2_500;
/// Fields of a small document.
const SMALL_FIELDS: u32 = 60;
/// Markets that are scanned for a small document, for all its fields together. Each takes some 100 ns, and a
/// microsecond or two if it is in the answer.
const SMALL_MARKETS: u32 = 1_000;
/// Number of aliases.
const ALIASES_MAX: u32 = 100;
/// Number of directives.
pub(super) const DIRECTIVES_MAX: u32 = 50;
/// Number of whole lists: assets, issuers, introspection, tickers without a pair's name, and markets without the codes
/// of both sides.
const WHOLE_LISTS_MAX: u32 = 8;
/// Number of values (rows times fields) in all lists. All fields of 30,000 markets and 40,000 assets are 2.7 million
/// values. Printing this limit takes two seconds.
pub(super) const VALUES_MAX: u64 = 4_000_000;
/// Depth of lists of introspection. Each level multiplies the answer. `types { fields { args } }` has 3.
const INTROSPECTION_LISTS_MAX: u32 = 3;

/// Limit that a document exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::http::graphql) enum LimitError {
    #[error("brackets are nested deeper than {NESTING_MAX}")]
    Nesting,
    #[error("fields are nested deeper than {DEPTH_MAX}")]
    Depth,
    #[error("more than {FRAGMENTS_MAX} fragments")]
    Fragments,
    #[error("more than {FIELDS_MAX} fields")]
    Fields,
    #[error("more than {ALIASES_MAX} aliases")]
    Aliases,
    #[error("more than {DIRECTIVES_MAX} directives")]
    Directives,
    #[error("more than {WHOLE_LISTS_MAX} whole lists")]
    WholeLists,
    #[error("lists of introspection are nested deeper than {INTROSPECTION_LISTS_MAX}")]
    Introspection,
    #[error(
        "{0} values (rows times fields), the limit is {VALUES_MAX}: request fewer fields or lists at once"
    )]
    Values(u64),
    #[error("an answer of more than {} MiB: request fewer fields or lists at once, or accept gzip", ANSWER_BYTES_MAX >> 20)]
    Bytes,
}

/// Cost of a document or of a part of it, with fragments expanded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::http::graphql) struct Cost {
    pub(super) depth: u32,
    pub(super) fields: u32,
    pub(super) aliases: u32,
    pub(super) directives: u32,
    /// Whole lists at the root.
    pub(super) whole_lists: u32,
    /// Markets that are scanned for all other fields at the root.
    pub(super) markets: u32,
    /// True if a field returns pairs, which need the sums of all books.
    pub(super) has_pairs: bool,
    /// True if a field returns trades or candles, for which up to 7 days of trades are scanned.
    pub(super) has_history: bool,
    pub(super) introspection_lists: u32,
}

/// Adds a number of things to a count.
pub(super) fn add(count: u32, more: usize) -> u32 {
    count.saturating_add(u32::saturating_from(more))
}

impl Cost {
    /// Returns true if the document may take long, so that it queues with other large ones.
    pub(in crate::http::graphql) const fn is_large(&self) -> bool {
        self.whole_lists > 0 || self.markets > SMALL_MARKETS
    }

    /// Returns true if the answer takes well below a millisecond on this snapshot.
    pub(in crate::http::graphql) fn is_small(&self, snapshot: &MarketSnapshot) -> bool {
        let has_books = !self.has_pairs || snapshot.has_book_sums();
        !self.is_large() && self.fields <= SMALL_FIELDS && has_books && !self.has_history
    }

    /// Adds the cost of a sibling. The depth is the maximum, not the sum.
    pub(super) fn add(&mut self, other: &Self) {
        self.depth = self.depth.max(other.depth);
        self.fields = self.fields.saturating_add(other.fields);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.directives = self.directives.saturating_add(other.directives);
        self.whole_lists = self.whole_lists.saturating_add(other.whole_lists);
        self.markets = self.markets.saturating_add(other.markets);
        self.has_pairs |= other.has_pairs;
        self.has_history |= other.has_history;
        self.introspection_lists = self.introspection_lists.max(other.introspection_lists);
    }

    pub(super) const fn within_limits(self) -> Result<Self, LimitError> {
        match self {
            Self { depth, .. } if depth > DEPTH_MAX => Err(LimitError::Depth),
            Self { fields, .. } if fields > FIELDS_MAX => Err(LimitError::Fields),
            Self { aliases, .. } if aliases > ALIASES_MAX => Err(LimitError::Aliases),
            Self { directives, .. } if directives > DIRECTIVES_MAX => Err(LimitError::Directives),
            Self { whole_lists, .. } if whole_lists > WHOLE_LISTS_MAX => Err(LimitError::WholeLists),
            Self { introspection_lists, .. } if introspection_lists > INTROSPECTION_LISTS_MAX => {
                Err(LimitError::Introspection)
            }
            within => Ok(within),
        }
    }
}
