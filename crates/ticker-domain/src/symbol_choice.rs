//! Stored choices of the assets that stand for codes. A choice changes only after another asset has led for a week, so
//! that nobody takes a code over with a few days of bought volume.
//!
//! Source of the rule: docs/adr/0016. More than twice the volume of the last 24 hours, at every check of 7 days. The
//! volume of 7 days would not do: it remembers six days of bought volume for almost another week.

use std::collections::BTreeMap;

use super::{
    asset::Asset,
    instant::{DAY, NOTICE, UnixSeconds},
};

/// Time for which another asset has to lead.
const LEAD: i64 = 7 * DAY;
/// Multiple of the volume that counts as a lead.
const MULTIPLE: i128 = 2;
/// Longest time between two checks. After a longer one, nobody knows who led meanwhile.
const CHECKS_APART: i64 = DAY;
/// Time for which a choice is kept while no asset may stand for its code. Anybody may issue a code and trade it for a
/// while, so without a limit the stored choices would grow for ever.
const KEPT: i64 = 365 * DAY;

/// Asset that stands for a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The asset.
    pub asset: Asset,
    /// Moment from which it counts.
    pub since: UnixSeconds,
    /// Asset that counts before.
    pub previous: Option<Asset>,
    /// Asset that leads now, and since when.
    pub challenger: Option<(Asset, UnixSeconds)>,
    /// Time of the last check at which any asset might stand for the code, or the chosen one had traded.
    pub checked_at: UnixSeconds,
}

/// Asset that may stand for its code, with its clean volume against anchors and XLM, in dollars (stroops).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The asset.
    pub asset: Asset,
    /// Volume of 7 days.
    pub week_volume: i128,
    /// Volume of 24 hours.
    pub day_volume: i128,
    /// Accounts that hold it.
    pub holders: i64,
}

/// Choices by code.
pub type Choices = BTreeMap<String, Choice>;

impl Choice {
    /// Asset that counts at a moment, and since when if it is the chosen one.
    #[must_use]
    pub fn at(&self, moment: UnixSeconds) -> (Option<Asset>, Option<UnixSeconds>) {
        if self.is_forgotten(moment) {
            // The same as without the row, which the leader deletes a little later.
            return (None, None);
        }
        if moment >= self.since { (Some(self.asset), Some(self.since)) } else { (self.previous, None) }
    }

    /// Returns true if in the last year no asset might stand for the code and the chosen one did not trade.
    #[must_use]
    pub const fn is_forgotten(&self, now: UnixSeconds) -> bool {
        now.0.saturating_sub(self.checked_at.0) > KEPT
    }

    /// Returns true if the rule may have made this choice out of an earlier one: it is the same, or its successor.
    #[must_use]
    pub fn follows(&self, earlier: &Self) -> bool {
        if self.asset == earlier.asset {
            return self.since == earlier.since;
        }
        self.previous == Some(earlier.asset) && self.since > earlier.since
    }

    /// First choice for a code: most volume of 7 days, then most holders, then the first issuer. `None` without
    /// volume.
    #[must_use]
    pub fn first(candidates: &[Candidate], now: UnixSeconds) -> Option<Self> {
        let best = best_of_week(candidates)?;
        let since = now.plus(NOTICE);
        Some(Self { asset: best.asset, since, previous: None, challenger: None, checked_at: now })
    }

    /// The choice after a check.
    #[must_use]
    pub fn checked(mut self, candidates: &[Candidate], now: UnixSeconds) -> Self {
        if candidates.is_empty() {
            // The time of the last candidate stays.
            return Self { challenger: None, ..self };
        }
        if now.0.saturating_sub(self.checked_at.0) > CHECKS_APART {
            self.challenger = None;
        }
        self.checked_at = now;
        let volume_of = |asset: Asset| {
            candidates.iter().find(|one| one.asset == asset).map_or(0, |candidate| candidate.day_volume)
        };
        let others = candidates.iter().filter(|candidate| candidate.asset != self.asset);
        let best = others.max_by_key(|one| (one.day_volume, std::cmp::Reverse(one.asset)));
        let Some(best) = best else { return Self { challenger: None, ..self } };
        let held = volume_of(self.asset);
        if best.day_volume == 0 && held == 0 {
            return self; // A day without trades says nothing about who leads.
        }
        if best.day_volume <= held.saturating_mul(MULTIPLE) {
            return Self { challenger: None, ..self };
        }
        let since = match self.challenger {
            Some((asset, since)) if asset == best.asset => since,
            _ => now,
        };
        if now.0.saturating_sub(since.0) < LEAD {
            return Self { challenger: Some((best.asset, since)), ..self };
        }
        Self {
            asset: best.asset,
            since: now.plus(NOTICE),
            previous: Some(self.asset),
            challenger: None,
            checked_at: now,
        }
    }
}

/// All choices after a check. A code gets its first choice when one of its assets has volume. Forgotten ones are left
/// out. An asset that trades keeps its code, even if its domain does not confirm it any more.
#[must_use]
pub fn next(
    stored: &Choices,
    candidates: &BTreeMap<String, Vec<Candidate>>,
    is_traded: impl Fn(&Asset) -> bool,
    now: UnixSeconds,
) -> Choices {
    let of_code = |code: &str| candidates.get(code).map(Vec::as_slice).unwrap_or_default();
    let checked = |code: &str, choice: &Choice| {
        let checked = choice.checked(of_code(code), now);
        if is_traded(&choice.asset) { Choice { checked_at: now, ..checked } } else { checked }
    };
    let kept = stored.iter().filter(|(_, choice)| !choice.is_forgotten(now));
    let mut choices: Choices = kept.map(|(code, choice)| (code.clone(), checked(code, choice))).collect();
    for (code, candidates) in candidates {
        if !choices.contains_key(code) {
            choices.extend(Choice::first(candidates, now).map(|choice| (code.clone(), choice)));
        }
    }
    choices
}

/// Earlier choices that are gone from `later`, or that changed there against the rule. Those that are forgotten at
/// `now` may go.
#[must_use]
pub fn overturned(earlier: &Choices, later: &Choices, now: UnixSeconds) -> Choices {
    let is_overturned = |code: &str, choice: &Choice| {
        !choice.is_forgotten(now) && !later.get(code).is_some_and(|later| later.follows(choice))
    };
    earlier
        .iter()
        .filter(|(code, choice)| is_overturned(code, choice))
        .map(|(code, choice)| (code.clone(), *choice))
        .collect()
}

/// Candidate with the most volume of 7 days, then the most holders, then the first issuer. `None` without volume:
/// such a choice would be stored nowhere, so holders alone could change it at once.
pub(super) fn best_of_week(candidates: &[Candidate]) -> Option<&Candidate> {
    let traded = candidates.iter().filter(|one| one.week_volume > 0);
    traded.max_by_key(|one| (one.week_volume, one.holders, std::cmp::Reverse(one.asset)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{asset::tests::issued, instant::HOUR};

    const START: UnixSeconds = UnixSeconds(1_790_000_000);

    fn candidate(byte: u8, day_volume: i128) -> Candidate {
        Candidate { asset: issued("TEA", byte), week_volume: 7 * day_volume, day_volume, holders: 50 }
    }

    /// Choices after each hour, if for `days` the second asset has `multiple` times the volume of the first. The volume
    /// of 24 hours grows and falls linearly, as that of bought trades does.
    fn bought(days: i64, multiple: i128) -> Vec<Choice> {
        let mut choice = Choice::first(&[candidate(1, 100), candidate(2, 0)], START).unwrap();
        let mut choices = vec![choice];
        for hour in 1..=24 * 30 {
            let bought_hours = hour.min(24 * days) - (hour - 24).max(0).min(24 * days);
            let volume = 100 * multiple * i128::from(bought_hours) / 24;
            let candidates = [candidate(1, 100), candidate(2, volume)];
            choice = choice.checked(&candidates, START.plus(hour * HOUR));
            choices.push(choice);
        }
        choices
    }

    fn changes(choices: &[Choice]) -> usize {
        choices.windows(2).filter(|pair| pair[0].asset != pair[1].asset).count()
    }

    #[test]
    fn ten_times_the_volume_for_six_days_changes_nothing_and_for_eight_days_once() {
        assert_eq!(changes(&bought(6, 10)), 0);
        let eight = bought(8, 10);
        let first = eight.iter().find(|choice| choice.asset == issued("TEA", 2)).unwrap();
        assert_eq!((first.previous, first.challenger), (Some(issued("TEA", 1)), None));
        // The old asset regains its lead when nobody buys any more, and gets its code back after a week of that.
        let within = |choice: &&Choice| choice.checked_at < START.plus(15 * DAY);
        let fortnight: Vec<Choice> = eight.iter().filter(within).copied().collect();
        assert_eq!(changes(&fortnight), 1);
        assert_eq!(changes(&bought(30, 2)), 0, "twice the volume is no lead of more than twice");
    }

    #[test]
    fn every_code_with_volume_gets_a_choice_and_keeps_it() {
        let candidates = |volumes: [i128; 2]| {
            let (tea, none) =
                (vec![candidate(1, volumes[0]), candidate(2, volumes[1])], vec![candidate(3, 0)]);
            BTreeMap::from([("TEA".to_owned(), tea), ("NONE".to_owned(), none)])
        };
        let first = next(&Choices::new(), &candidates([1, 2]), |_| true, START);
        assert_eq!(first.keys().collect::<Vec<_>>(), ["TEA"]);
        let later = next(&first, &candidates([9, 2]), |_| true, START.plus(HOUR));
        assert_eq!(later["TEA"].asset, issued("TEA", 2));
        let gone = next(&first, &BTreeMap::new(), |_| false, START.plus(HOUR));
        assert_eq!(gone["TEA"].asset, issued("TEA", 2), "an asset without candidates keeps its code");
    }

    #[test]
    fn a_choice_is_forgotten_after_a_year_without_any_asset_that_may_stand_for_its_code() {
        let of = |candidates: &[Candidate]| BTreeMap::from([("TEA".to_owned(), candidates.to_vec())]);
        let first = next(&Choices::new(), &of(&[candidate(1, 100)]), |_| true, START);
        let check = |choices: &Choices, days: i64, candidates: &[Candidate]| {
            next(choices, &of(candidates), |_| false, START.plus(days * DAY))
        };
        let quiet = (1..=365).fold(first, |choices, day| check(&choices, day, &[]));
        assert_eq!(quiet["TEA"].asset, issued("TEA", 1), "nobody takes it over with one trade");
        let returned = check(&quiet, 365, &[candidate(1, 0)]);
        assert_eq!(check(&returned, 366, &[])["TEA"].asset, issued("TEA", 1), "another year begins");
        assert_eq!(check(&quiet, 366, &[]), Choices::new());
        assert_eq!(check(&quiet, 366, &[candidate(2, 1)])["TEA"].asset, issued("TEA", 2));
        let late = START.plus(366 * DAY);
        assert_eq!(quiet["TEA"].at(late), (None, None), "also where the row is still there");
        assert_eq!(overturned(&quiet, &Choices::new(), late), Choices::new());
        assert_eq!(overturned(&quiet, &Choices::new(), late.minus(DAY)), quiet);
    }

    #[test]
    fn an_asset_that_trades_keeps_its_code_for_years_without_its_domain() {
        let of = |candidates: &[Candidate]| BTreeMap::from([("TEA".to_owned(), candidates.to_vec())]);
        let first = next(&Choices::new(), &of(&[candidate(1, 100)]), |_| true, START);
        let trades = |asset: &Asset| *asset == issued("TEA", 1);
        let check = |choices: Choices, day: i64| next(&choices, &of(&[]), trades, START.plus(day * DAY));
        let used = (1..=800).fold(first, check);
        let taken = next(&used, &of(&[candidate(2, 1)]), trades, START.plus(801 * DAY));
        assert_eq!(taken["TEA"].asset, issued("TEA", 1), "nobody takes it over with one trade");
    }

    #[test]
    fn a_choice_counts_after_its_notice_and_the_previous_one_before() {
        let choice = *bought(8, 10).iter().find(|choice| choice.previous.is_some()).unwrap();
        let before = choice.at(choice.since.minus(1));
        assert_eq!(before, (Some(issued("TEA", 1)), None));
        assert_eq!(choice.at(choice.since), (Some(issued("TEA", 2)), Some(choice.since)));
    }

    #[test]
    fn a_choice_that_changed_without_a_lead_or_that_is_gone_is_overturned() {
        let choices = bought(8, 10);
        let of = |choice: &Choice| Choices::from([("TEA".to_owned(), *choice)]);
        for pair in choices.windows(2) {
            assert_eq!(overturned(&of(&pair[0]), &of(&pair[1]), START), Choices::new(), "{pair:?}");
        }
        let first = choices[0];
        let other = issued("TEA", 7);
        let wrong = [
            Choice { asset: other, ..first },
            Choice { asset: other, since: first.since.plus(DAY), ..first },
            Choice { since: first.since.plus(DAY), ..first },
            Choice { asset: other, previous: Some(first.asset), ..first },
        ];
        for wrong in wrong {
            assert_eq!(overturned(&of(&first), &of(&wrong), START), of(&first), "{wrong:?}");
        }
        assert_eq!(overturned(&of(&first), &Choices::new(), START), of(&first));
        assert_eq!(overturned(&Choices::new(), &of(&first), START), Choices::new());
    }

    #[test]
    fn a_lead_that_nobody_observed_does_not_count_and_a_quiet_day_ends_none() {
        let lead = [candidate(1, 100), candidate(2, 500)];
        let quiet = [candidate(1, 0), candidate(2, 0)];
        let first = Choice::first(&[candidate(1, 100)], START).unwrap();
        let led = first.checked(&lead, START.plus(HOUR));
        assert_eq!(led.challenger, Some((issued("TEA", 2), START.plus(HOUR))));
        assert_eq!(led.checked(&quiet, START.plus(2 * HOUR)).challenger, led.challenger);
        let late = led.checked(&lead, START.plus(9 * DAY));
        assert_eq!(
            (late.asset, late.challenger),
            (first.asset, Some((issued("TEA", 2), START.plus(9 * DAY))))
        );
        let third =
            led.checked(&[candidate(1, 100), candidate(2, 500), candidate(3, 900)], START.plus(2 * HOUR));
        assert_eq!(
            third.challenger,
            Some((issued("TEA", 3), START.plus(2 * HOUR))),
            "another one begins at 0"
        );
        assert_eq!(
            led.checked(&[candidate(1, 300), candidate(2, 500)], START.plus(2 * HOUR)).challenger,
            None
        );
        assert_eq!(Choice::first(&[], START), None);
    }
}
