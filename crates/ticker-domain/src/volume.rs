//! Volumes of past windows, and their worth in dollars.

use super::{asset::Asset, instant::UnixSeconds, usd::Rate};

/// Kind of a volume: the way from it to the dollar in a past window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QuoteKind {
    /// The asset counts as one dollar.
    Dollar,
    /// XLM, worth what it traded at against the dollars of the window.
    Xlm,
    /// Any other asset: no rule gives its worth in dollars.
    Other,
}

impl QuoteKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Dollar, Self::Xlm, Self::Other];

    /// Side of a market whose volume leads to the dollar, with its kind: the quote, or the base if only that has a way.
    /// `anchors` count as one dollar.
    #[must_use]
    pub fn of_market<'a>(base: &'a Asset, quote: &'a Asset, anchors: &[Asset]) -> (Self, &'a Asset) {
        let kind = |asset: &Asset| match asset {
            asset if anchors.contains(asset) => Self::Dollar,
            Asset::Native => Self::Xlm,
            Asset::Issued { .. } => Self::Other,
        };
        match (kind(quote), kind(base)) {
            (Self::Other, Self::Other) | (Self::Dollar | Self::Xlm, _) => (kind(quote), quote),
            (Self::Other, of_base) => (of_base, base),
        }
    }
}

/// Volume of markets of one kind, in a window. Amounts are in stroops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumePart {
    /// Start of the window.
    pub start: UnixSeconds,
    /// Kind of the side that leads to the dollar.
    pub kind: QuoteKind,
    /// Volume of the asset in question.
    pub volume: i128,
    /// The part of it with liquidity pools.
    pub pool: i128,
    /// Volume of that side.
    pub valued_volume: i128,
    /// Number of trades.
    pub trade_count: u64,
}

/// Sums of parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VolumeSums {
    /// Volume of the asset in question.
    pub volume: i128,
    /// The part of it with liquidity pools.
    pub pool: i128,
    /// Number of trades.
    pub trade_count: u64,
    /// Volume in dollars.
    dollars: i128,
    /// Volume in XLM.
    xlm: i128,
    /// True if some volume is in an asset without a price in dollars.
    has_other: bool,
}

impl VolumeSums {
    /// Adds a part.
    pub fn add(&mut self, part: &VolumePart) {
        self.volume = self.volume.saturating_add(part.volume);
        self.pool = self.pool.saturating_add(part.pool);
        self.trade_count = self.trade_count.saturating_add(part.trade_count);
        match part.kind {
            QuoteKind::Dollar => self.dollars = self.dollars.saturating_add(part.valued_volume),
            QuoteKind::Xlm => self.xlm = self.xlm.saturating_add(part.valued_volume),
            QuoteKind::Other => self.has_other |= part.valued_volume > 0,
        }
    }

    /// Worth in stroops of a dollar, rounded down once. `xlm` is dollars per XLM in the window. `None` if some part is
    /// in an asset without a price in dollars.
    #[must_use]
    pub fn usd(&self, xlm: Option<Rate>) -> Option<i128> {
        let of_xlm = if self.xlm > 0 { xlm?.worth(self.xlm) } else { 0 };
        (!self.has_other).then(|| self.dollars.saturating_add(of_xlm))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::tests::issued;

    fn part(kind: QuoteKind, valued_volume: i128) -> VolumePart {
        VolumePart { start: UnixSeconds(0), kind, volume: 10, pool: 4, valued_volume, trade_count: 2 }
    }

    #[test]
    fn a_market_is_valued_by_its_quote_or_else_by_its_base() {
        let [usdc, eurc, tea] = [issued("USDC", 1), issued("EURC", 2), issued("TEA", 3)];
        let of = |base: &Asset, quote: &Asset| {
            let (kind, side) = QuoteKind::of_market(base, quote, &[usdc]);
            (kind, *side)
        };
        assert_eq!(of(&Asset::Native, &usdc), (QuoteKind::Dollar, usdc));
        assert_eq!(of(&tea, &Asset::Native), (QuoteKind::Xlm, Asset::Native));
        assert_eq!(of(&Asset::Native, &eurc), (QuoteKind::Xlm, Asset::Native), "the quote has no way");
        assert_eq!(of(&usdc, &eurc), (QuoteKind::Dollar, usdc));
        assert_eq!(of(&tea, &eurc), (QuoteKind::Other, eurc));
    }

    #[test]
    fn dollars_and_xlm_add_up_and_anything_else_has_no_worth() {
        let mut sums = VolumeSums::default();
        sums.add(&part(QuoteKind::Dollar, 70));
        assert_eq!(sums.usd(None), Some(70), "no XLM, so no price of it is needed");
        // Two halves that would each be rounded down alone.
        sums.add(&part(QuoteKind::Xlm, 1));
        sums.add(&part(QuoteKind::Xlm, 1));
        assert_eq!((sums.usd(Rate::new(1, 2)), sums.usd(None)), (Some(71), None));
        sums.add(&part(QuoteKind::Other, 0));
        assert_eq!(sums.usd(Rate::new(1, 2)), Some(71));
        sums.add(&part(QuoteKind::Other, 1));
        assert_eq!(sums.usd(Rate::new(1, 2)), None);
        assert_eq!((sums.volume, sums.pool, sums.trade_count), (50, 20, 10));
    }
}
