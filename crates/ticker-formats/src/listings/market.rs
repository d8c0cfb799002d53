//! A market as documents show it: base and quote in the orientation of new outputs.

use std::{
    collections::BTreeMap,
    ops::{Range, RangeInclusive},
};

use ticker_domain::{
    candles::Buckets,
    identity,
    instant::UnixSeconds,
    market::Market,
    price::Price,
    quoted::{QuotedPrices, QuotedStats},
    span::Span,
    trade_stats::{TradeStats, WindowTrade},
    usd::Rate,
    windows::{Figures, MarketId},
};

use super::{
    asset::AssetView,
    book::QuotedBook,
    trades::{NumberedTrades, Order},
    view::{IdStyle, ListingView},
};
use crate::shown;

/// Market with a trade in the last 7 days.
#[derive(Clone, Copy, Debug)]
pub struct MarketView<'a> {
    view: &'a ListingView,
    id: MarketId,
    base: AssetView<'a>,
    quote: AssetView<'a>,
    /// Kept statistics, in the orientation of the database. `None` without a trade in the last 7 days.
    figures: Option<&'a Figures>,
    /// True if the base of new outputs is the counter of the normalised market.
    is_flipped: bool,
}

impl<'a> MarketView<'a> {
    pub(super) fn new(view: &'a ListingView, id: MarketId) -> Option<Self> {
        let (base, counter) = view.snapshot().directory().sides(id)?;
        let (base, counter) = (view.asset(base)?, view.asset(counter)?);
        let (market, _) = Market::of(*base.asset(), *counter.asset())?;
        let is_flipped = market.quoted().0 != base.asset();
        let (base, quote) = if is_flipped { (counter, base) } else { (base, counter) };
        let figures = view.snapshot().windows().figures_of(id);
        Some(Self { view, id, base, quote, figures, is_flipped })
    }

    /// Id of the market in the database.
    #[must_use]
    pub const fn id(&self) -> MarketId {
        self.id
    }

    pub(crate) const fn is_flipped(&self) -> bool {
        self.is_flipped
    }

    pub(crate) const fn view(&self) -> &'a ListingView {
        self.view
    }

    /// Base asset.
    #[must_use]
    pub const fn base(&self) -> &AssetView<'a> {
        &self.base
    }

    /// Quote asset.
    #[must_use]
    pub const fn quote(&self) -> &AssetView<'a> {
        &self.quote
    }

    /// `<base>_<quote>`, each `XLM` or `CODE-ISSUER`.
    #[must_use]
    pub fn name(&self) -> String {
        self.spelled(IdStyle::Classic)
    }

    pub(super) fn spelled(&self, style: IdStyle) -> String {
        format!("{}_{}", self.base.spelled(style), self.quote.spelled(style))
    }

    /// True if both assets are valid and a trade of the last 24 hours set a price.
    pub(super) fn is_listed(&self) -> bool {
        let has_price = self.figures.is_some_and(|figures| figures.day.prices.is_some());
        has_price && self.base.is_valid() && self.quote.is_valid()
    }

    /// Statistics of a span.
    #[must_use]
    pub fn stats(&self, span: Span) -> QuotedStats {
        match self.figures.and_then(|figures| figures.kept(span)) {
            Some(kept) => QuotedStats::of(kept, self.is_flipped),
            None => QuotedStats::of(&self.view.snapshot().windows().stats(self.id, span), self.is_flipped),
        }
    }

    pub(super) fn book(&self) -> Option<QuotedBook> {
        let book = self.view.snapshot().directory().book(self.id)?;
        QuotedBook::recent(book, self.is_flipped, self.view.as_of())
    }

    /// Id of the pair's liquidity pool, whether it exists or not.
    pub(super) fn pool_id(&self) -> Option<String> {
        identity::pool_id(self.base.asset(), self.quote.asset()).map(|id| id.as_str().to_owned())
    }

    /// True if both assets are verified.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.base.is_verified() && self.quote.is_verified()
    }

    /// Volume of 24 hours in dollars, in stroops.
    #[must_use]
    pub fn day_volume_usd(&self) -> Option<i128> {
        self.volume_usd(Span::Day)
    }

    /// Volume of a span in dollars, in stroops.
    pub(crate) fn volume_usd(&self, span: Span) -> Option<i128> {
        let (side, stats) = (self.priced_side()?, self.stats(span));
        let volume = if side.id() == self.quote.id() { stats.quote_volume } else { stats.base_volume };
        side.usd().map(|price| price.rate.worth(volume))
    }

    /// Side whose price in dollars values the volume: the quote, or the base if only that has a price.
    pub(crate) fn priced_side(&self) -> Option<&AssetView<'a>> {
        [&self.quote, &self.base].into_iter().find(|side| side.usd().is_some())
    }

    /// Change of the price in 24 hours, in millionths of the first price.
    #[must_use]
    pub fn day_change_millionths(&self) -> Option<i128> {
        let (n, d) = self.stats(Span::Day).prices?.change_percent()?;
        shown::scaled(n, d, 4)
    }

    /// Worth in dollars of an amount of the quote, both in stroops. Offers are valued by the quote alone: one of a
    /// worthless quote may ask for any amount of the base.
    pub(crate) fn usd_of_quote(&self, amount: i128) -> Option<i128> {
        self.quote.usd().map(|price| price.rate.worth(amount))
    }

    /// Last clean price of the 7 days.
    #[must_use]
    pub fn last(&self) -> Option<Price> {
        self.stats(Span::Week).prices.map(|prices| prices.close)
    }

    /// Prices of the last 24 hours for listing sites, and of bots' tickers. `close` is the [last price](Self::last). If
    /// dust alone traded in that time, all prices are the last clean one of the 7 days: dust can print any price.
    pub(super) fn day_prices(&self) -> Option<QuotedPrices> {
        let (day, week) = (self.stats(Span::Day), self.stats(Span::Week));
        let is_dust = day.clean_count == 0 && week.clean_count > 0;
        if is_dust && day.prices.is_some() {
            Some(QuotedPrices::flat(week.prices?.close))
        } else {
            day.prices
        }
    }

    /// The last price in dollars.
    #[must_use]
    pub(crate) fn last_usd(&self) -> Option<Rate> {
        let last = self.last()?;
        Rate::new(last.n().into(), last.d().into())?.times(self.quote.usd()?.rate)
    }

    /// Best bid and ask, as decimals, of a book that is recent enough.
    #[must_use]
    pub(crate) fn best_prices(&self) -> (Option<String>, Option<String>) {
        let book = self.book();
        (book.as_ref().and_then(QuotedBook::bid), book.as_ref().and_then(QuotedBook::ask))
    }

    /// Seconds since the order book was polled; none if it never was.
    pub(crate) fn book_age_s(&self) -> Option<i64> {
        let book = self.view.snapshot().directory().book(self.id)?;
        Some(book.age_s(self.view.as_of()))
    }

    /// Close time of the latest trade.
    #[must_use]
    pub(crate) fn last_trade_at(&self) -> Option<UnixSeconds> {
        self.figures?.week.times.map(|(_, last)| last)
    }

    /// All trades that closed after `edge`, in the orientation of the database.
    pub(crate) fn raw_trades_since(&self, edge: UnixSeconds) -> impl Iterator<Item = WindowTrade> {
        self.view.snapshot().windows().trades_since(self.id, edge)
    }

    /// Statistics by the start of their bucket, of the trades that closed at `times`, in the
    /// orientation of the database.
    pub(crate) fn by_bucket(
        &self,
        buckets: Buckets,
        times: Range<UnixSeconds>,
    ) -> BTreeMap<UnixSeconds, TradeStats> {
        self.view.snapshot().windows().by_bucket(self.id, buckets, times)
    }

    /// Trades of complete ledgers that closed after `edge`, up to `end`, with their numbers.
    pub(super) fn numbered(&self, order: Order, edge: UnixSeconds, end: UnixSeconds) -> NumberedTrades<'a> {
        NumberedTrades::new(self.view, self.id, order, edge, end)
    }
}

/// Decimal places with which the last price has six digits, within these limits.
pub(super) fn price_places(last: Option<Price>, limits: RangeInclusive<u32>) -> u32 {
    let (least, most) = (*limits.start(), *limits.end());
    let Some(last) = last else { return least };
    let (n, d) = (i128::from(last.n()), i128::from(last.d()));
    let has_digits = |places: &u32| {
        n.saturating_mul(10_i128.saturating_pow(*places)) >= d.saturating_mul(100_000) // six digits
    };
    (least..=most).find(has_digits).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use ticker_domain::{asset::Asset, market::QUOTE_ASSETS, test_support::address};

    use crate::{listings::own, test_view::view_of_pairs};

    #[test]
    fn a_volume_counts_by_the_base_if_only_that_has_a_price_in_dollars() {
        let eth: Asset = QUOTE_ASSETS[4].parse().unwrap();
        let [tea, nut] = ["TEA", "NUT"].map(|code| Asset::issued(code, &address(2)).unwrap());
        let view = view_of_pairs(&[(Asset::Native, eth, 12), (tea, nut, 12), (Asset::Native, tea, 3)]);
        let document = |id: i32| {
            let market = view.market(id).unwrap();
            let document = serde_json::to_value(own::market(&market)).unwrap();
            (market.quote().asset().code().to_owned(), document["usd"].clone(), market.day_volume_usd())
        };
        let of_quote = json!({"last": "0.5", "volume_24h": "15.0000000"});
        assert_eq!(document(4), ("XLM".to_owned(), of_quote, Some(150_000_000)));
        // A volume in dollars, and no price: ETH is not worth what anybody pays for it in dust.
        let of_base = json!({"last": Value::Null, "volume_24h": "60.0000000"});
        assert_eq!(document(2), ("ETH".to_owned(), of_base, Some(600_000_000)));
        let of_neither = json!({"last": Value::Null, "volume_24h": Value::Null});
        assert_eq!((document(3).1, document(3).2), (of_neither, None));
    }
}
