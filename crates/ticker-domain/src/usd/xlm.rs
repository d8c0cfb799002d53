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
/// Distance in minutes within which the prices of two anchors are compared, if there are such.
const NEAR_MINUTES: u64 = 5;
/// Largest distance of an anchor from the others, in per cent.
const DEPEG_PERCENT: i128 = 2;

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
    depegged: Vec<usize>,
}

/// Weighs the minutes of the 24 hours before `as_of`. `None` if too few have trades.
pub(super) fn weigh(all: Vec<Candidate>, as_of: UnixSeconds, anchors: usize) -> Option<Weighed> {
    let chosen = recent(all, as_of);
    let is_away = away(&chosen, anchors);
    let traded = (0..anchors).filter(|anchor| chosen.iter().any(|candidate| candidate.anchor == *anchor));
    let (depegged, counted): (Vec<_>, Vec<_>) = traded.partition(|anchor| is_away.contains(anchor));
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
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.minute));
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

/// Anchors whose price of XLM is away from the others'. Prices of like times are compared, since XLM itself moves. At
/// least one anchor is not away.
fn away(chosen: &[Candidate], anchors: usize) -> Vec<usize> {
    let weights = capped(chosen.to_vec());
    let weight = |anchor: usize| -> i128 {
        weights.iter().filter(|candidate| candidate.anchor == anchor).map(|candidate| candidate.weight).sum()
    };
    let Some(heaviest) = (0..anchors).rev().max_by_key(|anchor| weight(*anchor)) else { return Vec::new() };
    let reference = of_anchors(chosen, &[heaviest]);
    let levels: Vec<Candidate> = (0..anchors)
        .filter_map(|anchor| {
            let rate = level(&of_anchors(chosen, &[anchor]), &reference)?;
            Some(Candidate { minute: 0, last_at: 0, anchor, rate, weight: weight(anchor) })
        })
        .collect();
    let Some(joint) = lower_median(&levels) else { return Vec::new() };
    levels.iter().filter(|level| is_far(level.rate, joint)).map(|level| level.anchor).collect()
}

/// Median of the ratios between the prices of an anchor and those of another at the nearest minutes.
fn level(own: &[Candidate], reference: &[Candidate]) -> Option<Rate> {
    let nearest = |candidate: &Candidate| {
        let distance = |other: &&Candidate| (other.minute.abs_diff(candidate.minute), other.minute);
        let other = reference.iter().min_by_key(distance)?;
        let rate = candidate.rate.times(other.rate.inverse())?;
        Some((other.minute.abs_diff(candidate.minute), Candidate { rate, ..*candidate }))
    };
    let ratios: Vec<(u64, Candidate)> = own.iter().filter_map(nearest).collect();
    let farthest = ratios.iter().map(|(distance, _)| *distance).min()?.max(NEAR_MINUTES);
    let near = ratios.into_iter().filter(|(distance, _)| *distance <= farthest).map(|(_, ratio)| ratio);
    lower_median(&capped(near.collect()))
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
    // Both products are below 2^126, and a hundred times that loses no comparison: shift first.
    let (own, joint) = ((own.n * joint.d) >> 8, (joint.n * own.d) >> 8);
    100 * (own - joint).abs() > DEPEG_PERCENT * joint
}
