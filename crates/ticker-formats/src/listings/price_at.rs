//! Price of an asset at a past moment: what books and tax returns ask for.

use serde::Serialize;
use ticker_domain::{
    asset::Asset,
    candles::Stored,
    decimal,
    instant::{DAY, UnixSeconds},
    market::Market,
    usd::{PastLeg, PastMarket, PastMarkets},
};

use super::{
    history::{MarketHistory, StoredPart, complete_times, held_from, is_known, oldest_held},
    own::to_bytes,
    value,
    view::ListingView,
};

/// Reason of a null price.
const NO_WAY: &str = "no market with enough volume in the 24 hours before leads to a dollar";

/// Moment of interest, and the candles that its prices are computed from.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Second that the reader asks for.
    pub at: UnixSeconds,
    /// Length of the stored candles that count before memory: a minute or an hour.
    pub stored: Stored,
}

#[derive(Serialize)]
struct PriceAt {
    asset: String,
    at: String,
    /// Last second that counts.
    as_of: String,
    /// Seconds by which `as_of` may be earlier than `at`.
    resolution_s: i64,
    usd: Option<String>,
    reason: Option<&'static str>,
    xlm: Option<String>,
    method: Option<&'static str>,
    confidence: Option<&'static str>,
    age_s: Option<i64>,
    legs: Vec<Leg>,
    /// True if every ledger of the 24 hours before is known; at the time of the view, up to the newest known ledger.
    complete: bool,
}

#[derive(Serialize)]
struct Leg {
    market: String,
    vwap: Option<String>,
    volume_usd: String,
    age_s: i64,
}

impl Moment {
    /// First second of the 24 hours that count.
    #[must_use]
    pub fn from(self, view: &ListingView) -> UnixSeconds {
        let from = self.end(view).minus(DAY);
        if from >= oldest_held(view) { from } else { self.stored.buckets().next_start(from) }
    }

    /// End of the seconds that count, exclusive. Before memory, no candle may hold a later trade.
    #[must_use]
    pub fn end(self, view: &ListingView) -> UnixSeconds {
        let end = self.at.plus(1);
        if end >= held_from(view, self.stored) { end } else { self.stored.buckets().start_of(end) }
    }
}

/// Markets that a price may come from: XLM against each anchor, and the asset against each anchor and XLM.
#[must_use]
pub fn markets(asset: &Asset, anchors: &[Asset]) -> Vec<Market> {
    let of_xlm = anchors.iter().map(|anchor| (Asset::Native, *anchor));
    let others = anchors.iter().chain(&[Asset::Native]).map(|other| (*asset, *other));
    let mut markets: Vec<Market> = Vec::new();
    for (one, other) in of_xlm.chain(others) {
        let market = Market::of(one, other).map(|(market, _)| market);
        markets.extend(market.filter(|market| !markets.contains(market)));
    }
    markets
}

/// `/api/v1/assets/{asset}/price?at=`. `stored` holds the candles of each of [`markets`].
#[must_use]
pub fn price_at(
    view: &ListingView,
    asset: &Asset,
    moment: Moment,
    stored: &[(Market, StoredPart)],
) -> Vec<u8> {
    let (from, end) = (moment.from(view), moment.end(view));
    let histories: Vec<MarketHistory<'_>> =
        stored.iter().map(|(market, part)| MarketHistory::new(view, *market, part)).collect();
    let markets: Vec<PastMarket> = stored
        .iter()
        .zip(&histories)
        .map(|((market, _), history)| PastMarket {
            market: *market,
            candles: history.clean_between(moment.stored, from, end),
        })
        .collect();
    let past = PastMarkets {
        as_of: end.minus(1),
        stored: moment.stored,
        anchors: view.anchors(),
        markets: &markets,
    };
    let (price, xlm) = past.price(asset);
    let in_xlm = price.as_ref().zip(xlm).and_then(|(price, xlm)| price.usd.times(xlm.inverse()));
    let is_xlm = *asset == Asset::Native;
    // They are the same of all markets.
    let stored_complete = stored.first().map(|(_, part)| part.complete.as_slice()).unwrap_or_default();
    let complete = complete_times(view, moment.stored, from, stored_complete);
    let leg = |leg: &PastLeg| Leg {
        market: leg.market.name(),
        vwap: value::rate(Some(leg.rate)),
        volume_usd: decimal::amount(leg.volume),
        age_s: leg.age_s,
    };
    to_bytes(&PriceAt {
        asset: asset.name(),
        at: moment.at.to_rfc3339(),
        as_of: end.minus(1).to_rfc3339(),
        resolution_s: if end == moment.at.plus(1) { 1 } else { moment.stored.seconds() },
        usd: value::rate(price.as_ref().map(|price| price.usd)),
        reason: price.is_none().then_some(NO_WAY),
        xlm: if is_xlm { Some("1".to_owned()) } else { value::rate(in_xlm) },
        method: price.as_ref().map(|price| price.method),
        confidence: price.as_ref().map(|price| price.confidence.name()),
        age_s: price.as_ref().map(|price| price.age_s),
        legs: price.as_ref().map(|price| price.legs.iter().map(leg).collect()).unwrap_or_default(),
        complete: is_known(view, from..end, &complete),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ticker_domain::{
        coverage::LedgerRange, directory::Directory, instant::HOUR, market::QUOTE_ASSETS,
        market_snapshot::MarketSnapshot, windows::Windows,
    };

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_790_000_000);

    /// Returns what the answer for a moment says if the ledgers of these times are known.
    fn is_complete(known: &[(UnixSeconds, UnixSeconds)], anchors: &[Asset], at: UnixSeconds) -> bool {
        let (mut directory, mut windows) = (Directory::default(), Windows::default());
        directory.add_names([(1, Asset::Native)]);
        windows.advance(NOW);
        let range = |(place, (from_time, to_time)): (u32, &(UnixSeconds, UnixSeconds))| LedgerRange {
            from: 100 * place,
            to: 100 * place + 50,
            from_time: *from_time,
            to_time: *to_time,
        };
        let coverage = (1..).zip(known).map(range).collect();
        let snapshot = MarketSnapshot::new(windows.view(), directory).with_coverage(Arc::new(coverage));
        let view = ListingView::new(7, Arc::new(snapshot), "Test".into(), anchors, &Arc::default());
        let markets = markets(&Asset::Native, anchors).into_iter();
        let stored: Vec<_> = markets.map(|market| (market, StoredPart::default())).collect();
        let moment = Moment { at, stored: Stored::Minute };
        let answer = price_at(&view, &Asset::Native, moment, &stored);
        serde_json::from_slice::<serde_json::Value>(&answer).unwrap()["complete"] == true
    }

    #[test]
    fn a_price_of_now_is_complete_up_to_the_newest_known_ledger() {
        let (begin, newest) = (NOW.minus(2 * DAY), NOW.minus(3));
        let gap = [(begin, NOW.minus(5 * HOUR)), (NOW.minus(5 * HOUR - 60), newest)];
        let usdc: Asset = QUOTE_ASSETS[0].parse().unwrap();
        for anchors in [&[usdc][..], &[]] {
            let whole = |at| is_complete(&[(begin, newest)], anchors, at);
            assert!(whole(NOW) && whole(newest), "nothing is missing");
            assert!(!whole(NOW.minus(1)), "a ledger of that second may still come");
            assert!(!whole(begin.plus(HOUR)), "history begins within the 24 hours");
            assert!(!is_complete(&gap, anchors, NOW) && !is_complete(&[], anchors, NOW));
        }
    }
}
