//! Selection and order of the list.

use std::cmp::Ordering;

use ticker_domain::market::QUOTE_ASSETS;

use super::{Board, BoardRow, Flag};
use crate::{
    listings::{AssetView, ListingView, MarketView},
    shown::PriceScale,
};

/// Rows of a page of the list.
pub(crate) const PAGE_ROWS: usize = 50;
/// Stroops in a dollar.
const DOLLAR: i128 = 10_000_000;

/// Column that the list is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// The market's name.
    Name,
    /// The last price.
    Price,
    /// Change in an hour.
    Hour,
    /// Change in 24 hours.
    Day,
    /// Change in 7 days.
    Week,
    /// Volume of 24 hours in dollars.
    Volume,
    /// Trades in 24 hours.
    Trades,
    /// Spread.
    Spread,
    /// Age of the last trade.
    Age,
}

/// All columns that sort, in the order of the list.
pub const SORTS: [Sort; 9] = [
    Sort::Name,
    Sort::Price,
    Sort::Hour,
    Sort::Day,
    Sort::Week,
    Sort::Volume,
    Sort::Trades,
    Sort::Spread,
    Sort::Age,
];

impl Sort {
    /// Name in the address.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Price => "price",
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Volume => "volume",
            Self::Trades => "trades",
            Self::Spread => "spread",
            Self::Age => "age",
        }
    }

    /// Returns true if the useful order is the ascending one.
    #[must_use]
    pub const fn is_ascending_first(self) -> bool {
        matches!(self, Self::Name | Self::Spread | Self::Age)
    }
}

/// Selection and order of the list, as the address names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardQuery {
    /// Words that all must be in a code, a key or a domain.
    pub words: String,
    /// Name of the quote asset, or empty for any.
    pub quote: String,
    /// Least volume of 24 hours in dollars.
    pub volume: u32,
    /// True for markets whose two assets are confirmed by their home domains.
    pub is_verified: bool,
    /// True for markets without a warning.
    pub is_clean: bool,
    /// Column of the order.
    pub sort: Sort,
    /// True for the smallest first.
    pub is_ascending: bool,
    /// Page, from 1.
    pub page: usize,
}

impl Default for BoardQuery {
    fn default() -> Self {
        Self {
            words: String::new(),
            quote: String::new(),
            volume: 0,
            is_verified: false,
            is_clean: false,
            sort: Sort::Volume,
            is_ascending: false,
            page: 1,
        }
    }
}

impl BoardQuery {
    /// Quote assets that the list offers to choose from: XLM and the built-in quotes.
    #[must_use]
    pub fn quotes() -> Vec<(String, &'static str)> {
        let code = |text: &'static str| text.split(':').next().unwrap_or(text);
        let listed = QUOTE_ASSETS.iter().map(|text| (text.replace(':', "-"), code(text)));
        std::iter::once(("XLM".to_owned(), "XLM")).chain(listed).collect()
    }

    /// The rows that match, in order.
    #[must_use]
    pub fn select<'a>(&self, board: &'a Board, view: &ListingView) -> Vec<&'a BoardRow> {
        let words: Vec<String> = self.words.split_whitespace().map(str::to_lowercase).collect();
        let mut rows: Vec<&BoardRow> =
            board.rows().iter().filter(|row| self.matches(row, &words, view)).collect();
        // The rows are sorted by name. A stable sort keeps that order between equal rows.
        if self.sort != Sort::Name {
            rows.sort_by(|one, other| self.compare(one, other));
        } else if !self.is_ascending {
            rows.reverse();
        }
        rows
    }

    fn matches(&self, row: &BoardRow, words: &[String], view: &ListingView) -> bool {
        if self.is_clean && row.flags.has_warning() {
            return false;
        }
        if self.is_verified && !(row.flags.has(Flag::BaseVerified) && row.flags.has(Flag::QuoteVerified)) {
            return false;
        }
        if self.volume > 0 && row.volume_usd.is_none_or(|usd| usd < i128::from(self.volume) * DOLLAR) {
            return false;
        }
        if words.is_empty() && self.quote.is_empty() {
            return true;
        }
        let Some(market) = view.market(row.market) else { return false };
        if !self.quote.is_empty() && market.quote().name() != self.quote {
            return false;
        }
        let text = searched(&market);
        words.iter().all(|word| text.contains(word.as_str()))
    }

    /// Order of two rows. A row without the figure is last both ways.
    fn compare(&self, one: &BoardRow, other: &BoardRow) -> Ordering {
        match (key(self.sort, one), key(self.sort, other)) {
            (Some(one), Some(other)) if self.is_ascending => one.cmp(&other),
            (Some(one), Some(other)) => other.cmp(&one),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        }
    }
}

/// Figure that a column sorts by.
fn key(sort: Sort, row: &BoardRow) -> Option<i128> {
    let [hour, day, week] = row.changes.map(|change| change.map(i128::from));
    match sort {
        Sort::Name => None,
        Sort::Price => row.scale.zip(row.price).map(|(scale, units)| comparable(scale, units)),
        Sort::Hour => hour,
        Sort::Day => day,
        Sort::Week => week,
        Sort::Volume => row.volume_usd,
        Sort::Trades => Some(row.trades.into()),
        Sort::Spread => row.spread.map(i128::from),
        Sort::Age => row.age_s.map(i128::from),
    }
}

/// Text that a search looks in, in lower case: codes, keys and domains.
fn searched(market: &MarketView<'_>) -> String {
    let of = |asset: &AssetView<'_>| {
        let domain = asset.home_domain().unwrap_or_default();
        format!("{} {} {domain}", asset.asset().code(), asset.asset().issuer())
    };
    format!("{} {}", of(market.base()), of(market.quote())).to_lowercase()
}

/// Number that orders positive prices of different markets as their doubles, as the page's script does.
fn comparable(scale: PriceScale, units: i64) -> i128 {
    // Positive doubles are in the order of their bits.
    i128::from(scale.plain(units).parse::<f64>().unwrap_or_default().to_bits())
}
