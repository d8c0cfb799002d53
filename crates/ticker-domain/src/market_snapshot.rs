//! Everything that a publication is made of and that answers are computed from, as of one second. Nothing changes it any
//! more; what it shares with the aggregator's state is copied there when it changes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

use super::{
    directory::Directory,
    instant::{HOUR, UnixSeconds},
    listed_asset::ListedAsset,
    orderbook::BookFigures,
    ticker::{self, Pair, pair_name},
    trade_stats::TradeStats,
    window::LONGEST_HOURS,
    windows::{MarketId, WindowsView},
};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct MarketSnapshot {
    windows: WindowsView,
    directory: Directory,
    /// The valid assets, sorted by code, then issuer.
    assets: Arc<Vec<Arc<ListedAsset>>>,
    /// By the name that two codes spell; made when it is first asked for.
    books: OnceLock<HashMap<String, BookFigures>>,
}

/// Which markets are asked for; what is none may be anything. Codes and issuers are exact, XLM's issuer is `native`.
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

/// The two codes of a pair's name, in either order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairCodes(String, String);

/// One market's figures over some hours.
#[derive(Clone, Copy, Debug)]
pub struct MarketRow<'a> {
    /// The base.
    pub base: &'a ListedAsset,
    /// The counter.
    pub counter: &'a ListedAsset,
    /// Its trades; at least one.
    pub stats: TradeStats,
    /// Its own book; all 0 where none was polled.
    pub book: BookFigures,
}

/// One pair's figures over some hours, all issuers of its name together.
#[derive(Clone, Debug)]
pub struct TickerRow {
    /// `<base>_<counter>`, anchors in place of the codes that have one.
    pub name: String,
    /// Its trades; at least one.
    pub stats: TradeStats,
    /// The books of the markets whose codes spell the name.
    pub book: BookFigures,
}

impl MarketSnapshot {
    /// Puts together what belongs together: all of one state, windows and directory.
    #[must_use]
    pub fn new(windows: WindowsView, mut directory: Directory) -> Self {
        Self { books: OnceLock::new(), assets: directory.listing(), windows, directory }
    }

    /// The windows.
    #[must_use]
    pub const fn windows(&self) -> &WindowsView {
        &self.windows
    }

    /// Who is who.
    #[must_use]
    pub const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The name of the pair that a market's trades belong to; none where they belong to none.
    #[must_use]
    pub fn pair_of(&self, market: MarketId) -> Option<String> {
        let (base, counter) = self.directory.valid_sides(market)?;
        Some(pair_name(base.pair_code(), counter.pair_code()))
    }

    /// The books of the markets whose codes spell a name.
    #[must_use]
    pub fn book_of_pair(&self, name: &str) -> BookFigures {
        self.books().get(name).copied().unwrap_or_default()
    }

    /// Whether the books of all names are summed: the first who asks for a pair's waits for that.
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

    /// The second of all figures.
    #[must_use]
    pub const fn as_of(&self) -> UnixSeconds {
        self.windows.as_of()
    }

    /// The valid assets, sorted by code, then issuer.
    #[must_use]
    pub const fn assets(&self) -> &Arc<Vec<Arc<ListedAsset>>> {
        &self.assets
    }

    /// Every pair with a trade in the last 7 days, by name, as `markets.json` has them.
    #[must_use]
    pub fn pairs(&self) -> Vec<Pair> {
        ticker::pairs(self.windows.figures(), &self.directory, self.books())
    }

    /// When the oldest book of a market that counts was fetched.
    #[must_use]
    pub fn oldest_book(&self) -> Option<UnixSeconds> {
        let shown = |(market, _)| {
            let book = self.directory.book(market)?;
            self.directory.valid_sides(market).map(|_| book.fetched_at)
        };
        self.windows.figures().filter_map(shown).min()
    }

    /// When the book of each market that counts was fetched, the oldest first: market, in the order of its sides in the
    /// database, and second.
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

    /// When a window of so many hours began; its lower edge is exclusive.
    #[must_use]
    pub const fn since(&self, hours: i64) -> UnixSeconds {
        self.as_of().minus(hours.saturating_mul(HOUR))
    }

    /// The markets that a filter lets through and that traded in the last so many hours (1 to 168, else none), sorted by
    /// `CODE:ISSUER` of base and counter.
    #[must_use]
    pub fn markets(&self, filter: &MarketFilter, hours: i64) -> Vec<MarketRow<'_>> {
        self.markets_while(filter, hours, &|| true)
    }

    /// The same, found for as long as `go_on` says so: what is found after that is worth nothing.
    #[must_use]
    pub fn markets_while(
        &self,
        filter: &MarketFilter,
        hours: i64,
        go_on: &dyn Fn() -> bool,
    ) -> Vec<MarketRow<'_>> {
        let mut rows: Vec<MarketRow<'_>> = self
            .traded(hours, &self.candidates(&filter.codes()), |base, counter| filter.takes(base, counter))
            .take_while(|_| go_on())
            .map(|(market, base, counter, stats)| {
                let book = self.directory.book(market).map(|book| book.figures).unwrap_or_default();
                MarketRow { base, counter, stats, book }
            })
            .collect();
        rows.sort_by_cached_key(MarketRow::name);
        rows
    }

    /// Every pair that traded in the last so many hours (1 to 168, else none), by name.
    #[must_use]
    pub fn tickers(&self, hours: i64) -> Vec<TickerRow> {
        self.tickers_while(hours, &|| true)
    }

    /// The same, found for as long as `go_on` says so: what is found after that is worth nothing.
    #[must_use]
    pub fn tickers_while(&self, hours: i64, go_on: &dyn Fn() -> bool) -> Vec<TickerRow> {
        self.summed(hours, &self.candidates(&[]), |_, _| true, go_on)
    }

    /// The pairs that the markets of two codes (not anchors) belong to: XLM first, else in the order of their bytes, and
    /// only where that finds nothing in the other order.
    #[must_use]
    pub fn tickers_of(&self, codes: &PairCodes, hours: i64) -> Vec<TickerRow> {
        let [first, second] = codes.in_order();
        let of_either = self.candidates(&[first, second]);
        let of = |base_code: &str, counter_code: &str| {
            let takes = |base: &ListedAsset, counter: &ListedAsset| {
                base.code() == base_code && counter.code() == counter_code
            };
            self.summed(hours, &of_either, takes, &|| true)
        };
        let found = of(first, second);
        if found.is_empty() && first != second { of(second, first) } else { found }
    }

    fn summed(
        &self,
        hours: i64,
        candidates: &[MarketId],
        takes: impl Fn(&ListedAsset, &ListedAsset) -> bool,
        go_on: &dyn Fn() -> bool,
    ) -> Vec<TickerRow> {
        let mut sums: BTreeMap<String, TradeStats> = BTreeMap::new();
        for (_, base, counter, stats) in self.traded(hours, candidates, takes).take_while(|_| go_on()) {
            sums.entry(pair_name(base.pair_code(), counter.pair_code())).or_default().merge(&stats);
        }
        let row = |(name, stats): (String, TradeStats)| {
            let book = self.books().get(&name).copied().unwrap_or_default();
            TickerRow { name, stats, book }
        };
        sums.into_iter().map(row).collect()
    }

    /// The markets that can have assets of these codes: those of the code with the fewest; all where no code is given.
    fn candidates(&self, codes: &[&str]) -> Vec<MarketId> {
        let Some(code) = codes.iter().min_by_key(|code| self.directory.count_markets_of_code(code)) else {
            return self.windows.figures().map(|(market, _)| market).collect();
        };
        let assets = self.directory.assets_of_code(code).iter();
        let mut markets: Vec<MarketId> =
            assets.flat_map(|asset| self.directory.markets_of_asset(*asset)).collect();
        markets.sort_unstable();
        markets.dedup();
        markets
    }

    /// How many markets are looked at for an answer about two codes, at most. Costs next to nothing.
    #[must_use]
    pub fn count_candidates(&self, [one, other]: [&str; 2]) -> usize {
        self.directory.count_markets_of_code(one).min(self.directory.count_markets_of_code(other))
    }

    /// Upper bound on the number of markets that match a filter. Costs next to nothing.
    #[must_use]
    pub fn count_markets(&self, filter: &MarketFilter) -> usize {
        let counts = filter.codes().into_iter().map(|code| self.directory.count_markets_of_code(code));
        counts.min().unwrap_or_else(|| self.windows.market_count())
    }

    /// Those of the markets that are of valid assets, that are taken, and that traded in the last so many hours. What is
    /// not taken is not summed.
    fn traded(
        &self,
        hours: i64,
        markets: &[MarketId],
        takes: impl Fn(&ListedAsset, &ListedAsset) -> bool,
    ) -> impl Iterator<Item = (MarketId, &ListedAsset, &ListedAsset, TradeStats)> {
        let is_window = (1..=LONGEST_HOURS).contains(&hours);
        markets.iter().copied().filter(move |_| is_window).filter_map(move |market| {
            let sides = self.directory.valid_sides(market);
            let (base, counter) = sides.filter(|(base, counter)| takes(base, counter))?;
            let stats = self.windows.last_hours(market, hours);
            (!stats.is_empty()).then_some((market, base, counter, stats))
        })
    }
}

impl MarketFilter {
    fn codes(&self) -> Vec<&str> {
        [&self.base_code, &self.counter_code].into_iter().flatten().map(String::as_str).collect()
    }

    fn takes(&self, base: &ListedAsset, counter: &ListedAsset) -> bool {
        let is = |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|wanted| wanted == text);
        is(&self.base_code, base.code())
            && is(&self.base_issuer, base.issuer())
            && is(&self.counter_code, counter.code())
            && is(&self.counter_issuer, counter.issuer())
    }
}

impl PairCodes {
    /// Reads `A_B`; none for any other form.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (first, second) = name.split_once('_')?;
        (!second.contains('_')).then(|| Self(first.to_owned(), second.to_owned()))
    }

    /// Both, as they are written.
    #[must_use]
    pub fn both(&self) -> [&str; 2] {
        [&self.0, &self.1]
    }

    /// XLM first, else in the order of their bytes.
    fn in_order(&self) -> [&str; 2] {
        let mut codes = self.both();
        codes.sort_unstable_by_key(|code| (*code != "XLM", *code));
        codes
    }
}

impl MarketRow<'_> {
    /// `CODE:ISSUER / CODE:ISSUER`; XLM's issuer is `native`.
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

    /// Market 1 traded 10 hours ago, 2 and 3 one hour ago, 4 (of an asset that is not valid) now.
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
    fn a_window_holds_what_traded_in_it_to_the_second() {
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
    fn filters_are_exact_on_the_normalised_sides() {
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
        assert_eq!(of("BRLT_XLM")[0].book.bid_count, 3, "the book is that of the name");
        assert_eq!(names(&of("TEA1_TEA")), [("TEA1_TEA", 1)], "TEA sorts before TEA1, and finds nothing");
        assert!(of("xlm_brl").is_empty() && of("_").is_empty());
        for wrong in ["XLMBRL", "", "A_B_C"] {
            assert_eq!(PairCodes::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_code_with_fewer_markets_says_how_many_are_looked_at() {
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
    fn a_market_that_is_not_asked_for_is_not_summed() {
        let snapshot = snapshot();
        let asked = std::cell::Cell::new(0);
        let takes = |base: &ListedAsset, _: &ListedAsset| {
            asked.set(asked.get() + 1);
            base.code() == "TEA1"
        };
        assert_eq!(names(&snapshot.summed(5, &snapshot.candidates(&[]), takes, &|| true)), [("TEA1_TEA", 1)]);
        assert_eq!(asked.get(), 3, "also about market 1, of which only its sum tells that it did not trade");
    }

    #[test]
    fn a_markets_own_book_and_the_oldest_of_all() {
        let snapshot = snapshot();
        let rows = snapshot.markets(&MarketFilter::default(), 168);
        assert_eq!(rows.iter().map(|row| row.book.bid_count).collect::<Vec<_>>(), [0, 3, 5]);
        assert_eq!(snapshot.oldest_book(), Some(UnixSeconds(1)));
        let times = snapshot.book_times();
        let told: Vec<_> =
            times.iter().map(|(base, counter, at)| (base.code(), counter.code(), at.0)).collect();
        assert_eq!(told, [("XLM", "BRL", 1), ("XLM", "BRLT", 1)]);
        assert_eq!(
            snapshot.assets().iter().map(|asset| asset.code()).collect::<Vec<_>>(),
            ["BRL", "BRLT", "TEA", "TEA1", "XLM"]
        );
    }
}
