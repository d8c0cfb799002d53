//! Immutable data of one publication, from which all answers are computed.
//!
//! It shares data with the aggregator's state. The aggregator copies shared data before it changes it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

use super::{
    coverage::LedgerRange,
    directory::Directory,
    instant::{HOUR, UnixSeconds},
    listed_asset::ListedAsset,
    orderbook::BookFigures,
    ticker::{self, Pair, pair_name},
    trade_stats::TradeStats,
    window::LONGEST_HOURS,
    windows::{MarketId, WindowsView},
};

/// Windows, assets, markets, order books and complete ledgers of one publication, as of one second.
#[derive(Clone, Debug, Default)]
pub struct MarketSnapshot {
    windows: WindowsView,
    directory: Directory,
    coverage: Arc<Vec<LedgerRange>>,
    /// Valid assets, sorted by code, then issuer.
    assets: Arc<Vec<Arc<ListedAsset>>>,
    /// Summed order books by the pair name that the two codes spell. Computed on first use.
    books: OnceLock<HashMap<String, BookFigures>>,
}

/// Filter for markets. A field that is `None` matches anything. Codes and issuers match exactly, and XLM's issuer is
/// `native`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarketFilter {
    /// Code of the base.
    pub base_code: Option<String>,
    /// Issuer of the base.
    pub base_issuer: Option<String>,
    /// Code of the counter.
    pub counter_code: Option<String>,
    /// Issuer of the counter.
    pub counter_issuer: Option<String>,
}

/// Two codes of a pair name, in either order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairCodes(String, String);

/// Figures of one market over some hours.
#[derive(Clone, Copy, Debug)]
pub struct MarketRow<'a> {
    /// Base asset.
    pub base: &'a ListedAsset,
    /// Counter asset.
    pub counter: &'a ListedAsset,
    /// Trade statistics of those hours, with at least one trade.
    pub stats: TradeStats,
    /// Order book of the market. All 0 if it was never polled.
    pub book: BookFigures,
}

/// Figures of one pair over some hours, summed over all issuers of its codes.
#[derive(Clone, Debug)]
pub struct TickerRow {
    /// Name, `<base>_<counter>`, made of anchor codes for assets that have one.
    pub name: String,
    /// Trade statistics of those hours, with at least one trade.
    pub stats: TradeStats,
    /// Summed order books of the markets whose codes spell the name.
    pub book: BookFigures,
}

impl MarketSnapshot {
    /// Combines windows and directory, which must be of the same state. No ledger counts as complete.
    #[must_use]
    pub fn new(windows: WindowsView, mut directory: Directory) -> Self {
        let (books, coverage) = (OnceLock::new(), Arc::default());
        Self { books, assets: directory.listing(), windows, directory, coverage }
    }

    /// The same with complete ledgers, which must be of the same state too. The windows hold all their trades.
    #[must_use]
    pub fn with_coverage(self, coverage: Arc<Vec<LedgerRange>>) -> Self {
        Self { coverage, ..self }
    }

    /// Complete ledgers, merged and in order.
    #[must_use]
    pub fn coverage(&self) -> &[LedgerRange] {
        &self.coverage
    }

    /// The same without a copy, for an owner.
    #[must_use]
    pub fn shared_coverage(&self) -> Arc<Vec<LedgerRange>> {
        Arc::clone(&self.coverage)
    }

    /// Windows of all markets.
    #[must_use]
    pub const fn windows(&self) -> &WindowsView {
        &self.windows
    }

    /// Assets, markets and order books.
    #[must_use]
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Name of the pair that a market's trades belong to, or `None` if one of its assets is not valid.
    #[must_use]
    pub fn pair_of(&self, market: MarketId) -> Option<String> {
        let (base, counter) = self.directory.valid_sides(market)?;
        Some(pair_name(base.pair_code(), counter.pair_code()))
    }

    /// Summed order books of the markets whose codes spell `name`.
    #[must_use]
    pub fn book_of_pair(&self, name: &str) -> BookFigures {
        self.books().get(name).copied().unwrap_or_default()
    }

    /// Returns true if the order books are already summed by name. If not, the next [`Self::book_of_pair`] blocks to
    /// sum them.
    #[must_use]
    pub fn has_book_sums(&self) -> bool {
        self.books.get().is_some()
    }

    fn books(&self) -> &HashMap<String, BookFigures> {
        self.books.get_or_init(|| {
            let traded = self.windows.figures().map(|(market, _)| market);
            ticker::books_by_name(traded, &self.directory)
        })
    }

    /// Time of all figures.
    #[must_use]
    pub const fn as_of(&self) -> UnixSeconds {
        self.windows.as_of()
    }

    /// Valid assets, sorted by code, then issuer.
    #[must_use]
    pub const fn assets(&self) -> &Arc<Vec<Arc<ListedAsset>>> {
        &self.assets
    }

    /// Pairs of `markets.json` with a trade in the last 7 days, by name.
    #[must_use]
    pub fn pairs(&self) -> Vec<Pair> {
        ticker::pairs(self.windows.figures(), &self.directory, self.books())
    }

    /// Fetch time of the oldest order book that is used, or `None` without order books.
    #[must_use]
    pub fn oldest_book(&self) -> Option<UnixSeconds> {
        let shown = |(market, _)| {
            let book = self.directory.book(market)?;
            self.directory.valid_sides(market).map(|_| book.fetched_at)
        };
        self.windows.figures().filter_map(shown).min()
    }

    /// Base, counter and fetch time of each order book that is used, the oldest first.
    #[must_use]
    pub fn book_times(&self) -> Vec<(&ListedAsset, &ListedAsset, UnixSeconds)> {
        let shown = |(market, _)| {
            let book = self.directory.book(market)?;
            self.directory.valid_sides(market).map(|(base, counter)| (base, counter, book.fetched_at))
        };
        let mut times: Vec<_> = self.windows.figures().filter_map(shown).collect();
        times.sort_by_key(|(.., fetched_at)| *fetched_at);
        times
    }

    /// Start of a window of `hours` hours. Exclusive: a trade at that second is outside.
    #[must_use]
    pub const fn since(&self, hours: i64) -> UnixSeconds {
        self.as_of().minus(hours.saturating_mul(HOUR))
    }

    /// Markets that match a filter and traded in the last `hours` hours, sorted by `CODE:ISSUER` of base and counter.
    /// Empty unless `hours` is 1 to 168.
    #[must_use]
    pub fn markets(&self, filter: &MarketFilter, hours: i64) -> Vec<MarketRow<'_>> {
        self.markets_while(filter, hours, &|| true)
    }

    /// Same as [`Self::markets`], but stops when `should_continue` returns false. The caller must then discard
    /// the partial result.
    #[must_use]
    pub fn markets_while(
        &self,
        filter: &MarketFilter,
        hours: i64,
        should_continue: &dyn Fn() -> bool,
    ) -> Vec<MarketRow<'_>> {
        let mut rows: Vec<MarketRow<'_>> = self
            .traded(hours, &self.candidates(&filter.codes()), |base, counter| filter.matches(base, counter))
            .take_while(|_| should_continue())
            .map(|(market, base, counter, stats)| {
                let book = self.directory.book(market).map(|book| book.figures).unwrap_or_default();
                MarketRow { base, counter, stats, book }
            })
            .collect();
        // A name is built once per row, not once per comparison.
        rows.sort_by_cached_key(MarketRow::name);
        rows
    }

    /// Pairs that traded in the last `hours` hours, by name. Empty unless `hours` is 1 to 168.
    #[must_use]
    pub fn tickers(&self, hours: i64) -> Vec<TickerRow> {
        self.tickers_while(hours, &|| true)
    }

    /// Same as [`Self::tickers`], but stops when `should_continue` returns false. The caller must then discard
    /// the partial result.
    #[must_use]
    pub fn tickers_while(&self, hours: i64, should_continue: &dyn Fn() -> bool) -> Vec<TickerRow> {
        self.summed(hours, &self.candidates(&[]), |_, _| true, should_continue)
    }

    /// Pairs of the markets of two codes (not anchors). Tries XLM first, else the codes in byte order, and the opposite
    /// order only if the first finds nothing.
    #[must_use]
    pub fn tickers_of(&self, codes: &PairCodes, hours: i64) -> Vec<TickerRow> {
        let [first, second] = codes.in_order();
        let of_either = self.candidates(&[first, second]);
        let of = |base_code: &str, counter_code: &str| {
            let is_match = |base: &ListedAsset, counter: &ListedAsset| {
                base.code() == base_code && counter.code() == counter_code
            };
            self.summed(hours, &of_either, is_match, &|| true)
        };
        let found = of(first, second);
        // Equal codes have no opposite order.
        if found.is_empty() && first != second { of(second, first) } else { found }
    }

    fn summed(
        &self,
        hours: i64,
        candidates: &[MarketId],
        is_match: impl Fn(&ListedAsset, &ListedAsset) -> bool,
        should_continue: &dyn Fn() -> bool,
    ) -> Vec<TickerRow> {
        let mut sums: BTreeMap<String, TradeStats> = BTreeMap::new();
        for (_, base, counter, stats) in
            self.traded(hours, candidates, is_match).take_while(|_| should_continue())
        {
            sums.entry(pair_name(base.pair_code(), counter.pair_code())).or_default().merge(&stats);
        }
        let row = |(name, stats): (String, TradeStats)| {
            let book = self.books().get(&name).copied().unwrap_or_default();
            TickerRow { name, stats, book }
        };
        sums.into_iter().map(row).collect()
    }

    /// Markets that may have assets of all these codes: those of the code with the fewest markets. All markets without
    /// codes.
    fn candidates(&self, codes: &[&str]) -> Vec<MarketId> {
        let Some(code) = codes.iter().min_by_key(|code| self.directory.count_markets_of_code(code)) else {
            return self.windows.figures().map(|(market, _)| market).collect();
        };
        let assets = self.directory.assets_of_code(code).iter();
        let mut markets: Vec<MarketId> =
            assets.flat_map(|asset| self.directory.markets_of_asset(*asset)).collect();
        // A market with such assets on both sides was added twice.
        markets.sort_unstable();
        markets.dedup();
        markets
    }

    /// Upper bound on the number of markets to examine for an answer about two codes. Cheap: it sums nothing.
    #[must_use]
    pub fn count_candidates(&self, [one, other]: [&str; 2]) -> usize {
        self.directory.count_markets_of_code(one).min(self.directory.count_markets_of_code(other))
    }

    /// Upper bound on the number of markets that match a filter. Cheap: it sums nothing.
    #[must_use]
    pub fn count_markets(&self, filter: &MarketFilter) -> usize {
        let counts = filter.codes().into_iter().map(|code| self.directory.count_markets_of_code(code));
        counts.min().unwrap_or_else(|| self.windows.market_count())
    }

    /// Markets of valid assets that match and that traded in the last `hours` hours, with their sums. Sums only those
    /// that match.
    fn traded(
        &self,
        hours: i64,
        markets: &[MarketId],
        is_match: impl Fn(&ListedAsset, &ListedAsset) -> bool,
    ) -> impl Iterator<Item = (MarketId, &ListedAsset, &ListedAsset, TradeStats)> {
        // Other windows exist in no snapshot, so they have no rows.
        let is_window = (1..=LONGEST_HOURS).contains(&hours);
        markets.iter().copied().filter(move |_| is_window).filter_map(move |market| {
            let sides = self.directory.valid_sides(market);
            let (base, counter) = sides.filter(|(base, counter)| is_match(base, counter))?;
            let stats = self.windows.last_hours(market, hours);
            (!stats.is_empty()).then_some((market, base, counter, stats))
        })
    }
}

impl MarketFilter {
    fn codes(&self) -> Vec<&str> {
        [&self.base_code, &self.counter_code].into_iter().flatten().map(String::as_str).collect()
    }

    fn matches(&self, base: &ListedAsset, counter: &ListedAsset) -> bool {
        let is = |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|wanted| wanted == text);
        is(&self.base_code, base.code())
            && is(&self.base_issuer, base.issuer())
            && is(&self.counter_code, counter.code())
            && is(&self.counter_issuer, counter.issuer())
    }
}

impl PairCodes {
    /// Parses `A_B`. `None` for any other form.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (first, second) = name.split_once('_')?;
        (!second.contains('_')).then(|| Self(first.to_owned(), second.to_owned()))
    }

    /// Codes as written.
    #[must_use]
    pub fn both(&self) -> [&str; 2] {
        [&self.0, &self.1]
    }

    /// XLM first, else in byte order.
    fn in_order(&self) -> [&str; 2] {
        let mut codes = self.both();
        codes.sort_unstable_by_key(|code| (*code != "XLM", *code));
        codes
    }
}

impl MarketRow<'_> {
    /// Name as `CODE:ISSUER / CODE:ISSUER`. XLM's issuer is `native`.
    #[must_use]
    pub fn name(&self) -> String {
        let side = |asset: &ListedAsset| format!("{}:{}", asset.code(), asset.issuer());
        format!("{} / {}", side(self.base), side(self.counter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        test_support::{directory, trade},
        windows::Windows,
    };

    const ASSETS: [(&str, &str, &str); 5] = [
        ("XLM", "native", ""),
        ("BRL", "G1", ""),
        ("BRLT", "G2", "BRL"),
        ("TEA1", "G3", ""),
        ("TEA", "G4", ""),
    ];

    /// Market 1 traded 10 hours ago, 2 and 3 one hour ago, and 4, whose counter is not valid, now.
    fn snapshot() -> MarketSnapshot {
        let now = UnixSeconds(10_000_000);
        let mut windows = Windows::default();
        for (market, hours) in [(1, 10), (2, 1), (3, 1), (4, 0)] {
            windows.add(market, trade(market.into(), 0, now.0 - hours * HOUR + 1, (10, 20), (2, 1)));
        }
        windows.advance(now);
        let markets = [(1, 1, 2), (2, 1, 3), (3, 4, 5), (4, 1, 9)];
        MarketSnapshot::new(windows.view(), directory(&ASSETS, &markets, &[(1, 3), (2, 5)]))
    }

    fn names(rows: &[TickerRow]) -> Vec<(&str, u64)> {
        rows.iter().map(|row| (row.name.as_str(), row.stats.trade_count)).collect()
    }

    #[test]
    fn window_edges_are_exact_to_the_second() {
        let snapshot = snapshot();
        let market_names = |hours| {
            let rows = snapshot.markets(&MarketFilter::default(), hours);
            rows.iter().map(MarketRow::name).collect::<Vec<_>>()
        };
        assert_eq!(market_names(9), ["TEA1:G3 / TEA:G4", "XLM:native / BRLT:G2"]);
        assert_eq!(market_names(10).len(), 3);
        assert_eq!(market_names(24).len(), 3, "the asset of market 4 is not valid");
        for none in [0, -3, 169] {
            assert!(market_names(none).is_empty() && snapshot.tickers(none).is_empty());
        }
        assert_eq!(names(&snapshot.tickers(10)), [("TEA1_TEA", 1), ("XLM_BRL", 2)]);
        assert_eq!(snapshot.since(10), UnixSeconds(10_000_000 - 10 * HOUR));
    }

    #[test]
    fn filters_match_exactly_on_the_normalised_sides() {
        let count = |filter: MarketFilter| snapshot().markets(&filter, 168).len();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(count(MarketFilter { base_code: some("XLM"), ..MarketFilter::default() }), 2);
        assert_eq!(
            count(MarketFilter {
                base_issuer: some("native"),
                counter_issuer: some("G1"),
                ..MarketFilter::default()
            }),
            1
        );
        assert_eq!(count(MarketFilter { counter_code: some("XLM"), ..MarketFilter::default() }), 0);
        assert_eq!(count(MarketFilter { base_code: some("xlm"), ..MarketFilter::default() }), 0);
    }

    #[test]
    fn a_pair_is_selected_by_codes_in_either_order_and_named_by_anchors() {
        let snapshot = snapshot();
        let of = |name: &str| snapshot.tickers_of(&PairCodes::parse(name).unwrap(), 168);
        assert_eq!(names(&of("XLM_BRL")), [("XLM_BRL", 1)]);
        assert_eq!(names(&of("BRLT_XLM")), [("XLM_BRL", 1)]);
        assert_eq!(of("BRLT_XLM")[0].book.bid_count, 3, "the book belongs to the name");
        assert_eq!(names(&of("TEA1_TEA")), [("TEA1_TEA", 1)], "TEA sorts before TEA1, and finds nothing");
        assert!(of("xlm_brl").is_empty() && of("_").is_empty());
        for wrong in ["XLMBRL", "", "A_B_C"] {
            assert_eq!(PairCodes::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn candidates_are_the_markets_of_the_rarer_code() {
        let snapshot = snapshot();
        for (codes, count) in [
            (["XLM", "BRL"], 1),
            (["BRL", "XLM"], 1),
            (["XLM", "XLM"], 3),
            (["XLM", "TEA"], 1),
            (["XLM", "NONE"], 0),
        ] {
            assert_eq!(snapshot.count_candidates(codes), count, "{codes:?}");
            assert_eq!(snapshot.candidates(&codes).len(), count, "{codes:?}");
        }
        assert!(snapshot.tickers_of(&PairCodes::parse("XLM_XLM").unwrap(), 168).is_empty());
    }

    #[test]
    fn only_matching_markets_are_summed() {
        let snapshot = snapshot();
        let asked = std::cell::Cell::new(0);
        let is_match = |base: &ListedAsset, _: &ListedAsset| {
            asked.set(asked.get() + 1);
            base.code() == "TEA1"
        };
        assert_eq!(
            names(&snapshot.summed(5, &snapshot.candidates(&[]), is_match, &|| true)),
            [("TEA1_TEA", 1)]
        );
        assert_eq!(asked.get(), 3, "also market 1, since only its sum shows that it did not trade");
    }

    #[test]
    fn returns_each_markets_book_and_the_oldest_book() {
        let snapshot = snapshot();
        let rows = snapshot.markets(&MarketFilter::default(), 168);
        assert_eq!(rows.iter().map(|row| row.book.bid_count).collect::<Vec<_>>(), [0, 3, 5]);
        assert_eq!(snapshot.oldest_book(), Some(UnixSeconds(1)));
        let times = snapshot.book_times();
        let codes: Vec<_> =
            times.iter().map(|(base, counter, at)| (base.code(), counter.code(), at.0)).collect();
        assert_eq!(codes, [("XLM", "BRL", 1), ("XLM", "BRLT", 1)]);
        assert_eq!(
            snapshot.assets().iter().map(|asset| asset.code()).collect::<Vec<_>>(),
            ["BRL", "BRLT", "TEA", "TEA1", "XLM"]
        );
    }
}
