//! Simulated week at the public Horizon: all demands on its budget, against both kinds of limiter.

use super::*;
use crate::domain::conversions::SaturatingFrom;

/// Server-side limiter of 3,600 requests per hour.
enum Limiter {
    /// Horizon's own: a burst of 100 and one more, of which `per_s` requests expire each second.
    Bucket { used: f64, at: f64, per_s: f64 },
    /// Fixed window: a whole hour's requests may be sent at once.
    Window { used: u32, began: f64, most: u32 },
}

/// Headers of a reply.
#[derive(Clone, Copy)]
struct Reply {
    allowance: Allowance,
    /// `Retry-After` in seconds, of a refusal only.
    retry_after_s: Option<u64>,
}

impl Limiter {
    fn ask(&mut self, at_s: f64) -> Reply {
        match self {
            Self::Bucket { used, at, per_s } => {
                *used = (*used - (at_s - *at) * *per_s).max(0.0);
                *at = at_s;
                let over = *used + 1.0 - 101.0;
                if over <= 0.0 {
                    *used += 1.0;
                }
                let (remaining, reset_s) = (101.0 - *used, u64::saturating_from((*used / *per_s).ceil()));
                let allowance = Allowance { limit: 101, remaining: u32::saturating_from(remaining), reset_s };
                let retry_after_s = (over > 0.0).then(|| u64::saturating_from((over / *per_s).ceil()));
                Reply { allowance, retry_after_s }
            }
            Self::Window { used, began, most } => {
                if at_s - *began >= 3_600.0 {
                    (*used, *began) = (0, at_s);
                }
                *used += 1;
                let reset_s = u64::saturating_from((*began + 3_600.0 - at_s).ceil());
                let allowance = Allowance { limit: *most, remaining: most.saturating_sub(*used), reset_s };
                Reply { allowance, retry_after_s: (*used > *most).then_some(reset_s) }
            }
        }
    }
}

/// Demand of an actor, and what it received.
struct Demand {
    class: Class,
    /// Requests wanted now.
    wanted: u32,
    /// Time of the next request, in seconds. An actor sends one request at a time and waits for the answer.
    free_at: f64,
    waited_since: Option<f64>,
    longest_wait: f64,
    got: u32,
    got_this_hour: u32,
    hours_with_nothing: u32,
}

impl Demand {
    const fn new(class: Class, wanted: u32) -> Self {
        Self {
            class,
            wanted,
            free_at: 0.0,
            waited_since: None,
            longest_wait: 0.0,
            got: 0,
            got_this_hour: 0,
            hours_with_nothing: 0,
        }
    }
}

/// Result of a simulated week.
#[derive(Debug, Default)]
struct Week {
    refused: u32,
    first_assets_in_a_minute: u32,
    day_complete_after_h: Option<f64>,
    used: u32,
    got: [u32; 5],
    longest_wait: [f64; 5],
    hours_with_nothing: [u32; 5],
}

/// Time until a page is answered, in seconds.
const ANSWER_S: f64 = 0.3;
const STEP_S: f64 = 0.1;
const LEDGER_S: f64 = 5.8;
/// Pages of 24 hours of trades, and of 7 days.
const DAY_PAGES: u32 = 7_300;
const WEEK_PAGES: u32 = 51_100;
const SWEEP_PAGES: u32 = 2_210;

/// Simulates a network of the public one's size for this many hours.
fn run(mut limiter: Limiter, hours: u32) -> Week {
    let start = Instant::now();
    let mut budget = Budget::new(3_600, start);
    let mut week = Week::default();
    let mut demands = [
        Demand::new(Class::Live, 1),
        Demand::new(Class::FirstAssets, 250), // the assets of 200 markets
        Demand::new(Class::History, WEEK_PAGES),
        Demand::new(Class::Assets, SWEEP_PAGES),
        Demand::new(Class::Books, u32::MAX), // 26,000 markets every 10 minutes are more than the budget allows
    ];
    budget.begin_first_assets_wait();
    let (mut next_ledger, mut next_tail, mut next_sweep, mut next_hour) = (0.0, 0.0, 21_600.0, 3_600.0);
    let mut at_s = 0.0;
    let mut answers: Vec<(f64, Reply)> = Vec::new();
    while at_s < f64::from(hours) * 3_600.0 {
        let now = start + Duration::from_secs_f64(at_s);
        answers.retain(|(comes_at, reply)| {
            if *comes_at > at_s {
                return true;
            }
            budget.record_allowance(reply.allowance, now);
            budget.record_end();
            match reply.retry_after_s {
                Some(seconds) => budget.record_refusal(Some(Duration::from_secs(seconds)), now),
                None => budget.record_success(),
            }
            false
        });
        if at_s >= next_ledger {
            // The open stream costs one request per ledger, and one connection per 200 records, which is two ledgers.
            next_ledger += LEDGER_S;
            week.used += 1;
            week.refused += u32::from(limiter.ask(at_s).retry_after_s.is_some());
            budget.charge(1, now);
            demands[0].wanted += u32::from(u32::saturating_from(at_s / LEDGER_S).is_multiple_of(2));
        }
        if at_s >= next_tail {
            next_tail += 15.0;
            demands[0].wanted += 2;
        }
        if at_s >= next_sweep {
            next_sweep += 21_600.0;
            demands[3].wanted = demands[3].wanted.max(SWEEP_PAGES);
        }
        for demand in &mut demands {
            serve(demand, at_s, now, &mut budget, &mut limiter, &mut answers, &mut week);
        }
        if demands[1].wanted == 0 && budget.first_waiting > 0 {
            budget.end_first_assets_wait();
        }
        if at_s <= 60.0 {
            week.first_assets_in_a_minute = demands[1].got;
        }
        if demands[2].got >= DAY_PAGES && week.day_complete_after_h.is_none() {
            week.day_complete_after_h = Some(at_s / 3_600.0);
            budget.set_day_complete(true);
        }
        if at_s >= next_hour {
            next_hour += 3_600.0;
            for demand in &mut demands {
                demand.hours_with_nothing += u32::from(demand.got_this_hour == 0 && demand.wanted > 0);
                demand.got_this_hour = 0;
            }
        }
        at_s += STEP_S;
    }
    week.got = demands.each_ref().map(|demand| demand.got);
    week.longest_wait = demands.each_ref().map(|demand| demand.longest_wait);
    week.hours_with_nothing = demands.each_ref().map(|demand| demand.hours_with_nothing);
    week
}

fn serve(
    demand: &mut Demand,
    at_s: f64,
    now: Instant,
    budget: &mut Budget,
    limiter: &mut Limiter,
    answers: &mut Vec<(f64, Reply)>,
    week: &mut Week,
) {
    if demand.wanted == 0 || at_s < demand.free_at {
        return;
    }
    let since = *demand.waited_since.get_or_insert(at_s);
    if budget.try_take(demand.class, now).is_err() {
        return;
    }
    let reply = limiter.ask(at_s);
    week.refused += u32::from(reply.retry_after_s.is_some());
    answers.push((at_s + ANSWER_S, reply));
    demand.longest_wait = demand.longest_wait.max(at_s - since);
    demand.waited_since = None;
    demand.free_at = at_s + ANSWER_S;
    demand.wanted = demand.wanted.saturating_sub(1);
    demand.got += 1;
    demand.got_this_hour += 1;
    week.used += 1;
}

#[test]
fn a_week_on_the_public_budget_starves_no_actor_and_is_never_refused() {
    let week = run(Limiter::Bucket { used: 0.0, at: 0.0, per_s: 1.0 }, 168);
    println!("{week:?}");
    assert_eq!(week.refused, 0, "no 429");
    assert!(week.first_assets_in_a_minute >= 50, "the first file is not empty");
    assert!(week.day_complete_after_h.unwrap() <= 4.0, "24 hours within 4 hours");
    assert_eq!(week.hours_with_nothing, [0; 5], "no actor is starved");
    assert!(week.longest_wait[0] < 5.0, "the stream never waits long");
    assert!(week.got[2] >= WEEK_PAGES, "7 days are complete in the end");
    assert!(week.got[3] >= 20 * SWEEP_PAGES, "assets are swept");
    assert!(f64::from(week.used) >= 0.85 * 168.0 * 3_600.0, "most of the budget is used");
}

#[test]
fn a_burst_that_another_process_used_up_stops_the_stream_for_seconds() {
    let week = run(Limiter::Bucket { used: 101.0, at: 0.0, per_s: 1.0 }, 1);
    println!("{week:?}");
    assert!((1..10).contains(&week.refused), "some requests of the first second");
    assert!(week.longest_wait[0] < 10.0, "the time until the whole burst is back is no reason to wait");
    assert_eq!(week.hours_with_nothing, [0; 5]);
}

#[test]
fn an_empty_burst_of_a_server_that_allows_less_than_configured_fills_again() {
    let week = run(Limiter::Bucket { used: 101.0, at: 0.0, per_s: 0.5 }, 3);
    println!("{week:?}");
    assert!(week.refused < 20, "it is not asked again and again");
    assert!(week.longest_wait[0] < 20.0);
}

#[test]
fn a_fixed_window_is_never_exceeded() {
    let week = run(Limiter::Window { used: 0, began: 0.0, most: 3_600 }, 48);
    println!("{week:?}");
    assert_eq!((week.refused, week.hours_with_nothing), (0, [0; 5]));
    assert!(week.day_complete_after_h.unwrap() <= 4.0);
}

#[test]
fn a_server_that_allows_less_than_configured_is_respected() {
    let week = run(Limiter::Window { used: 0, began: 0.0, most: 1_800 }, 12);
    println!("{week:?}");
    assert_eq!(week.refused, 0, "its headers report the limit");
    assert!(week.longest_wait[0] < 60.0);
}
