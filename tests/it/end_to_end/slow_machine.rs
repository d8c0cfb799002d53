//! A slow or busy machine: the supervisor restarts no actor that works.

use std::time::{Duration, Instant};

use crate::support::{
    busy_core::BusyCore,
    by_hand,
    daemon::{Daemon, ON_CPU},
    figure, not_tested, wait_until,
};

/// `demo` with `arguments` on a core that it shares with two busy loops.
fn demo_on_a_busy_core(arguments: &[&str]) -> Option<(BusyCore, Daemon)> {
    let Some(core) = BusyCore::start() else {
        not_tested("no process can be bound to a core here (taskset of util-linux)");
        return None;
    };
    let arguments = [&["demo"], arguments].concat();
    let daemon = Daemon::start_in(&arguments, &[(ON_CPU, core.cpu())]);
    Some((core, daemon))
}

/// The process lives, and none of its actors was ever restarted.
fn assert_nothing_was_restarted(daemon: &mut Daemon) {
    assert!(daemon.is_running(), "the process lives");
    let actors = daemon.admin("/actors.json").json();
    for actor in actors["actors"].as_array().unwrap() {
        assert_eq!(actor["restarts"], 0, "{actor}");
    }
}

#[test]
fn the_demo_on_a_core_shared_with_two_busy_loops_loads_its_history_without_a_restart() {
    let Some((_core, mut daemon)) = demo_on_a_busy_core(&["--history-hours", "1"]) else { return };
    wait_until("the demo's history is loaded", || {
        assert_nothing_was_restarted(&mut daemon);
        daemon.status()["backfill"]["done_ratio"] == 1.0
    });
    daemon.wait_for_publication();
    assert_nothing_was_restarted(&mut daemon);
}

#[test]
#[ignore = "three minutes: ./ticker matrix slow_machine"]
fn the_demo_as_it_is_by_default_runs_three_minutes_on_a_busy_core_without_a_restart() {
    let Some((_core, mut daemon)) = demo_on_a_busy_core(&[]) else { return };
    let long = Duration::from_secs(by_hand("TICKER_TEST_BUSY_SECONDS", 180));
    let begun = Instant::now();
    while begun.elapsed() < long {
        assert_nothing_was_restarted(&mut daemon);
        pause();
    }
    let backfill = &daemon.status()["backfill"];
    figure!(
        "the default demo on one core beside two busy loops runs three minutes without a restart",
        "{} s; {} of its history loaded",
        long.as_secs(),
        backfill["done_ratio"]
    );
}

#[expect(clippy::disallowed_methods, reason = "a test's own thread, where no arbiter runs")]
fn pause() {
    std::thread::sleep(Duration::from_secs(1));
}
