//! Selection and order of the list.

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

    /// The same selection. If its page is beyond the last page of the list of all markets, it gets that last page.
    #[must_use]
    pub fn within(self, view: &ListingView) -> Self {
        let page = self.page.clamp(1, pages(view.snapshot().windows().figures().count()));
        Self { page, ..self }
    }

    /// The rows that match, in order.
    #[must_use]
    pub fn select<'a>(&self, board: &'a Board, view: &ListingView) -> Vec<&'a BoardRow> {
        let words = words(&self.words);
        let mut rows: Vec<&BoardRow> =
            board.rows().iter().filter(|row| self.matches(row, &words, view)).collect();
        // The rows are sorted by name. A stable sort keeps that order between equal rows.
        if self.sort != Sort::Name {
            // The figure of a price is parsed from its text, so each is computed once and not for each comparison.
            rows.sort_by_cached_key(|row| self.rank(row));
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

    /// Rank of a row: the smallest comes first. A row without the figure is last both ways.
    fn rank(&self, row: &BoardRow) -> (bool, i128) {
        // The complement of a number exchanges the order of all numbers, and never overflows.
        let directed = |figure: i128| if self.is_ascending { figure } else { !figure };
        key(self.sort, row).map_or((true, 0), |figure| (false, directed(figure)))
    }
}

/// Pages of a list with so many rows. An empty one has a page too.
pub(crate) fn pages(rows: usize) -> usize {
    rows.div_ceil(PAGE_ROWS).max(1)
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

/// Words of a search, in lower case. Marks between the parts of a name as the ticker prints it split words too:
/// `XLM_USDC-G…`, `USDC:G…`, `XLM/USDC`, `GA5Z…KZVN`. The page's script splits alike.
fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let parts = text.split(|letter: char| letter.is_whitespace() || [':', '_', '/', '…'].contains(&letter));
    // A domain may hold a dash, so one counts only before a key or its beginning.
    let halves = |part: &'_ str| match part.rsplit_once('-') {
        Some((code, key)) if is_key_start(key) => [code.to_owned(), key.to_owned()],
        _ => [part.to_owned(), String::new()],
    };
    parts.flat_map(halves).filter(|word| !word.is_empty()).collect()
}

/// Returns true for the beginning of an account's key in lower case.
fn is_key_start(text: &str) -> bool {
    text.starts_with('g') && text.bytes().all(|letter| matches!(letter, b'a'..=b'z' | b'2'..=b'7'))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Totals;

    /// Numbers of the markets in the order of this column.
    fn order(rows: &[BoardRow], sort: Sort, is_ascending: bool) -> Vec<i32> {
        let board = Board { rows: rows.to_vec(), totals: Totals::default() };
        let query = BoardQuery { sort, is_ascending, ..BoardQuery::default() };
        query.select(&board, &crate::test_view::view(&[])).iter().map(|row| row.market).collect()
    }

    #[test]
    fn equal_rows_keep_their_order_and_a_row_without_the_figure_is_last_both_ways() {
        let view = crate::test_view::view(&[]);
        let row = Board::of(&view).rows()[0];
        let spreads = [(1, Some(3)), (2, None), (3, Some(-1)), (4, Some(3)), (5, None), (6, Some(i64::MIN))];
        let rows = spreads.map(|(market, spread)| BoardRow { market, spread, ..row });
        assert_eq!(order(&rows, Sort::Spread, true), [6, 3, 1, 4, 2, 5]);
        assert_eq!(order(&rows, Sort::Spread, false), [1, 4, 3, 6, 2, 5]);
        let prices = [(1, Some((20, 1))), (2, Some((1, 10_000_000))), (3, None), (4, Some((7, 2)))];
        let rows = prices.map(|(market, price)| {
            let scale = price.and_then(PriceScale::of);
            BoardRow {
                market,
                scale,
                price: scale.zip(price).and_then(|(scale, price)| scale.units(price)),
                ..row
            }
        });
        assert_eq!(order(&rows, Sort::Price, true), [2, 4, 1, 3], "of different decimals");
        assert_eq!(order(&rows, Sort::Price, false), [1, 4, 2, 3]);
    }

    #[test]
    fn a_page_beyond_the_last_one_is_the_last_one() {
        let codes: Vec<_> = (0..60).map(|number| (format!("T{number}"), 1)).collect();
        for (view, last) in [(crate::test_view::view(&[]), 1), (crate::test_view::view(&codes), 2)] {
            let pages = [0, 1, 2, 3, 1_000_000].map(|page| BoardQuery { page, ..BoardQuery::default() });
            assert_eq!(pages.map(|query| query.within(&view).page), [1, 1, last, last, last]);
        }
    }

    #[test]
    fn words_are_found_in_every_spelling_that_the_ticker_prints() {
        let view = crate::test_view::view(&[("TEA".to_owned(), 1)]);
        let board = Board::of(&view);
        let issuer = view.market(2).unwrap().base().asset().issuer().to_owned();
        let (start, end) = (&issuer[..4], &issuer[52..]);
        for words in [
            format!("TEA:{issuer}"),
            format!("TEA-{issuer}"),
            format!("tea-{}", start.to_lowercase()),
            format!("XLM_TEA-{issuer}"),
            "XLM/TEA".to_owned(),
            "XLM / TEA".to_owned(),
            format!("native_TEA:{issuer}"),
            format!("TEA {start}…{end}"),
        ] {
            let query = BoardQuery { words: words.clone(), ..BoardQuery::default() };
            let found: Vec<_> = query.select(&board, &view).iter().map(|row| row.market).collect();
            assert_eq!(found, [2], "{words}");
        }
        let none = BoardQuery { words: format!("USD-{issuer}"), ..BoardQuery::default() };
        assert!(none.select(&board, &view).is_empty());
    }

    #[test]
    fn a_dash_of_a_domain_splits_no_word() {
        assert_eq!(words("My-Shop.example tea"), ["my-shop.example", "tea"]);
        assert_eq!(words("a-b-GABC - /"), ["a-b", "gabc", "-"]);
        assert_eq!(words("tea-g"), ["tea", "g"]);
        assert_eq!(words("tea-g1"), ["tea-g1"], "no key has a 1");
    }
}
