//! Tests of the restart policy, by example and by property.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Exits every `apart`, each after an uptime of `lived`. Returns the decisions in order.
fn storm(policy: &Policy, exits: u32, lived: Duration, apart: Duration) -> Vec<Decision> {
    let (start, mut record, mut tree) = (Instant::now(), RestartRecord::default(), Intensity::default());
    (0..exits)
        .map(|n| record.on_exit(policy, &mut tree, ended_after(lived), start + apart * n, u64::MAX))
        .collect()
}

fn ended_after(uptime: Duration) -> EndedRun {
    EndedRun { uptime, stalled_for: None }
}

/// Lets a child make no progress, again and again. Each kill comes `late` after `stale_after`. Returns the
/// decisions, at most one more than the limit allows.
fn stalls(policy: &Policy, stale_after: Duration, late: Duration) -> Vec<Decision> {
    let (mut now, mut record, mut tree) = (Instant::now(), RestartRecord::default(), Intensity::default());
    let uptime = stale_after + late;
    let exits = 0..=policy.child_limit.restarts;
    exits
        .map(|_| {
            now += uptime;
            let run = EndedRun { uptime, stalled_for: Some(stale_after) };
            let decision = record.on_exit(policy, &mut tree, run, now, u64::MAX);
            if let Decision::RestartAfter(delay) = decision {
                now += delay;
            }
            decision
        })
        .collect()
}

#[test]
fn a_child_that_makes_no_progress_waits_longer_each_time_and_then_escalates() {
    let policy = Policy::default();
    let decisions = stalls(&policy, 180 * SECOND, 2 * SECOND);
    let waits = [0, 1, 2, 3, 4].map(|streak| Decision::RestartAfter(policy.delay(streak, u64::MAX)));
    assert_eq!(decisions[..5], waits);
    assert_eq!(decisions[5], Decision::Escalate(ExceededLimit::Child));
}

#[test]
fn the_default_delays_double_up_to_thirty_seconds() {
    let policy = Policy::default();
    assert_eq!(policy.check(), Ok(()));
    let longest: Vec<u128> = (0..9).map(|n| policy.longest_delay(n).as_millis()).collect();
    assert_eq!(longest, [0, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    assert_eq!(policy.longest_delay(u32::MAX), Duration::from_secs(30));
}

#[test]
fn the_first_exit_is_restarted_at_once_and_the_second_waits() {
    let decisions = storm(&Policy::default(), 2, Duration::ZERO, SECOND);
    assert_eq!(decisions.first(), Some(&Decision::RestartAfter(Duration::ZERO)));
    let Some(Decision::RestartAfter(second)) = decisions.get(1) else { panic!("{decisions:?}") };
    assert!(*second >= Duration::from_millis(250) && *second <= Duration::from_millis(500), "{second:?}");
}

#[test]
fn a_child_that_lived_a_minute_is_restarted_at_once_however_often() {
    let decisions = storm(&Policy::default(), 30, 60 * SECOND, 60 * SECOND);
    assert!(decisions.iter().all(|d| *d == Decision::RestartAfter(Duration::ZERO)), "{decisions:?}");
}

#[test]
fn the_sixth_restart_of_a_child_within_two_minutes_escalates() {
    let decisions = storm(&Policy::default(), 6, Duration::ZERO, SECOND);
    assert_eq!(decisions.last(), Some(&Decision::Escalate(ExceededLimit::Child)));
    assert_eq!(decisions.iter().filter(|d| matches!(d, Decision::RestartAfter(_))).count(), 5);
}

#[test]
fn a_child_that_the_process_can_do_without_never_escalates_and_waits_up_to_thirty_seconds() {
    let (policy, mut record) = (Policy::default(), RestartRecord::default());
    let mut restart = |uptime| record.restart(&policy, ended_after(uptime), u64::MAX);
    let delays = (0..40).map(|_| restart(5 * SECOND)).collect::<Vec<_>>();
    let expected = (0..40).map(|streak| Decision::RestartAfter(policy.delay(streak, u64::MAX)));
    assert_eq!(delays, expected.collect::<Vec<_>>());
    assert_eq!(restart(60 * SECOND), Decision::RestartAfter(Duration::ZERO), "it was healthy");
}

#[test]
fn six_restarts_over_a_longer_time_do_not_escalate() {
    let decisions = storm(&Policy::default(), 6, Duration::ZERO, 24 * SECOND);
    assert!(decisions.iter().all(|d| matches!(d, Decision::RestartAfter(_))), "{decisions:?}");
}

#[test]
fn the_sixteenth_restart_of_all_within_five_minutes_escalates() {
    let (policy, start, mut tree) = (Policy::default(), Instant::now(), Intensity::default());
    let mut children: Vec<RestartRecord> = (0..4).map(|_| RestartRecord::default()).collect();
    let decisions: Vec<Decision> = (0..16_u32)
        .map(|n| {
            let child = &mut children[usize::try_from(n % 4).unwrap()];
            child.on_exit(&policy, &mut tree, ended_after(Duration::ZERO), start + SECOND * n, 0)
        })
        .collect();
    assert!(decisions[..15].iter().all(|d| matches!(d, Decision::RestartAfter(_))), "{decisions:?}");
    assert_eq!(decisions[15], Decision::Escalate(ExceededLimit::Tree));
}

#[test]
fn a_limit_that_the_delays_make_unreachable_is_refused() {
    let slow = Policy { backoff_base: 60 * SECOND, backoff_max: 60 * SECOND, ..Policy::default() };
    assert!(matches!(slow.check(), Err(PolicyError::LimitOutOfReach { restarts: 5, .. })));
    let short = Limit { restarts: 15, within: 10 * SECOND };
    let short = Policy { tree_limit: short, ..Policy::default() };
    assert!(
        matches!(short.check(), Err(PolicyError::LimitOutOfReach { within, .. }) if within == 10 * SECOND)
    );
}

#[test]
fn a_policy_that_contradicts_itself_is_refused() {
    let hasty = Policy { hung_after_missed: 2, ..Policy::default() };
    assert_eq!(hasty.check(), Err(PolicyError::HungBeforeKilled { kill: 2, hung: 2 }));
    let spinning = Policy { probe_every: Duration::ZERO, ..Policy::default() };
    assert_eq!(spinning.check(), Err(PolicyError::NoProbePeriod));
}

proptest! {
    #[test]
    fn a_delay_lies_between_half_and_all_of_the_longest(streak: u32, random: u64) {
        let policy = Policy::default();
        let (delay, longest) = (policy.delay(streak, random), policy.longest_delay(streak));
        prop_assert!(delay >= longest / 2 && delay <= longest);
    }

    #[test]
    fn delays_never_shrink_with_the_streak(streak in 0..u32::MAX) {
        let policy = Policy::default();
        prop_assert!(policy.longest_delay(streak) <= policy.longest_delay(streak + 1));
    }

    /// In any rhythm of exits, no window holds more restarts than its limit.
    #[test]
    fn no_window_holds_more_restarts_than_allowed(gaps in prop::collection::vec(0_u64..60_000, 1..80)) {
        let limit = Limit { restarts: 5, within: 120 * SECOND };
        let (mut now, mut intensity, mut admitted) = (Instant::now(), Intensity::default(), Vec::new());
        for gap in gaps {
            now += Duration::from_millis(gap);
            if intensity.admit(limit, now) {
                admitted.push(now);
            }
        }
        for window in admitted.windows(6) {
            prop_assert!(window[5] - window[0] >= limit.within);
        }
    }

    /// Whatever the times, a child without progress reaches its limit.
    #[test]
    fn a_child_without_progress_always_escalates(
        stale_after in 0_u64..4_000_000, late in 0_u64..4_000, max in 0_u64..60_000, restarts in 1_u32..8,
    ) {
        let policy = Policy {
            backoff_max: Duration::from_millis(max),
            child_limit: Limit { restarts, within: 120 * SECOND },
            tree_limit: Limit { restarts: 100, within: 300 * SECOND },
            ..Policy::default()
        };
        let decisions = stalls(&policy, Duration::from_millis(stale_after), Duration::from_millis(late));
        prop_assert!(decisions.contains(&Decision::Escalate(ExceededLimit::Child)));
    }

    /// A policy that passes its own check escalates if a child fails at once again and again.
    #[test]
    fn a_checked_policy_escalates_in_a_storm(
        base in 0_u64..5_000, max in 0_u64..60_000, restarts in 1_u32..8, within in 1_u64..300_000,
    ) {
        let limit = Limit { restarts, within: Duration::from_millis(within) };
        let policy = Policy {
            backoff_base: Duration::from_millis(base),
            backoff_max: Duration::from_millis(max),
            child_limit: limit,
            ..Policy::default()
        };
        prop_assume!(policy.check().is_ok());
        let (mut now, mut record, mut tree) = (Instant::now(), RestartRecord::default(), Intensity::default());
        let escalated = (0..=restarts).any(|_| {
            match record.on_exit(&policy, &mut tree, ended_after(Duration::ZERO), now, u64::MAX) {
                Decision::RestartAfter(delay) => { now += delay; false }
                Decision::Escalate(_) => true,
            }
        });
        prop_assert!(escalated);
    }
}
