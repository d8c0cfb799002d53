//! Sum of the volumes of markets in dollars, some of which may have no price.

use ticker_domain::span::Span;

use crate::listings::MarketView;

/// Volume of markets in dollars in 24 hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DollarVolume {
    /// Sum in stroops over the markets whose volume is known in dollars.
    known: i128,
    /// Markets with trades in 24 hours that are in the sum.
    priced: u64,
    /// Markets with trades in 24 hours that are not, since neither of their assets has a price in dollars.
    pub(crate) unpriced: u64,
}

impl DollarVolume {
    /// Sum of the exact volumes, so that it is rounded once.
    pub(crate) fn of(markets: &[MarketView<'_>]) -> Self {
        markets.iter().fold(Self::default(), |sum, market| {
            sum.with(market.day_volume_usd(), market.stats(Span::Day).trade_count)
        })
    }

    /// The sum with one more market, of this volume and with this number of trades.
    pub(crate) const fn with(self, volume: Option<i128>, trades: u64) -> Self {
        match volume {
            _ if trades == 0 => self,
            Some(volume) => Self {
                known: self.known.saturating_add(volume),
                priced: self.priced.saturating_add(1),
                ..self
            },
            None => Self { unpriced: self.unpriced.saturating_add(1), ..self },
        }
    }

    /// The sum in stroops, which lacks the volume of the `unpriced` markets. `None` if it lacks all: that is not 0.
    pub(crate) const fn known(self) -> Option<i128> {
        if self.priced > 0 || self.unpriced == 0 { Some(self.known) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_unknown_if_no_market_that_traded_has_a_price() {
        let sum = |markets: &[(Option<i128>, u64)]| {
            let sum = markets
                .iter()
                .fold(DollarVolume::default(), |sum, (volume, trades)| sum.with(*volume, *trades));
            (sum.known(), sum.unpriced)
        };
        assert_eq!(sum(&[]), (Some(0), 0), "nothing traded");
        assert_eq!(sum(&[(Some(0), 0), (None, 0)]), (Some(0), 0), "nothing traded in 24 hours");
        assert_eq!(sum(&[(None, 7), (None, 2), (Some(0), 0)]), (None, 2));
        assert_eq!(sum(&[(Some(0), 1), (None, 2)]), (Some(0), 1), "dust is worth less than a stroop");
        assert_eq!(sum(&[(Some(5), 1), (None, 2), (Some(6), 3)]), (Some(11), 1));
    }
}
