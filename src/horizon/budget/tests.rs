use super::*;
use proptest::prelude::*;

/// A clock that only the test moves.
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

/// How many requests of a class go at once.
fn take_all(budget: &mut Budget, class: Class, now: Instant) -> u32 {
    (0..1_000).take_while(|_| budget.try_take(class, now).is_ok()).count().try_into().unwrap()
}

fn allowance(remaining: u32, reset_s: u64) -> Allowance {
    Allowance { limit: 101, remaining, reset_s }
}

#[test]
fn a_process_begins_with_a_part_of_the_burst_until_it_hears_what_is_left() {
    let clock = Clock::new();
    let mut budget = Budget::new(3_600, clock.now());
    assert_eq!(take_all(&mut budget, Class::Live, clock.now()), 10);
    let mut budget = Budget::new(3_600, clock.now());
    budget.try_take(Class::Live, clock.now()).unwrap();
    budget.told(allowance(100, 1), clock.now());
    assert!((79.0..81.0).contains(&budget.tokens()), "{}", budget.tokens());
    let mut budget = Budget::new(3_600, clock.now());
    budget.try_take(Class::Live, clock.now()).unwrap();
    budget.told(allowance(3, 97), clock.now());
    assert!(budget.tokens() <= 3.0, "never more than what is left");
}

#[test]
fn the_stream_goes_first_also_on_what_is_the_others() {
    let mut clock = Clock::new();
    let mut budget = Budget::new(3_600, clock.now());
    let now = clock.pass(60.0);
    take_all(&mut budget, Class::History, now);
    assert!(take_all(&mut budget, Class::Live, now) >= 10);
    assert!(budget.try_take(Class::Assets, now).is_err(), "what the others had is lent to the stream");
    budget.spent(5, now);
    assert!(
        budget.try_take(Class::Live, clock.pass(4.0)).is_err(),
        "what nobody asked for is paid back first"
    );
    assert!(budget.try_take(Class::Live, clock.pass(2.5)).is_ok());
}

#[test]
fn first_assets_hold_back_all_but_the_stream_while_they_wait() {
    let mut clock = Clock::new();
    let mut budget = Budget::new(3_600, clock.now());
    let now = clock.pass(100.0);
    budget.first_begins_to_wait();
    for class in [Class::History, Class::Assets, Class::Books] {
        assert!(budget.try_take(class, now).is_err());
    }
    assert!(budget.try_take(Class::Live, now).is_ok());
    assert!(take_all(&mut budget, Class::FirstAssets, now) > 50, "all shares are theirs");
    budget.first_waits_no_more();
    assert!(budget.try_take(Class::History, clock.pass(5.0)).is_ok());
}

#[test]
fn a_share_that_is_not_used_flows_to_the_others() {
    let mut clock = Clock::new();
    let mut budget = Budget::new(3_600, clock.now());
    budget.set_day_is_whole(true);
    let mut books = 0;
    for _ in 0..3_600 {
        books += take_all(&mut budget, Class::Books, clock.pass(1.0));
    }
    assert!((3_400..3_700).contains(&books), "books alone have all: {books}");
}

#[test]
fn shares_are_kept_when_all_want_more_than_there_is() {
    let mut clock = Clock::new();
    for (whole, wanted) in [(true, [0.5, 0.3, 0.2]), (false, [0.9, 0.05, 0.05])] {
        let mut budget = Budget::new(3_600, clock.now());
        budget.set_day_is_whole(whole);
        for _ in 0..36_000 {
            let now = clock.pass(0.1);
            for class in [Class::Books, Class::Assets, Class::History] {
                take_all(&mut budget, class, now);
            }
        }
        let [_, _, shares @ .., _] = budget.granted;
        let all: u64 = shares.iter().sum();
        for (share, wanted) in shares.iter().zip(wanted) {
            let part = f64::from(u32::try_from(*share).unwrap()) / f64::from(u32::try_from(all).unwrap());
            assert!((part - wanted).abs() < 0.02, "{shares:?}");
        }
    }
}

#[test]
fn an_audit_takes_a_tenth_at_most_however_much_nobody_else_wants() {
    let mut clock = Clock::new();
    let mut budget = Budget::new(3_600, clock.now());
    budget.set_day_is_whole(true);
    let mut audits = 0;
    for _ in 0..3_600 {
        audits += take_all(&mut budget, Class::Audit, clock.pass(1.0));
    }
    assert!((355..=366).contains(&audits), "of 3,600 requests: {audits}");
    let now = clock.pass(600.0);
    take_all(&mut budget, Class::History, now);
    assert!(budget.try_take(Class::Audit, now).is_err(), "what history has taken is gone");
}

#[test]
fn a_refusal_stops_everything_for_the_time_that_it_names_or_one_that_grows() {
    let mut clock = Clock::new();
    let mut budget = Budget::new(0, clock.now());
    assert_eq!(take_all(&mut budget, Class::Books, clock.now()), 1_000, "0 is no limit");
    budget.limited(Some(Duration::from_secs(30)), clock.now());
    assert!(budget.try_take(Class::Live, clock.pass(29.0)).is_err());
    assert!(budget.try_take(Class::Live, clock.pass(1.5)).is_ok());
    let mut waits = Vec::new();
    budget.succeeded();
    for _ in 0..6 {
        let now = clock.pass(1_000.0);
        budget.limited(None, now);
        waits.push(budget.report(now).blocked_for.as_secs());
    }
    assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
}

#[test]
fn a_wait_that_is_absurd_counts_as_not_named() {
    let mut clock = Clock::new();
    let mut budget = Budget::new(3_600, clock.now());
    budget.limited(Some(BLOCKED_ASKED_MAX), clock.now());
    assert_eq!(budget.report(clock.now()).blocked_for, BLOCKED_ASKED_MAX);
    for absurd in [Duration::MAX, Duration::from_secs(1_000_000_000_000_000_000), Duration::from_secs(3_601)]
    {
        budget.succeeded();
        let now = clock.pass(4_000.0);
        budget.limited(Some(absurd), now);
        assert_eq!(budget.report(now).blocked_for, BLOCKED_FIRST, "{absurd:?}");
    }
}

#[test]
fn a_server_of_the_operators_own_is_left_alone_for_a_minute_at_most() {
    let clock = Clock::new();
    let mut budget = Budget::new(0, clock.now());
    budget.limited(Some(Duration::from_secs(3_000)), clock.now());
    assert_eq!(budget.report(clock.now()).blocked_for, BLOCKED_LONGEST);
}

proptest! {
    #[test]
    fn never_more_than_the_pace_and_the_burst_whatever_is_told(
        per_hour in prop_oneof![1..5_u32, 1..10_000_u32, Just(u32::MAX)],
        steps in prop::collection::vec((0..7_u8, any::<u32>(), any::<u64>(), 0.0..20.0_f64), 0..200),
    ) {
        let mut clock = Clock::new();
        let mut budget = Budget::new(per_hour, clock.now());
        let (mut granted, burst) = (0.0, budget.burst);
        for (what, small, large, seconds) in steps {
            let now = clock.pass(seconds);
            match what {
                0 => budget.told(Allowance { limit: small, remaining: small / 7, reset_s: large }, now),
                1 => budget.told(Allowance { limit: 0, remaining: small, reset_s: u64::from(small % 3) }, now),
                2 if small % 5 == 0 => budget.limited((large % 2 == 0).then_some(Duration::from_secs(large)), now),
                3 => budget.set_day_is_whole(small % 2 == 0),
                4 => budget.ended(),
                5 => budget.spent(small % 3, now),
                _ => {
                    let class = Class::ALL[usize::try_from(small % 6).unwrap()];
                    granted += f64::from(take_all(&mut budget, class, now).min(999));
                }
            }
            let allowed = clock.passed.as_secs_f64() * f64::from(per_hour) / 3_600.0 + burst;
            prop_assert!(granted <= allowed + 4.0 || per_hour == u32::MAX, "{granted} of {allowed}");
            prop_assert!(budget.tokens() <= burst + 4.0, "each part holds at least one");
            prop_assert!(budget.shares.iter().all(|share| *share >= 0.0));
        }
    }
}
