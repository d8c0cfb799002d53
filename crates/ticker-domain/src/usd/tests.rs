use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{
    asset::tests::issued,
    conversions::Integer as _,
    directory::Directory,
    instant::{DAY, HOUR, MINUTE},
    test_support::trade,
    windows::Windows,
};

const NOW: UnixSeconds = UnixSeconds(1_000_000 * HOUR + 1_830);
const UNIT: i64 = 10_000_000;

/// Ids of the assets in every test, and those of the markets between them.
const NATIVE: AssetId = 1;
const USDC: AssetId = 2;
const YUSDC: AssetId = 3;
const TEA: AssetId = 4;
/// Asset of USDC's issuer.
const TOY: AssetId = 5;
const XLM_USDC: MarketId = 12;
const XLM_YUSDC: MarketId = 13;
const XLM_TEA: MarketId = 14;
const XLM_TOY: MarketId = 15;
const TEA_USDC: MarketId = 24;
const TOY_USDC: MarketId = 25;
const TEA_YUSDC: MarketId = 34;

fn anchors() -> [Asset; 2] {
    [issued("USDC", 1), issued("yUSDC", 2)]
}

#[derive(Default)]
struct Tape {
    windows: Windows,
    number: i64,
}

impl Tape {
    /// A trade some seconds ago: `base` units at `n / d` counter per base.
    fn trade(&mut self, market: MarketId, ago: i64, base: i64, n: i64, d: i64) {
        self.number += 1;
        let base = base * UNIT;
        let counter = base * n / d;
        self.windows.add(market, trade(self.number, 0, NOW.0 - ago, (base, counter), (n, d)));
    }

    /// One trade a minute for some minutes: 1,000 XLM at 0.10 dollars.
    fn ordinary(minutes: i64) -> Self {
        let mut tape = Self::default();
        for minute in 0..minutes {
            tape.trade(XLM_USDC, minute * MINUTE, 1_000, 1, 10);
        }
        tape
    }

    fn snapshot(mut self) -> MarketSnapshot {
        self.windows.advance(NOW);
        let mut directory = Directory::default();
        let [usdc, yusdc] = anchors();
        directory.add_names([
            (NATIVE, Asset::Native),
            (USDC, usdc),
            (YUSDC, yusdc),
            (TEA, issued("TEA", 3)),
            (TOY, issued("TOY", 1)),
        ]);
        directory.add_markets([
            (XLM_USDC, NATIVE, USDC),
            (XLM_YUSDC, NATIVE, YUSDC),
            (XLM_TEA, NATIVE, TEA),
            (TEA_USDC, TEA, USDC),
            (TOY_USDC, TOY, USDC),
            (TEA_YUSDC, TEA, YUSDC),
            (XLM_TOY, NATIVE, TOY),
        ]);
        MarketSnapshot::new(self.windows.view(), directory)
    }

    fn prices(self) -> UsdPrices {
        UsdPrices::of(&self.snapshot(), &anchors())
    }
}

fn dollars(rate: Rate) -> f64 {
    crate::number::ratio_to_f64(rate.n, i64::try_from(rate.d).unwrap())
}

fn xlm(tape: Tape) -> Option<f64> {
    tape.prices().price(NATIVE).map(|price| dollars(price.rate))
}

#[test]
fn xlm_has_the_median_of_its_minutes() {
    let mut tape = Tape::ordinary(30);
    tape.trade(XLM_USDC, 90, 10, 9, 1); // one minute prints another price
    assert_eq!(xlm(tape), Some(0.1));
}

#[test]
fn older_minutes_are_taken_until_there_are_ten_but_none_beyond_a_day() {
    let mut tape = Tape::default();
    for hour in 0..30 {
        tape.trade(XLM_USDC, hour * HOUR + 5, 1_000, 1 + hour, 10);
    }
    let prices = tape.prices();
    let price = prices.xlm().unwrap();
    assert_eq!((price.minutes, dollars(price.rate)), (10, 0.5), "the lower median of the ten newest");
    let mut few = Tape::default();
    (0..2).for_each(|minute| few.trade(XLM_USDC, minute * MINUTE, 1_000, 1, 10));
    (0..9).for_each(|minute| few.trade(XLM_USDC, DAY + minute * MINUTE, 1_000, 1, 10));
    assert_eq!(xlm(few), None, "two minutes are no price");
}

#[test]
fn the_minute_at_the_edge_of_the_hour_counts_in_any_order_of_the_anchors() {
    let mut tape = Tape::ordinary(10);
    // In one minute, one anchor trades before the last hour begins, and the other one after.
    tape.trade(XLM_USDC, HOUR + 5, 1_000, 1, 10);
    tape.trade(XLM_YUSDC, HOUR - 5, 1_000, 1, 10);
    let snapshot = tape.snapshot();
    let [one, other] = anchors();
    let minutes = [[one, other], [other, one]].map(|anchors| {
        let prices = UsdPrices::of(&snapshot, &anchors);
        let xlm = prices.xlm().unwrap();
        (xlm.minutes, xlm.volume / i128::from(UNIT), xlm.anchors.len())
    });
    assert_eq!(minutes, [(11, 1_200, 2); 2]);
}

#[test]
fn an_anchor_away_from_the_others_is_left_out_and_named() {
    let mut tape = Tape::ordinary(30);
    (0..10).for_each(|minute| tape.trade(XLM_YUSDC, minute * MINUTE, 100, 1, 5));
    let prices = tape.prices();
    let price = prices.xlm().unwrap();
    assert_eq!(
        (dollars(price.rate), &price.depegged[..], &price.anchors[..]),
        (0.1, &[YUSDC][..], &[USDC][..])
    );
}

#[test]
fn an_anchor_that_lost_the_dollar_has_a_price_of_its_own_and_is_no_leg() {
    let tape = |price| {
        let mut tape = Tape::ordinary(30);
        (0..10).for_each(|minute| tape.trade(XLM_YUSDC, minute * MINUTE, 150, 1, price));
        (0..10).for_each(|minute| tape.trade(TEA_YUSDC, minute * MINUTE, 3_000, 1, 1));
        tape.prices()
    };
    let held = tape(10);
    assert_eq!(held.price(YUSDC).unwrap().method, Method::Anchor);
    assert_eq!(held.price(TEA).unwrap().method, Method::Direct);
    let lost = tape(5);
    let yusdc = lost.price(YUSDC).unwrap();
    assert_eq!((yusdc.method, dollars(yusdc.rate)), (Method::ThroughXlm, 0.5));
    assert_eq!(lost.price(USDC).unwrap().method, Method::Anchor);
    assert_eq!(lost.price(TEA), None, "its only market is against the anchor that lost the dollar");
}

#[test]
fn a_move_of_xlm_is_no_depeg() {
    // A rise of 12 % in an hour, whose first half trades against one anchor and whose second half against the other.
    let mut tape = Tape::default();
    for minute in 0..60 {
        let cents = 1_120 - 2 * minute; // hundredths of a cent, the newest first
        let (most, few) = if minute < 30 { (XLM_YUSDC, XLM_USDC) } else { (XLM_USDC, XLM_YUSDC) };
        tape.trade(most, minute * MINUTE, 1_000, cents, 10_000);
        if minute % 7 == 0 {
            tape.trade(few, minute * MINUTE, 1_000, cents, 10_000);
        }
    }
    let prices = tape.prices();
    let price = prices.xlm().unwrap();
    assert_eq!((&price.depegged[..], &price.anchors[..]), (&[][..], &[USDC, YUSDC][..]));
    assert!((0.105..0.107).contains(&dollars(price.rate)), "{}", dollars(price.rate));
}

/// Minutes against each anchor: the minute, the XLM and the price in thousandths of a dollar.
fn tape(usdc: &[(i64, i64, i64)], yusdc: &[(i64, i64, i64)]) -> UsdPrices {
    let mut tape = Tape::default();
    for (market, minutes) in [(XLM_USDC, usdc), (XLM_YUSDC, yusdc)] {
        minutes
            .iter()
            .for_each(|(minute, xlm, price)| tape.trade(market, minute * MINUTE, *xlm, *price, 1_000));
    }
    tape.prices()
}

fn minutes(at: impl IntoIterator<Item = i64>, xlm: i64, price: i64) -> Vec<(i64, i64, i64)> {
    at.into_iter().map(|minute| (minute, xlm, price)).collect()
}

fn left_out(prices: &UsdPrices) -> (f64, &[AssetId]) {
    let price = prices.xlm().unwrap();
    (dollars(price.rate), &price.depegged)
}

#[test]
fn of_anchors_that_disagree_the_heavier_stays() {
    // Every other minute, and never the same one.
    let usdc = minutes((0..30).map(|minute| 2 * minute), 1_000, 200);
    let yusdc = minutes((0..30).map(|minute| 2 * minute + 1), 1_000, 300);
    assert_eq!(left_out(&tape(&usdc, &yusdc)), (0.3, &[USDC][..]));
    // On a thin tape too.
    let usdc = minutes([2, 14, 26, 38, 50], 10_000, 100);
    let yusdc = minutes([8, 20, 32, 44, 56], 1_000, 200);
    assert_eq!(left_out(&tape(&usdc, &yusdc)), (0.1, &[YUSDC][..]));
}

/// Minutes of a dollar, 6 % below the true price: a thousandth of the volume.
#[test]
fn small_trades_leave_out_no_anchor_and_move_no_price() {
    let small = |at: &[i64]| minutes(at.iter().copied(), 10, 94);
    let large = |at: &[i64]| minutes(at.iter().copied(), 10_000, 100);
    let usdc = large(&[6, 18, 30, 42, 54]);
    let yusdc = large(&[12, 24, 36, 48, 59]);
    let both = |one: &[(i64, i64, i64)], other: Vec<(i64, i64, i64)>| [one, &other].concat();
    let of_yusdc = both(&yusdc, small(&[2, 13, 22, 33, 43, 50]));
    assert_eq!(left_out(&tape(&usdc, &of_yusdc)), (0.1, &[][..]), "against one anchor");
    let of_usdc = both(&usdc, small(&[1, 10, 20, 31, 40, 55]));
    assert_eq!(left_out(&tape(&of_usdc, &of_yusdc)), (0.1, &[][..]), "against both");
    // Few minutes of one anchor, so that both caps cannot hold.
    let usdc =
        both(&large(&[3, 10, 17, 24, 31, 38, 45, 52]), small(&[7, 8, 16, 21, 28, 43, 48, 49, 54, 59, 1]));
    assert_eq!(left_out(&tape(&usdc, &large(&[7, 28, 48]))), (0.1, &[][..]), "beside few minutes");
}

#[test]
fn another_asset_has_a_direct_leg_or_one_through_xlm() {
    let mut tape = Tape::ordinary(30);
    tape.trade(XLM_TEA, 60, 2_000, 2, 1); // 4,000 TEA at 0.5 XLM, worth 200 dollars
    let prices = tape.prices();
    let tea = prices.price(TEA).unwrap();
    assert_eq!((tea.method, dollars(tea.rate)), (Method::ThroughXlm, 0.05));
    assert_eq!(
        (tea.legs[0].market, tea.legs[0].volume, tea.legs[0].age_s),
        (XLM_TEA, 200 * i128::from(UNIT), 60)
    );

    let mut tape = Tape::ordinary(30);
    tape.trade(XLM_TEA, 60, 200_000, 2, 1);
    tape.trade(TEA_USDC, 50, 3_000, 1, 25);
    let tea = tape.prices().price(TEA).unwrap().clone();
    assert_eq!((tea.method, dollars(tea.rate)), (Method::Direct, 0.04), "an anchor comes first");
}

#[test]
fn of_equal_legs_that_of_the_first_anchor_counts() {
    let mut tape = Tape::ordinary(30);
    [TEA_USDC, TEA_YUSDC].into_iter().for_each(|market| tape.trade(market, 50, 3_000, 1, 25));
    let snapshot = tape.snapshot();
    let [usdc, yusdc] = anchors();
    for (anchors, market) in [([usdc, yusdc], TEA_USDC), ([yusdc, usdc], TEA_YUSDC)] {
        let tea = UsdPrices::of(&snapshot, &anchors).price(TEA).unwrap().clone();
        assert_eq!(tea.legs[0].market, market);
    }
}

#[test]
fn a_leg_needs_a_hundred_dollars_and_another_issuer() {
    let mut tape = Tape::ordinary(30);
    tape.trade(XLM_TEA, 60, 900, 2, 1); // 90 dollars
    tape.trade(TOY_USDC, 60, 100_000, 1, 1); // the issuer of both
    let prices = tape.prices();
    assert_eq!((prices.price(TEA), prices.price(TOY)), (None, None));
    let mut tape = Tape::ordinary(30);
    tape.trade(TOY_USDC, 60, 100_000, 1, 1);
    tape.trade(XLM_TOY, 60, 5_000, 1, 2);
    let toy = tape.prices().price(TOY).unwrap().clone();
    assert_eq!((toy.method, dollars(toy.rate)), (Method::ThroughXlm, 0.2));
}

#[test]
fn a_leg_is_priced_by_its_last_hour_with_trades() {
    let mut tape = Tape::ordinary(30);
    tape.trade(TEA_USDC, 5 * HOUR, 1_000, 1, 1);
    tape.trade(TEA_USDC, 3 * HOUR, 1_000, 3, 1);
    tape.trade(TEA_USDC, 3 * HOUR - 60, 3_000, 1, 1);
    let tea = tape.prices().price(TEA).unwrap().clone();
    assert_eq!((dollars(tea.rate), tea.legs[0].age_s), (1.5, 3 * HOUR - 60));
    assert_eq!(tea.confidence, Confidence::Medium);
}

#[test]
fn an_anchor_is_a_dollar_and_without_anchors_there_are_no_prices() {
    let snapshot = Tape::ordinary(30).snapshot();
    assert_eq!(dollars(UsdPrices::of(&snapshot, &anchors()).price(USDC).unwrap().rate), 1.0);
    assert_eq!(UsdPrices::of(&snapshot, &[]).price(NATIVE), None);
    assert_eq!(UsdPrices::of(&snapshot, &anchors()).worth(NATIVE, 50), Some(5));
}

#[test]
fn the_last_ways_to_overflow_are_closed() {
    let huge = Rate::new(1 << 62, 1).unwrap();
    assert_eq!((huge.times(huge), huge.worth(i128::MAX)), (None, i128::MAX));
    let rate = Rate::new((1 << 62) + 5, (1 << 62) - 5).unwrap();
    let amount = 1 << 65;
    assert_eq!(
        rate.worth(amount),
        amount + 80,
        "the product needs 128 bits; ten units in 2^62 are 80 in 2^65"
    );
    assert_eq!((Rate::new(0, 1), Rate::new(1, 0), Rate::new(1, i128::MAX)), (None, None, None));
}

proptest! {
    #[test]
    fn a_rate_of_large_numbers_keeps_all_digits_that_are_printed(
        n in 1..i128::MAX, d in 1..i128::MAX, shifts in (0..127_u32, 0..127_u32),
    ) {
        let (n, d) = ((n >> shifts.0).max(1), (d >> shifts.1).max(1));
        let quotient = |n: i128, d: i128| n.to_f64() / d.to_f64();
        let exact = quotient(n, d);
        match Rate::new(n, d) {
            Some(rate) => {
                prop_assert!(rate.n.max(rate.d) < 1 << 63);
                prop_assert!((quotient(rate.n, rate.d) / exact - 1.0).abs() < 1e-15, "{rate:?}");
            }
            None => prop_assert!(exact.max(exact.recip()) > 2_f64.powi(62)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The attacker owns both sides of its trades. To print a price away from the market, it must first take every
    /// offer that rests in between. So it attacks no minute in which others trade, and each attacked minute costs it
    /// money. There are two cases. In up to four minutes, fewer than half of those that count, it turns its money
    /// over as often as it likes. In more minutes, it does so once in each, while others trade in every tenth minute
    /// or more often. ADR 27 has the limits.
    #[test]
    fn an_attacker_with_a_thousand_dollars_moves_xlm_by_less_than_a_percent(
        every in prop_oneof![Just(2_i64), Just(4), Just(10), Just(20)],
        minutes in prop_oneof![
            prop::collection::btree_set(0..60_i64, 1..=4), prop::collection::btree_set(0..60_i64, 5..60),
        ],
        price in prop_oneof![1..50_i64, 200..100_000_i64],
        turnover in 1..10_000_i64, is_other_anchor: bool, noise in prop::collection::vec(-40..40_i64, 60),
    ) {
        // A quiet tape of four hours: every second, fourth, tenth or twentieth minute trades,
        // within 0.4 % of 0.10 dollars.
        let mut tape = Tape::default();
        let ordinary = (0..240_i64).zip(noise.into_iter().cycle()).filter(|(minute, _)| minute % every == 0);
        for (minute, noise) in ordinary {
            for trade in 0..3 {
                tape.trade(XLM_USDC, minute * MINUTE + trade, 50_000, 10_000 + noise, 100_000);
            }
            tape.trade(XLM_YUSDC, minute * MINUTE + 4, 5_000, 10_000 - noise, 100_000);
        }
        let market = if is_other_anchor { XLM_YUSDC } else { XLM_USDC };
        // The minute after an ordinary one is free.
        let free = minutes.into_iter().map(|minute| minute + i64::from(minute % every == 0));
        let minutes_max = if every == 20 { 4 } else { 60 };
        let attacked: BTreeSet<i64> = free.take(minutes_max).collect();
        prop_assert!(!attacked.is_empty() && attacked.iter().all(|minute| minute % every != 0));
        let often = if attacked.len() <= 4 { turnover } else { 1 };
        for minute in attacked {
            // Prices in thousandths of a dollar. All the money is dollars, or XLM at its true price.
            let base = (1_000_000 / price).clamp(1, 10_000);
            tape.trade(market, minute * MINUTE + 7, base * often, price, 1_000);
        }
        let moved = xlm(tape).unwrap() / 0.1 - 1.0;
        prop_assert!(moved.abs() < 0.01, "{moved}");
    }
}
