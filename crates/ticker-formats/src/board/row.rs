//! One market with its figures, rounded.

use ticker_domain::{price::Price, span::Span, windows::MarketId};

use crate::{
    listings::{MarketView, Warning, findings},
    shown::{self, PriceScale},
};

/// Marks of a market, as bits of the feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

/// One mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// No trade in the last 24 hours.
    Stale,
    /// Little volume or few trades.
    Thin,
    /// An asset is not valid.
    InvalidAsset,
    /// An asset has the code of another, better known one.
    Lookalike,
    /// An asset claims an anchor that its home domain does not confirm.
    UnverifiedAnchor,
    /// The home domain confirms the base. No warning.
    BaseVerified,
    /// The home domain confirms the quote. No warning.
    QuoteVerified,
    /// Two accounts made most of the volume with each other.
    Concentrated,
    /// An asset is an anchor that does not count as one dollar at present.
    Depeg,
}

impl From<Warning> for Flag {
    fn from(warning: Warning) -> Self {
        match warning {
            Warning::Stale => Self::Stale,
            Warning::Thin => Self::Thin,
            Warning::Concentrated => Self::Concentrated,
            Warning::InvalidAsset => Self::InvalidAsset,
            Warning::LookalikeOf => Self::Lookalike,
            Warning::UnverifiedAnchor => Self::UnverifiedAnchor,
            Warning::Depeg => Self::Depeg,
        }
    }
}

impl Flag {
    /// The warnings. A row has little room, so those about deceit come first.
    pub(crate) const WARNINGS: [Self; 7] = [
        Self::Lookalike,
        Self::Concentrated,
        Self::UnverifiedAnchor,
        Self::Depeg,
        Self::InvalidAsset,
        Self::Thin,
        Self::Stale,
    ];

    const fn bit(self) -> u32 {
        match self {
            Self::Stale => 1,
            Self::Thin => 2,
            Self::InvalidAsset => 4,
            Self::Lookalike => 8,
            Self::UnverifiedAnchor => 16,
            Self::BaseVerified => 32,
            Self::QuoteVerified => 64,
            Self::Concentrated => 128,
            Self::Depeg => 256,
        }
    }

    /// Short text in the list.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Stale => "no trade in 24 h",
            Self::Thin => "thin",
            Self::InvalidAsset => "not valid",
            Self::Lookalike => "look-alike",
            Self::Concentrated => "concentrated",
            Self::UnverifiedAnchor => "unverified anchor",
            Self::Depeg => "lost the dollar",
            Self::BaseVerified | Self::QuoteVerified => "",
        }
    }
}

impl Flags {
    fn of(market: &MarketView<'_>) -> Self {
        let mut flags = Self::default();
        for finding in findings(market) {
            flags.set(finding.warning.into());
        }
        if market.base().is_verified() {
            flags.set(Flag::BaseVerified);
        }
        if market.quote().is_verified() {
            flags.set(Flag::QuoteVerified);
        }
        flags
    }

    const fn set(&mut self, flag: Flag) {
        self.0 |= flag.bit();
    }

    /// Returns true if the mark is set.
    #[must_use]
    pub const fn has(self, flag: Flag) -> bool {
        self.0 & flag.bit() != 0
    }

    /// Returns true if any warning is set.
    #[must_use]
    pub(crate) fn has_warning(self) -> bool {
        Flag::WARNINGS.into_iter().any(|flag| self.has(flag))
    }

    /// The bits, as the feed sends them.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

/// Market with its figures as they are shown. Prices are in units of the scale, shares in hundredths of a percent,
/// volumes in stroops with four digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoardRow {
    /// Market.
    pub market: MarketId,
    /// Decimals of all prices. `None` for a market without a price.
    pub scale: Option<PriceScale>,
    /// Last clean price.
    pub price: Option<i64>,
    /// Changes in 1 hour, 24 hours and 7 days.
    pub changes: [Option<i64>; 3],
    /// Lowest clean price of 24 hours.
    pub low: Option<i64>,
    /// Highest clean price of 24 hours.
    pub high: Option<i64>,
    /// Best bid of a recent book.
    pub bid: Option<i64>,
    /// Best ask of a recent book.
    pub ask: Option<i64>,
    /// Difference of ask and bid, as a share of their middle.
    pub spread: Option<i64>,
    /// Volume of 24 hours in dollars.
    pub volume_usd: Option<i128>,
    /// Volume of 24 hours in the quote.
    pub volume: i128,
    /// Trades in 24 hours.
    pub trades: u64,
    /// Seconds from the last trade to the time of the view.
    pub age_s: Option<i64>,
    /// Marks.
    pub flags: Flags,
}

impl BoardRow {
    /// Row of a market.
    #[must_use]
    pub fn of(market: &MarketView<'_>) -> Self {
        let stats = Span::ALL.map(|span| market.stats(span));
        let [_, day, _] = &stats;
        let scale = market.last().and_then(|last| PriceScale::of(ratio(last)));
        let units =
            |price: Option<(i128, i128)>| scale.zip(price).and_then(|(scale, price)| scale.units(price));
        let best = |text: Option<String>| text.as_deref().and_then(shown::ratio_of);
        let (bid, ask) = market.best_prices();
        let (bid, ask) = (best(bid), best(ask));
        let as_of = market.view().as_of();
        Self {
            market: market.id(),
            scale,
            price: units(market.last().map(ratio)),
            changes: stats
                .map(|stats| stats.prices?.change_percent().and_then(|(n, d)| shown::hundredths((n, d)))),
            low: units(day.prices.map(|prices| ratio(prices.low))),
            high: units(day.prices.map(|prices| ratio(prices.high))),
            bid: units(bid),
            ask: units(ask),
            spread: bid.zip(ask).and_then(|(bid, ask)| spread(bid, ask)),
            volume_usd: market.day_volume_usd().map(shown::rounded_amount),
            volume: shown::rounded_amount(day.quote_volume),
            trades: day.trade_count,
            age_s: market.last_trade_at().map(|at| as_of.0.saturating_sub(at.0).max(0)),
            flags: Flags::of(market),
        }
    }

    /// Text of a price in the units of this market.
    #[must_use]
    pub fn print(&self, units: Option<i64>) -> String {
        shown::or_none(self.scale.zip(units), |(scale, units)| scale.print(units))
    }
}

pub(crate) fn ratio(price: Price) -> (i128, i128) {
    (price.n().into(), price.d().into())
}

/// Hundredths of a percent: `(ask - bid) / ((ask + bid) / 2)`, of two decimals. `None` beyond 128 bits.
fn spread(bid: (i128, i128), ask: (i128, i128)) -> Option<i64> {
    // The divisors are powers of ten, so one divides the other.
    let divisor = bid.1.max(ask.1);
    let bid = bid.0.checked_mul(divisor.checked_div(bid.1)?)?;
    let ask = ask.0.checked_mul(divisor.checked_div(ask.1)?)?;
    let sum = ask.checked_add(bid).filter(|sum| *sum > 0)?;
    shown::hundredths((ask.checked_sub(bid)?.checked_mul(200)?, sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_a_share_of_the_middle() {
        // 0.99 and 1.01 around 1.
        assert_eq!(spread((99, 100), (1_010, 1_000)), Some(200));
        assert_eq!(spread((1, 1), (1, 1)), Some(0));
        assert_eq!(spread((2, 1), (1, 1)), Some(-6_667), "a crossed book");
        let book =
            ["0.0000016480000000000001", "0.00000165312345678901"].map(|text| shown::ratio_of(text).unwrap());
        assert_eq!(spread(book[0], book[1]), Some(31));
        assert_eq!(spread((i128::MAX, 10), (1, 1)), None);
    }

    #[test]
    fn only_warnings_count_as_warnings() {
        let mut flags = Flags::default();
        flags.set(Flag::BaseVerified);
        assert!(!flags.has_warning() && flags.has(Flag::BaseVerified));
        flags.set(Flag::Thin);
        assert!(flags.has_warning() && !flags.has(Flag::Stale));
        assert_eq!(flags.bits(), 34);
    }

    #[test]
    fn every_warning_has_a_bit_and_a_tag_of_its_own() {
        let mut all = Flags::default();
        for flag in Flag::WARNINGS {
            let before = all.bits();
            all.set(flag);
            assert!(all.bits() > before && !flag.tag().is_empty(), "{flag:?}");
        }
        assert_eq!(all.bits(), 415, "the bits that the script counts as warnings");
    }
}
