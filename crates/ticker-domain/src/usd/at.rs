//! Prices of a past moment, out of candles of the 24 hours before it. The rules are those of the present, as far as
//! candles allow: minutes know what the rules ask for, and of hours only the newest counts.

use std::collections::BTreeMap;

use super::{
    Confidence, Method, Rate, age, has_one_issuer,
    legs::{FLOOR, confidence},
    median::Candidate,
    xlm,
};
use crate::{
    asset::Asset, candles::Stored, instant::UnixSeconds, market::Market, quoted::QuotedStats,
    trade_stats::TradeStats,
};

/// XLM's price by its most liquid market against an anchor, in the newest hour with trades: for a past of which only
/// candles of hours are held.
const XLM_HOUR: &str = "xlm_hour";

/// Candles of a market within the 24 hours before the moment.
#[derive(Clone, Debug)]
pub struct PastMarket {
    /// The market.
    pub market: Market,
    /// Statistics by start, in the orientation of the database.
    pub candles: BTreeMap<UnixSeconds, TradeStats>,
}

/// Inputs of the price of an asset at a past moment.
#[derive(Clone, Copy, Debug)]
pub struct PastMarkets<'a> {
    /// Last second that counts.
    pub as_of: UnixSeconds,
    /// Length of the candles: a minute or an hour.
    pub stored: Stored,
    /// Assets that count as one dollar.
    pub anchors: &'a [Asset],
    /// Markets of XLM against the anchors, and of the asset against anchors and XLM.
    pub markets: &'a [PastMarket],
}

/// Market on the way to the dollar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastLeg {
    /// The market.
    pub market: Market,
    /// Its volume-weighted clean price of the last UTC hour with trades.
    pub rate: Rate,
    /// Its clean volume of the 24 hours, in stroops of dollars.
    pub volume: i128,
    /// Seconds between the last trade and the moment.
    pub age_s: i64,
}

/// Price of an asset at a past moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastPrice {
    /// Dollars per unit.
    pub usd: Rate,
    /// Way by which the price came about: the name of a [`Method`], or `XLM_HOUR`.
    pub method: &'static str,
    /// Markets that led to the dollar, XLM's own median excepted.
    pub legs: Vec<PastLeg>,
    /// Degree of trust.
    pub confidence: Confidence,
    /// Seconds between the oldest input and the moment.
    pub age_s: i64,
}

/// Dollars per XLM at a past moment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PastXlm {
    rate: Rate,
    method: &'static str,
    volume: i128,
    age_s: i64,
    /// Indexes of the anchors that had lost the dollar. Empty if only hourly candles are stored: they cannot show it.
    depegged: Vec<usize>,
}

impl PastMarkets<'_> {
    /// Price of an asset in dollars, and dollars per XLM. `None` if no rule gives one.
    #[must_use]
    pub fn price(&self, asset: &Asset) -> (Option<PastPrice>, Option<Rate>) {
        let xlm = self.xlm();
        let xlm = xlm.as_ref();
        let has_dollar = |place: &usize| xlm.is_none_or(|xlm| !xlm.depegged.contains(place));
        let anchors = self.anchors.iter().enumerate().filter(|(place, _)| has_dollar(place));
        let anchors: Vec<&Asset> = anchors.map(|(_, anchor)| anchor).collect();
        let price = if anchors.contains(&asset) {
            let (usd, method) = (Rate { n: 1, d: 1 }, Method::Anchor.name());
            Some(PastPrice { usd, method, legs: Vec::new(), confidence: Confidence::High, age_s: 0 })
        } else if *asset == Asset::Native {
            xlm.map(|xlm| PastPrice {
                usd: xlm.rate,
                method: xlm.method,
                legs: Vec::new(),
                confidence: confidence(xlm.volume, xlm.age_s),
                age_s: xlm.age_s,
            })
        } else {
            self.direct(asset, &anchors).or_else(|| self.through_xlm(asset, xlm?))
        };
        (price, xlm.map(|xlm| xlm.rate))
    }

    fn direct(&self, asset: &Asset, anchors: &[&Asset]) -> Option<PastPrice> {
        let anchors = anchors.iter().filter(|anchor| !has_one_issuer(asset, anchor));
        let legs = anchors.filter_map(|anchor| self.leg(asset, anchor, None));
        // Of equal volumes the first anchor's.
        let best = legs.reduce(|best, leg| if leg.volume > best.volume { leg } else { best })?;
        Some(PastPrice {
            usd: best.rate,
            method: Method::Direct.name(),
            confidence: confidence(best.volume, best.age_s),
            age_s: best.age_s,
            legs: vec![best],
        })
    }

    fn through_xlm(&self, asset: &Asset, xlm: &PastXlm) -> Option<PastPrice> {
        let leg = self.leg(asset, &Asset::Native, Some(xlm.rate))?;
        Some(PastPrice {
            usd: leg.rate.times(xlm.rate)?,
            method: Method::ThroughXlm.name(),
            confidence: confidence(leg.volume, leg.age_s).min(confidence(xlm.volume, xlm.age_s)),
            age_s: leg.age_s.max(xlm.age_s),
            legs: vec![leg],
        })
    }

    /// The market as a leg, or `None` if it is not liquid enough. `dollars` is the price of `to`, `None` for an anchor.
    fn leg(&self, from: &Asset, to: &Asset, dollars: Option<Rate>) -> Option<PastLeg> {
        let (market, candles) = self.candles(from, to)?;
        let clean_quote: i128 = candles.iter().map(|(_, stats)| stats.clean_quote_volume).sum();
        let volume = dollars.map_or(clean_quote, |rate| rate.worth(clean_quote));
        if volume < FLOOR {
            return None;
        }
        let clean = || candles.iter().filter(|(_, stats)| stats.clean_count > 0);
        // The network's clock may be ahead. Its trades count to the hour of the moment, as at present.
        let hour_of = |start: &UnixSeconds| start.hour().min(self.as_of.hour());
        let hour = clean().map(|(start, _)| hour_of(start)).max()?;
        let of_hour = || clean().filter(|(start, _)| hour_of(start) == hour);
        let (mut quote, mut base) = (0_i128, 0_i128);
        for (_, stats) in of_hour() {
            let (of_quote, of_base) = stats.vwap?;
            quote = quote.saturating_add(of_quote);
            base = base.saturating_add(of_base);
        }
        let last_at = clean().filter_map(|(_, stats)| stats.last_at).max()?;
        let age_s = age(self.as_of, last_at);
        Some(PastLeg { market, rate: Rate::new(quote, base)?, volume, age_s })
    }

    /// Dollars per XLM: the median of minutes as at present, or of the newest hour with trades.
    fn xlm(&self) -> Option<PastXlm> {
        let mut candidates = Vec::new();
        for (place, anchor) in self.anchors.iter().enumerate() {
            let Some((_, candles)) = self.candles(&Asset::Native, anchor) else { continue };
            candidates.extend(candles.into_iter().filter(|(_, stats)| stats.clean_count > 0).filter_map(
                |(start, stats)| {
                    let (dollars, xlm) = stats.vwap?;
                    let minute = start.0.div_euclid(self.stored.seconds());
                    let last_at = stats.last_at?.0;
                    let rate = Rate::new(dollars, xlm)?;
                    Some(Candidate { minute, last_at, anchor: place, rate, weight: dollars })
                },
            ));
        }
        if self.stored == Stored::Minute {
            let weighed = xlm::weigh(candidates, self.as_of, self.anchors.len())?;
            let age_s = age(self.as_of, UnixSeconds(weighed.newest));
            let (method, depegged) = (Method::XlmMedian.name(), weighed.depegged);
            return Some(PastXlm { rate: weighed.rate, method, volume: weighed.volume, age_s, depegged });
        }
        let newest = candidates.iter().map(|candidate| candidate.minute).max()?;
        candidates.retain(|candidate| candidate.minute == newest);
        let volume: i128 = candidates.iter().map(|candidate| candidate.weight).sum();
        let heaviest = candidates.iter().max_by_key(|candidate| candidate.weight)?;
        let age_s = age(self.as_of, UnixSeconds(heaviest.last_at));
        let depegged = Vec::new();
        (volume >= FLOOR).then_some(PastXlm {
            rate: heaviest.rate,
            method: XLM_HOUR,
            volume,
            age_s,
            depegged,
        })
    }

    /// Candles of two assets' market, as units of `to` per unit of `from`.
    fn candles(&self, from: &Asset, to: &Asset) -> Option<(Market, Vec<(UnixSeconds, Quoted)>)> {
        let (market, _) = Market::of(*from, *to)?;
        let past = self.markets.iter().find(|past| past.market == market)?;
        let is_flipped = market.base() != from;
        let quoted = |(start, stats): (&UnixSeconds, &TradeStats)| {
            let quoted = QuotedStats::of(stats, is_flipped);
            let last_at = stats.times.map(|(_, last)| last);
            let figures = Quoted {
                clean_count: quoted.clean_count,
                clean_quote_volume: quoted.clean_quote_volume,
                vwap: quoted.vwap,
                last_at,
            };
            (*start, figures)
        };
        Some((market, past.candles.iter().map(quoted).collect()))
    }
}

/// Figures of a candle that prices come from.
#[derive(Clone, Copy, Debug)]
struct Quoted {
    clean_count: u64,
    clean_quote_volume: i128,
    /// Quote and base of the clean trades.
    vwap: Option<(i128, i128)>,
    last_at: Option<UnixSeconds>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        market::QUOTE_ASSETS,
        test_support::{address, trade},
    };

    const NOW: UnixSeconds = UnixSeconds(1_790_000_039);
    const UNIT: i64 = 10_000_000;

    fn usdc() -> Asset {
        QUOTE_ASSETS[0].parse().unwrap()
    }

    fn tea() -> Asset {
        format!("TEA:{}", address(7)).parse().unwrap()
    }

    /// Candles of one trade a minute, each of a hundred units of the base at this price of the counter.
    fn market(one: Asset, other: Asset, minutes: i64, price: i64, stored: Stored) -> PastMarket {
        let (market, _) = Market::of(one, other).unwrap();
        let trades = (0..minutes).map(|back| {
            let at = NOW.0 - 60 * back;
            trade(1_000 - back, 0, at, (100 * UNIT, 100 * price * UNIT), (price, 1))
        });
        PastMarket { market, candles: stored.buckets().fill(trades) }
    }

    fn price(stored: Stored, markets: &[PastMarket], asset: &Asset) -> (Option<PastPrice>, Option<Rate>) {
        let anchors = [usdc()];
        PastMarkets { as_of: NOW, stored, anchors: &anchors, markets }.price(asset)
    }

    #[test]
    fn minutes_give_the_median_and_hours_the_newest_hour() {
        for (stored, method) in [(Stored::Minute, "xlm_median"), (Stored::Hour, XLM_HOUR)] {
            let markets = [market(Asset::Native, usdc(), 20, 3, stored)];
            let (price, xlm) = price(stored, &markets, &Asset::Native);
            let price = price.unwrap();
            assert_eq!((price.method, xlm), (method, Some(price.usd)));
            assert_eq!(price.usd.n, 3 * price.usd.d);
            assert_eq!(price.age_s, 0);
        }
        let few = [market(Asset::Native, usdc(), 2, 3, Stored::Minute)];
        assert_eq!(price(Stored::Minute, &few, &Asset::Native), (None, None), "two minutes are no median");
    }

    #[test]
    fn another_asset_goes_by_one_leg_with_enough_volume() {
        let xlm = market(Asset::Native, usdc(), 20, 3, Stored::Minute);
        // Two TEA for an XLM, that is half an XLM for a TEA.
        let through = market(Asset::Native, tea(), 20, 2, Stored::Minute);
        let (found, _) = price(Stored::Minute, &[xlm.clone(), through], &tea());
        let found = found.unwrap();
        assert_eq!((found.method, found.legs.len()), ("through_xlm", 1));
        assert_eq!(2 * found.usd.n, 3 * found.usd.d);
        let direct = market(tea(), usdc(), 20, 5, Stored::Minute);
        let is_flipped = direct.market.base() != &tea();
        let (found, _) = price(Stored::Minute, &[xlm.clone(), direct], &tea());
        let found = found.unwrap();
        let five = if is_flipped { (found.usd.d, found.usd.n) } else { (found.usd.n, found.usd.d) };
        assert_eq!((found.method, five.0), ("direct", 5 * five.1));
        assert_eq!(price(Stored::Minute, &[xlm], &tea()).0, None, "no market, no price");
        assert_eq!(price(Stored::Minute, &[], &usdc()).0.unwrap().method, "anchor");
    }

    #[test]
    fn of_equal_legs_that_of_the_first_anchor_counts_as_at_present() {
        let half: Asset = format!("HALF:{}", address(8)).parse().unwrap();
        let markets = [usdc(), half].map(|anchor| market(tea(), anchor, 20, 1, Stored::Minute));
        for anchors in [[usdc(), half], [half, usdc()]] {
            let past =
                PastMarkets { as_of: NOW, stored: Stored::Minute, anchors: &anchors, markets: &markets };
            let leg = past.price(&tea()).0.unwrap().legs[0].market;
            assert_eq!(leg, Market::of(tea(), anchors[0]).unwrap().0);
        }
    }

    #[test]
    fn an_anchor_that_had_lost_the_dollar_has_a_price_of_its_own() {
        let half: Asset = format!("HALF:{}", address(8)).parse().unwrap();
        let anchors = [usdc(), half];
        for (price_of_half, method) in [(3, "anchor"), (6, "through_xlm")] {
            let of_usdc = market(Asset::Native, usdc(), 30, 3, Stored::Minute);
            let of_half = market(Asset::Native, half, 2, price_of_half, Stored::Minute);
            let markets = [of_usdc, of_half];
            let past =
                PastMarkets { as_of: NOW, stored: Stored::Minute, anchors: &anchors, markets: &markets };
            assert_eq!(past.price(&half).0.unwrap().method, method, "{price_of_half}");
            assert_eq!(past.price(&usdc()).0.unwrap().method, "anchor");
        }
    }
}
