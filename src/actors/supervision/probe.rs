//! What the answers of one child's probes say. Pure: the supervisor ticks it and does what it finds.

use std::time::{Duration, Instant};

use super::{messages::KillReason, policy::Policy};

/// The probe of one incarnation of a child. At most one `Ping` is under way at a time, so a hung child's mailbox
/// does not fill with them.
#[derive(Debug)]
pub struct Probe {
    is_outstanding: bool,
    missed: u32,
    is_kill_ordered: bool,
    progress: Option<u64>,
    advanced_at: Instant,
}

/// What a tick found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// All is well: send the next `Ping`.
    Ask,
    /// Nothing to do but wait.
    Wait,
    /// The child is to be killed and restarted.
    Kill(KillReason),
    /// Its thread is blocked.
    Hung,
}

impl Probe {
    /// The probe of an incarnation that begins at `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { is_outstanding: false, missed: 0, is_kill_ordered: false, progress: None, advanced_at: now }
    }

    /// A tick at `now`: counts a missed answer, or asks anew.
    pub fn tick(&mut self, policy: &Policy, stale_after: Duration, now: Instant) -> Finding {
        if self.is_outstanding {
            self.missed = self.missed.saturating_add(1);
            if self.missed >= policy.hung_after_missed {
                return Finding::Hung;
            }
            if self.missed >= policy.kill_after_missed {
                return self.kill_once(KillReason::Unresponsive).unwrap_or(Finding::Wait);
            }
            return Finding::Wait;
        }
        self.is_outstanding = true;
        let is_stale = now.saturating_duration_since(self.advanced_at) > stale_after;
        // A child that is being killed is asked on: if its thread is blocked, only missing answers tell.
        is_stale.then(|| self.kill_once(KillReason::Stalled)).flatten().unwrap_or(Finding::Ask)
    }

    fn kill_once(&mut self, reason: KillReason) -> Option<Finding> {
        (!std::mem::replace(&mut self.is_kill_ordered, true)).then_some(Finding::Kill(reason))
    }

    /// An answer of this incarnation. Any other number than the last counts as progress.
    pub fn pulse(&mut self, progress: u64, now: Instant) {
        self.is_outstanding = false;
        self.missed = 0;
        if self.progress.replace(progress) != Some(progress) {
            self.advanced_at = now;
        }
    }

    /// The supervisor itself was late: nothing that was counted means anything.
    pub fn forgive(&mut self, now: Instant) {
        self.missed = 0;
        self.advanced_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_secs(2);
    const STALE: Duration = Duration::from_secs(60);

    /// A probe and a clock that goes one tick further with each call.
    struct Bench {
        probe: Probe,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let now = Instant::now();
            Self { probe: Probe::new(now), now }
        }

        fn tick(&mut self) -> Finding {
            self.now += TICK;
            self.probe.tick(&Policy::default(), STALE, self.now)
        }

        fn ticks(&mut self, count: usize) -> Vec<Finding> {
            (0..count).map(|_| self.tick()).collect()
        }
    }

    #[test]
    fn two_missed_answers_kill_once_and_six_mean_a_blocked_thread() {
        use Finding::{Ask, Hung, Kill, Wait};
        let found = Bench::new().ticks(7);
        assert_eq!(found, [Ask, Wait, Kill(KillReason::Unresponsive), Wait, Wait, Wait, Hung]);
    }

    #[test]
    fn an_answer_sets_the_count_back() {
        let mut bench = Bench::new();
        for progress in 0..20 {
            assert_eq!(bench.tick(), Finding::Ask);
            assert_eq!(bench.tick(), Finding::Wait);
            bench.probe.pulse(progress, bench.now);
        }
    }

    #[test]
    fn a_late_supervisor_counts_anew() {
        let mut bench = Bench::new();
        assert_eq!(bench.ticks(2), [Finding::Ask, Finding::Wait]);
        bench.probe.forgive(bench.now);
        assert_eq!(bench.ticks(2), [Finding::Wait, Finding::Kill(KillReason::Unresponsive)]);
    }

    #[test]
    fn a_child_that_answers_but_does_not_advance_is_killed_once_it_is_stale() {
        let mut bench = Bench::new();
        let started = bench.now;
        let killed_at = loop {
            match bench.tick() {
                Finding::Ask => bench.probe.pulse(7, bench.now),
                Finding::Kill(reason) => {
                    assert_eq!(reason, KillReason::Stalled);
                    break bench.now;
                }
                other => panic!("{other:?}"),
            }
        };
        let waited = killed_at - started;
        assert!(waited > STALE && waited <= STALE + 2 * TICK, "{waited:?}");
    }

    #[test]
    fn a_child_that_advances_is_left_alone() {
        let mut bench = Bench::new();
        for progress in 0..200 {
            assert_eq!(bench.tick(), Finding::Ask);
            bench.probe.pulse(progress, bench.now);
        }
    }

    #[test]
    fn a_stalled_child_whose_thread_then_blocks_is_found_out() {
        let mut bench = Bench::new();
        while bench.tick() == Finding::Ask {
            bench.probe.pulse(7, bench.now);
        }
        assert_eq!(bench.ticks(6).last(), Some(&Finding::Hung));
    }
}
