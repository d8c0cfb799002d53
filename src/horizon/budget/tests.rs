use super::*;
use proptest::prelude::*;

/// Clock that only the test moves.
struct Clock {
    start: Instant,
    passed: Duration,
}

impl Clock {
    fn new() -> Self {
        Self { start: Instant::now(), passed: Duration::ZERO }
    }

    fn now(&self) -> Instant {
        self.start + self.passed
    }

    fn pass(&mut self, seconds: f64) -> Instant {
        self.passed += Duration::from_secs_f64(seconds);
        self.now()
    }
}

/// Number of requests of a class that are granted at once.
fn take_all(budget: &mut Budget, class: Class, now: Instant) -> u32 {
    (0..1_000).take_while(|_| budget.try_take(class, now).is_ok()).count().try_into().unwrap()
}

fn allowance(remaining: u32, reset_s: u64) -> Allowance {
    Allowance { limit: 101, remaining, reset_s }
}

#[test]
fn a_new_process_has_a_part_of_the_burst_until_horizon_reports_an_allowance() {
    let clock = Clock::new();
    let mut budget = Budget::new(3_600, clock.now());
    assert_eq!(take_all(&mut budget, Class::Live, clock.now()), 10);
    let mut budget = Budget::new(3_600, clock.now());
    budget.try_take(Class::Live, clock.now()).unwrap();
    budget.record_allowance(allowance(100, 1), clock.now());
    assert!((79.0..81.0).contains(&budget.tokens()), "{}", budget.tokens());
    let mut budget = Budget::new(3_600, clock.now());
    budget.try_take(Class::Live, clock.now()).unwrap();
    budget.record_allowance(allowance(3, 97), clock.now());
    assert!(budget.tokens() <= 3.0, "never more than Horizon's remaining requests");
}

#[test]
fn the_stream_goes_first_and_borrows_from_the_others() {
    let mut clock = Clock::new();
    let mut budget = Budget::new(3_600, clock.now());
    let now = clock.pass(60.0);
    take_all(&mut budget, Class::History, now);
    assert!(take_all(&mut budget, Class::Live, now) >= 10);
    assert!(budget.try_take(Class::Assets, now).is_err(), "the others' tokens are lent to the stream");
    budget.charge(5, now);
    assert!(
        budget.try_take(Class::Live, clock.pass(4.0)).is_err(),
        "requests without a grant are paid back first"
    );
    assert!(budget.try_take(Class::Live, clock.pass(2.5)).is_ok());
}

/// Number of requests that all classes but the stream are granted at once.
fn take_others(budget: &mut Budget, now: Instant) -> u32 {
    let others = [Class::History, Class::Assets, Class::Books, Class::Audit, Class::AskedBooks];
    others.map(|class| take_all(budget, class, now)).iter().sum()
}

#[test]
fn a_debt_of_the_stream_is_paid_before_others_spend() {
    let mut clock = Clock::new();
    let mut budget = Budget::new(3_600, clock.now());
    let now = clock.pass(8.0);
    budget.charge(100, now);
    assert_eq!(take_others(&mut budget, now), 0, "8 tokens of the others, and a debt of 10");
    let waited = (1..).find(|_| budget.try_take(Class::Live, clock.pass(1.0)).is_ok()).unwrap();
    assert!(waited <= 4, "{waited} s");
}

#[test]
fn a_large_charge_delays_the_stream_by_seconds_whatever_the_others_take() {
    let mut clock = Clock::new();
    let mut budget = Budget::new(3_600, clock.now());
    clock.pass(200.0);
    for _ in 0..20 {
        budget.charge(100_000, clock.now());
        let granted = (0..20).find(|_| {
            let now = clock.pass(1.0);
            take_others(&mut budget, now);
            budget.try_take(Class::Live, now).is_ok()
        });
        assert!(granted.is_some(), "{budget:?}");
    }
}

#[test]
fn waiting_first_assets_hold_back_all_but_the_stream() {
    let mut clock = Clock::new();
    let mut budget = Budget::new(3_600, clock.now());
    let now = clock.pass(100.0);
    budget.begin_first_assets_wait();
    for class in [Class::History, Class::Assets, Class::Books] {
        assert!(budget.try_take(class, now).is_err());
    }
    assert!(budget.try_take(Class::Live, now).is_ok());
    assert!(take_all(&mut budget, Class::FirstAssets, now) > 50, "they may use all shares");
    budget.end_first_assets_wait();
    assert!(budget.try_take(Class::History, clock.pass(5.0)).is_ok());
}

#[test]
fn an_unused_share_flows_to_the_others() {
    let mut clock = Clock::new();
    let mut budget = Budget::new(3_600, clock.now());
    budget.set_day_complete(true);
    let mut books = 0;
    for _ in 0..3_600 {
        books += take_all(&mut budget, Class::Books, clock.pass(1.0));
    }
    assert!((3_400..3_700).contains(&books), "books alone get everything: {books}");
}

#[test]
fn shares_are_kept_if_demand_exceeds_the_budget() {
    let mut clock = Clock::new();
    for (whole, wanted) in [(true, [0.5, 0.3, 0.2]), (false, [0.9, 0.05, 0.05])] {
        let mut budget = Budget::new(3_600, clock.now());
        budget.set_day_complete(whole);
        for _ in 0..36_000 {
            let now = clock.pass(0.1);
            for class in [Class::Books, Class::Assets, Class::History] {
                take_all(&mut budget, class, now);
            }
        }
        let [_, _, history, assets, books, ..] = budget.granted;
        let shares = [history, assets, books];
        let all: u64 = shares.iter().sum();
        for (share, wanted) in shares.iter().zip(wanted) {
            let part = f64::from(u32::try_from(*share).unwrap()) / f64::from(u32::try_from(all).unwrap());
            assert!((part - wanted).abs() < 0.02, "{shares:?}");
        }
    }
}

#[test]
fn rereading_takes_at_most_a_tenth_even_of_an_idle_budget() {
    let mut clock = Clock::new();
    let mut budget = Budget::new(3_600, clock.now());
    budget.set_day_complete(true);
    let mut audits = 0;
    for _ in 0..3_600 {
        audits += take_all(&mut budget, Class::Audit, clock.pass(1.0));
    }
    assert!((355..=366).contains(&audits), "of 3,600 requests: {audits}");
    let now = clock.pass(600.0);
    take_all(&mut budget, Class::History, now);
    assert!(budget.try_take(Class::Audit, now).is_err(), "history has used the tokens");
}

#[test]
fn books_for_readers_take_at_most_a_tenth_and_only_from_the_share_of_books() {
    let mut clock = Clock::new();
    let mut budget = Budget::new(3_600, clock.now());
    budget.set_day_complete(true);
    let mut asked = 0;
    for _ in 0..3_600 {
        asked += take_all(&mut budget, Class::AskedBooks, clock.pass(1.0));
    }
    assert!((350..=370).contains(&asked), "of 3,600 requests: {asked}");
    let now = clock.pass(600.0);
    assert_eq!(take_all(&mut budget, Class::AskedBooks, now), 10, "idle time saves up no more");
    take_all(&mut budget, Class::Books, now);
    let now = clock.pass(0.5);
    assert!(budget.try_take(Class::AskedBooks, now).is_err(), "the poller has used the tokens");
    assert!(budget.try_take(Class::Live, now).is_ok());
}

#[test]
fn a_refusal_pauses_all_requests_for_its_time_or_a_growing_one() {
    let mut clock = Clock::new();
    let mut budget = Budget::new(0, clock.now());
    assert_eq!(take_all(&mut budget, Class::Books, clock.now()), 1_000, "0 means no limit");
    budget.record_refusal(Some(Duration::from_secs(30)), clock.now());
    assert!(budget.try_take(Class::Live, clock.pass(29.0)).is_err());
    assert!(budget.try_take(Class::Live, clock.pass(1.5)).is_ok());
    let mut waits = Vec::new();
    budget.record_success();
    for _ in 0..6 {
        let now = clock.pass(1_000.0);
        budget.record_refusal(None, now);
        waits.push(budget.report(now).blocked_for.as_secs());
    }
    assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
}

#[test]
fn a_refusal_of_horizons_own_limiter_pauses_only_for_its_retry_after() {
    let mut clock = Clock::new();
    let mut budget = Budget::new(3_600, clock.now());
    budget.try_take(Class::Live, clock.now()).unwrap();
    // `Reset` is the time until the whole burst is back; one request fits after `Retry-After`.
    budget.record_allowance(allowance(0, 100), clock.now());
    budget.record_end();
    budget.record_refusal(Some(Duration::from_secs(1)), clock.now());
    assert!(budget.try_take(Class::Live, clock.pass(0.9)).is_err());
    assert!(
        budget.try_take(Class::Live, clock.pass(1.3)).is_ok(),
        "the stream waits for two seconds, not for 100"
    );
}

#[test]
fn the_last_request_of_a_burst_stops_nothing() {
    let mut clock = Clock::new();
    let mut budget = Budget::new(3_600, clock.now());
    budget.try_take(Class::Live, clock.now()).unwrap();
    budget.record_allowance(allowance(0, 101), clock.now());
    assert!(budget.try_take(Class::Live, clock.now()).is_err(), "nothing is left now");
    assert!(budget.try_take(Class::Live, clock.pass(2.2)).is_ok());
}

#[test]
fn a_nearly_empty_burst_slows_the_stream_and_does_not_stop_it() {
    let mut clock = Clock::new();
    let mut budget = Budget::new(3_600, clock.now());
    budget.try_take(Class::Live, clock.now()).unwrap();
    budget.record_allowance(allowance(1, 100), clock.now());
    assert_eq!(take_all(&mut budget, Class::Live, clock.now()), 1, "what is left may go");
    assert!(budget.try_take(Class::Live, clock.pass(1.5)).is_err());
    assert!(budget.try_take(Class::Live, clock.pass(0.6)).is_ok());
}

#[test]
fn a_reported_end_of_the_allowance_lets_the_stream_ask_once_a_minute() {
    let mut clock = Clock::new();
    let mut budget = Budget::new(3_600, clock.now());
    let nothing_left = Allowance { limit: 3_600, remaining: 0, reset_s: 3_600 };
    budget.try_take(Class::Live, clock.now()).unwrap();
    budget.record_allowance(nothing_left, clock.now());
    budget.record_end();
    let mut probes = [0, 0];
    for _ in 0..590 {
        let now = clock.pass(1.0);
        probes[0] += take_all(&mut budget, Class::Live, now);
        probes[1] +=
            take_all(&mut budget, Class::History, now) + take_all(&mut budget, Class::FirstAssets, now);
    }
    assert_eq!(probes, [9, 0], "in ten minutes");
    // The report was wrong: the next answer says so, and everything goes on.
    budget.try_take(Class::Live, clock.pass(20.0)).unwrap();
    budget.record_allowance(Allowance { limit: 3_600, remaining: 3_000, reset_s: 3_000 }, clock.now());
    clock.pass(30.0);
    assert!(take_all(&mut budget, Class::Live, clock.now()) > 0, "the probes are paid back");
    assert!(take_all(&mut budget, Class::History, clock.pass(30.0)) > 0);
}

#[test]
fn a_refusal_and_a_small_budget_of_the_operator_permit_no_probe() {
    let mut clock = Clock::new();
    let nothing_left = Allowance { limit: 3_600, remaining: 0, reset_s: 3_600 };
    for (per_hour, is_refused) in [(3_600, true), (59, false)] {
        let mut budget = Budget::new(per_hour, clock.now());
        budget.try_take(Class::Live, clock.now()).unwrap();
        budget.record_allowance(nothing_left, clock.now());
        if is_refused {
            budget.record_refusal(Some(Duration::from_secs(3_000)), clock.now());
        }
        for _ in 0..2_900 {
            assert!(budget.try_take(Class::Live, clock.pass(1.0)).is_err());
        }
    }
}

#[test]
fn ignores_an_absurd_retry_after() {
    let mut clock = Clock::new();
    let mut budget = Budget::new(3_600, clock.now());
    budget.record_refusal(Some(BLOCKED_ASKED_MAX), clock.now());
    assert_eq!(budget.report(clock.now()).blocked_for, BLOCKED_ASKED_MAX);
    for absurd in [Duration::MAX, Duration::from_secs(1_000_000_000_000_000_000), Duration::from_secs(3_601)]
    {
        budget.record_success();
        let now = clock.pass(4_000.0);
        budget.record_refusal(Some(absurd), now);
        assert_eq!(budget.report(now).blocked_for, BLOCKED_FIRST, "{absurd:?}");
    }
}

#[test]
fn without_a_limit_a_refusal_pauses_for_a_minute_at_most() {
    let clock = Clock::new();
    let mut budget = Budget::new(0, clock.now());
    budget.record_refusal(Some(Duration::from_secs(3_000)), clock.now());
    assert_eq!(budget.report(clock.now()).blocked_for, BLOCKED_LONGEST);
}

proptest! {
    #[test]
    fn never_exceeds_the_rate_and_the_burst_whatever_is_reported(
        per_hour in prop_oneof![1..5_u32, 1..10_000_u32, Just(u32::MAX)],
        steps in prop::collection::vec((0..7_u8, any::<u32>(), any::<u64>(), 0.0..20.0_f64), 0..200),
    ) {
        let mut clock = Clock::new();
        let mut budget = Budget::new(per_hour, clock.now());
        let (mut granted, burst) = (0.0, budget.burst);
        for (what, small, large, seconds) in steps {
            let now = clock.pass(seconds);
            match what {
                0 => budget.record_allowance(Allowance { limit: small, remaining: small / 7, reset_s: large }, now),
                1 => budget.record_allowance(Allowance { limit: 0, remaining: small, reset_s: u64::from(small % 3) }, now),
                2 if small % 5 == 0 => budget.record_refusal((large % 2 == 0).then_some(Duration::from_secs(large)), now),
                3 => budget.set_day_complete(small % 2 == 0),
                4 => budget.record_end(),
                5 => budget.charge(small % 3, now),
                _ => {
                    let class = Class::ALL[usize::try_from(small % 6).unwrap()];
                    granted += f64::from(take_all(&mut budget, class, now).min(999));
                }
            }
            let allowed = clock.passed.as_secs_f64() * f64::from(per_hour) / 3_600.0 + burst;
            prop_assert!(granted <= allowed + 4.0 || per_hour == u32::MAX, "{granted} of {allowed}");
            prop_assert!(budget.tokens() <= burst + 4.0, "each bucket holds at least one token");
            prop_assert!(budget.shares.iter().all(|share| *share >= 0.0));
        }
    }
}
