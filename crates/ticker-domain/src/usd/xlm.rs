//! Price of XLM: the weighted median of its minutes against the anchors.

use std::collections::BTreeMap;

use super::{
    Rate, age, market_of,
    median::{Candidate, capped, lower_median},
};
use crate::{
    asset_names::AssetId,
    instant::{DAY, HOUR, MINUTE, UnixSeconds},
    market_snapshot::MarketSnapshot,
};

/// Minutes with trades below which older minutes are taken too.
const MINUTES_WANTED: usize = 10;
/// Minutes with trades below which there is no price.
const MINUTES_MIN: usize = 3;
/// Minutes before and after a minute that it is compared with.
const AROUND_MINUTES: u64 = 5;
/// The same where no other anchor trades in these.
const AROUND_MINUTES_MAX: u64 = 30;
/// Largest distance of an anchor from the joint price, as the divisor of that: 1/50 is 2 %.
const DEPEG_DIVISOR: i128 = 50;

/// Price of XLM in dollars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XlmPrice {
    /// Dollars per XLM.
    pub rate: Rate,
    /// Number of minutes with trades that the price comes from.
    pub minutes: usize,
    /// Seconds since the newest of those trades.
    pub age_s: i64,
    /// Dollars of clean volume in those minutes, in stroops.
    pub volume: i128,
    /// Anchors whose minutes count.
    pub anchors: Vec<AssetId>,
    /// Anchors that are left out, because they are more than 2 % away from the others.
    pub depegged: Vec<AssetId>,
}

/// Sums of one minute against one anchor.
#[derive(Clone, Copy, Default)]
struct MinuteSum {
    xlm: i128,
    anchor: i128,
    last_at: i64,
}

pub(super) fn price(snapshot: &MarketSnapshot, native: AssetId, anchors: &[AssetId]) -> Option<XlmPrice> {
    let as_of = snapshot.as_of();
    let weighed = weigh(minutes(snapshot, native, anchors), as_of, anchors.len())?;
    let ids = |places: &[usize]| places.iter().filter_map(|place| anchors.get(*place).copied()).collect();
    Some(XlmPrice {
        rate: weighed.rate,
        minutes: weighed.minutes,
        age_s: age(as_of, UnixSeconds(weighed.newest)),
        volume: weighed.volume,
        anchors: ids(&weighed.counted),
        depegged: ids(&weighed.depegged),
    })
}

/// Price of weighed minutes.
pub(super) struct Weighed {
    pub(super) rate: Rate,
    /// Number of minutes that count.
    pub(super) minutes: usize,
    /// Close time of the newest trade of them.
    pub(super) newest: i64,
    /// Dollars in those minutes, in stroops.
    pub(super) volume: i128,
    /// Places of the anchors that count, and of those that are left out.
    counted: Vec<usize>,
    pub(super) depegged: Vec<usize>,
}

/// Weighs the minutes of the 24 hours before `as_of`. `None` if too few have trades.
pub(super) fn weigh(all: Vec<Candidate>, as_of: UnixSeconds, anchors: usize) -> Option<Weighed> {
    let chosen = recent(all, as_of);
    let depegged = if anchors < 2 { Vec::new() } else { depegged(&chosen, anchors) };
    let traded = (0..anchors).filter(|anchor| chosen.iter().any(|candidate| candidate.anchor == *anchor));
    let counted: Vec<usize> = traded.filter(|anchor| !depegged.contains(anchor)).collect();
    let chosen = of_anchors(&chosen, &counted);
    let minutes = minute_count(&chosen);
    if minutes < MINUTES_MIN {
        return None;
    }
    let newest = chosen.iter().map(|candidate| candidate.last_at).max()?;
    let volume = chosen.iter().map(|candidate| candidate.weight).sum();
    Some(Weighed { rate: lower_median(&capped(chosen))?, minutes, newest, volume, counted, depegged })
}

/// Every minute of the last 24 hours with a clean trade against an anchor, with its volume-weighted price.
fn minutes(snapshot: &MarketSnapshot, native: AssetId, anchors: &[AssetId]) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for (place, anchor) in anchors.iter().enumerate() {
        let Some((market, is_flipped)) = market_of(snapshot, native, *anchor) else { continue };
        let mut sums: BTreeMap<i64, MinuteSum> = BTreeMap::new();
        let edge = snapshot.as_of().minus(DAY);
        for trade in snapshot.windows().trades_since(market, edge).filter(|trade| trade.is_clean()) {
            let sum = sums.entry(trade.closed_at.0.div_euclid(MINUTE)).or_default();
            let (base, counter) = (trade.base_amount.stroops(), trade.counter_amount.stroops());
            let (xlm, anchor) = if is_flipped { (counter, base) } else { (base, counter) };
            sum.xlm += i128::from(xlm);
            sum.anchor += i128::from(anchor);
            sum.last_at = sum.last_at.max(trade.closed_at.0);
        }
        candidates.extend(sums.into_iter().filter_map(|(minute, sum)| {
            let rate = Rate::new(sum.anchor, sum.xlm)?;
            Some(Candidate { minute, last_at: sum.last_at, anchor: place, rate, weight: sum.anchor })
        }));
    }
    candidates
}

/// The minutes of the last hour. If fewer than ten have trades, the newest minutes until there are ten.
fn recent(mut candidates: Vec<Candidate>, as_of: UnixSeconds) -> Vec<Candidate> {
    // In the minute of the edge, a candidate of the last hour comes before an older one. Then both count, whatever
    // the order of the anchors.
    candidates.sort_by_key(|candidate| std::cmp::Reverse((candidate.minute, candidate.last_at)));
    let edge = as_of.minus(HOUR).0;
    let mut chosen: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        let is_of_same_minute = chosen.last().is_some_and(|last| last.minute == candidate.minute);
        if candidate.last_at <= edge && !is_of_same_minute && minute_count(&chosen) >= MINUTES_WANTED {
            break;
        }
        chosen.push(candidate);
    }
    chosen
}

/// Anchors that have lost the dollar: whose price of XLM is away from that of all anchors together. XLM itself moves,
/// so each minute is compared with the minutes around it. One anchor always stays.
fn depegged(chosen: &[Candidate], anchors: usize) -> Vec<usize> {
    let weighed = capped(chosen.to_vec());
    let ratios: Vec<Candidate> = weighed.iter().filter_map(|candidate| ratio(candidate, chosen)).collect();
    let Some(joint) = lower_median(&ratios) else { return Vec::new() };
    let traded = (0..anchors).filter(|anchor| chosen.iter().any(|candidate| candidate.anchor == *anchor));
    // The weights stay those of all anchors: beside few minutes of its own, an anchor's small ones would weigh as much.
    // None if no ratio fits in a rate.
    let level = |anchor: usize| lower_median(&of_anchors(&ratios, &[anchor]));
    let levels: Vec<(usize, Option<Rate>)> = traded.map(|anchor| (anchor, level(anchor))).collect();
    let far = levels.iter().filter(|(_, level)| level.is_none_or(|level| is_far(level, joint)));
    let mut far: Vec<usize> = far.map(|(anchor, _)| *anchor).collect();
    if far.len() == levels.len() {
        let distances =
            levels.iter().filter_map(|(anchor, level)| Some((*anchor, distance((*level)?, joint)?)));
        let nearest = distances.min_by(|(_, one), (_, other)| one.compare(*other));
        let nearest = nearest.map_or(0, |(anchor, _)| anchor);
        far.retain(|anchor| *anchor != nearest);
    }
    far
}

/// Quotient of the price of a minute and the joint one of the minutes around it.
fn ratio(candidate: &Candidate, all: &[Candidate]) -> Option<Candidate> {
    let distance = |other: &Candidate| other.minute.abs_diff(candidate.minute);
    let others = all.iter().filter(|other| other.anchor != candidate.anchor).map(distance);
    // On a thin tape up to the nearest minute of another anchor.
    let nearest = others.min().filter(|minutes| *minutes <= AROUND_MINUTES_MAX).unwrap_or_default();
    let radius = nearest.max(AROUND_MINUTES);
    let around: Vec<Candidate> = all.iter().filter(|other| distance(other) <= radius).copied().collect();
    Some(Candidate { rate: candidate.rate.times(lower_median(&around)?.inverse())?, ..*candidate })
}

/// Factor between two rates, at least 1.
fn distance(one: Rate, other: Rate) -> Option<Rate> {
    let factor = one.times(other.inverse())?;
    Some(if factor.n < factor.d { factor.inverse() } else { factor })
}

fn of_anchors(candidates: &[Candidate], anchors: &[usize]) -> Vec<Candidate> {
    candidates.iter().filter(|candidate| anchors.contains(&candidate.anchor)).copied().collect()
}

/// Number of distinct minutes. The candidates of a minute stand together.
fn minute_count(candidates: &[Candidate]) -> usize {
    candidates.chunk_by(|one, other| one.minute == other.minute).count()
}

/// True if two rates differ by more than 2 % of the second.
fn is_far(own: Rate, joint: Rate) -> bool {
    // Both products are below 2^126.
    let (own, joint) = (own.n * joint.d, joint.n * own.d);
    (own - joint).abs() > joint / DEPEG_DIVISOR
}
