//! Tests of the probe, tick by tick.

use Finding::{Ask, Hung, Kill, Wait};

use super::*;

const TICK: Duration = Duration::from_secs(2);
const STALE: Duration = Duration::from_secs(60);
const UNRESPONSIVE: Finding = Kill(KillReason::Unresponsive);

/// A probe, a clock that moves by one tick per call, and the child's counters.
struct Bench {
    probe: Probe,
    now: Instant,
    counters: ActivityCounters,
    /// Share of each interval that the child's thread can use, in thousandths.
    share: u32,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        let counters = ActivityCounters::default();
        Self { probe: Probe::new(now, counters), now, counters, share: 1_000 }
    }

    fn tick(&mut self) -> Finding {
        self.now += TICK;
        let share = self.share;
        let usable = |interval: Duration| interval * share / 1_000;
        self.probe.tick(&Policy::default(), STALE, self.now, self.counters, usable)
    }

    fn ticks(&mut self, count: usize) -> Vec<Finding> {
        (0..count).map(|_| self.tick()).collect()
    }

    /// Ticks until the finding is not `Wait`. Returns it with the number of ticks.
    fn ticks_until_found(&mut self) -> (Finding, u32) {
        let mut ticks = 1;
        loop {
            match self.tick() {
                Wait => ticks += 1,
                found => return (found, ticks),
            }
        }
    }

    fn works(&mut self) {
        self.counters.activity += 1;
    }

    fn answers(&mut self, progress: u64) {
        self.counters = ActivityCounters { activity: self.counters.activity + 1, progress };
        self.probe.answered();
    }
}

#[test]
fn two_missed_answers_kill_once_and_six_mean_a_blocked_thread() {
    let found = Bench::new().ticks(7);
    assert_eq!(found, [Ask, Wait, UNRESPONSIVE, Wait, Wait, Wait, Hung]);
}

#[test]
fn an_answer_resets_the_count() {
    let mut bench = Bench::new();
    for progress in 0..20 {
        assert_eq!(bench.ticks(2), [Ask, Wait]);
        bench.answers(progress);
    }
}

#[test]
fn a_child_that_works_before_it_reads_its_ping_is_not_killed() {
    let mut bench = Bench::new();
    assert_eq!(bench.tick(), Ask);
    for progress in 0..1_000 {
        bench.works();
        bench.counters.progress = progress;
        assert_eq!(bench.tick(), Wait, "tick {progress}");
    }
}

#[test]
fn a_child_that_works_now_and_then_is_not_killed() {
    let mut bench = Bench::new();
    assert_eq!(bench.tick(), Ask);
    for progress in 0..1_000 {
        bench.works();
        bench.counters.progress = progress;
        assert_eq!(bench.ticks(2), [Wait, Wait], "tick {progress}");
    }
}

#[test]
fn a_child_that_hangs_after_much_work_is_found_as_soon() {
    let mut bench = Bench::new();
    assert_eq!(bench.tick(), Ask);
    for _ in 0..10 {
        bench.works();
        assert_eq!(bench.tick(), Wait);
    }
    assert_eq!(bench.ticks(6), [Wait, UNRESPONSIVE, Wait, Wait, Wait, Hung]);
}

#[test]
fn a_kill_that_the_child_overtook_is_ordered_again_once_it_is_silent_again() {
    let mut bench = Bench::new();
    assert_eq!(bench.ticks(3), [Ask, Wait, UNRESPONSIVE]);
    bench.works();
    assert_eq!(bench.ticks(3), [Wait, Wait, UNRESPONSIVE]);
}

#[test]
fn silence_counts_only_the_time_that_the_child_could_use() {
    let mut bench = Bench { share: 333, ..Bench::new() };
    assert_eq!(bench.tick(), Ask);
    // A third of a core: three times as long, to within one tick.
    assert_eq!(bench.ticks_until_found(), (UNRESPONSIVE, 5));
    assert_eq!(bench.ticks_until_found(), (Hung, 12));
}

#[test]
fn a_child_without_any_cpu_time_is_excused_for_a_limited_time() {
    let mut bench = Bench { share: 0, ..Bench::new() };
    bench.counters.progress = 1;
    assert_eq!(bench.tick(), Ask);
    let excused = Policy::default().excused_max;
    let mut waited = Duration::ZERO;
    while bench.tick() != Hung {
        bench.counters.progress += 1; // not stalled: this test is about silence
        waited += TICK;
    }
    let longest = excused + (Policy::default().hung_after_missed + 1) * TICK;
    assert!(waited >= excused && waited <= longest, "{waited:?}");
}

#[test]
fn a_late_supervisor_restarts_the_count() {
    let mut bench = Bench::new();
    assert_eq!(bench.ticks(2), [Ask, Wait]);
    bench.probe.restart_count(bench.now);
    assert_eq!(bench.ticks(2), [Wait, UNRESPONSIVE]);
}

#[test]
fn a_tick_that_is_late_counts_as_one_miss() {
    let mut bench = Bench::new();
    assert_eq!(bench.tick(), Ask);
    bench.now += TICK * 3;
    assert_eq!(bench.ticks(2), [Wait, UNRESPONSIVE]);
}

#[test]
fn a_child_that_answers_without_progress_is_killed_once_it_is_stale() {
    let mut bench = Bench::new();
    let started = bench.now;
    let killed_at = loop {
        match bench.tick() {
            Ask => bench.answers(0),
            Kill(reason) => {
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
fn a_child_that_makes_progress_is_not_killed() {
    let mut bench = Bench::new();
    for progress in 0..200 {
        assert_eq!(bench.tick(), Ask);
        bench.answers(progress);
    }
}

#[test]
fn a_stalled_child_whose_thread_then_blocks_is_reported_as_hung() {
    let mut bench = Bench::new();
    while bench.tick() == Ask {
        bench.answers(0);
    }
    assert_eq!(bench.ticks(7).last(), Some(&Hung));
}
