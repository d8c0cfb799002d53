//! Helpers that several tests share.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use actor_tree::supervision::policy::Policy;

pub(crate) mod bound;
pub(crate) mod busy_core;
pub(crate) mod daemon;
pub(crate) mod false_clock;
pub(crate) mod fixtures;
pub(crate) mod memory_group;
pub(crate) mod network;
pub(crate) mod nginx;
pub(crate) mod oracle;
pub(crate) mod own_postgres;
pub(crate) mod patroni;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod private_server;
pub(crate) mod processes;
pub(crate) mod progress;
pub(crate) mod recomputation;
pub(crate) mod replicas;
pub(crate) mod scripted;
pub(crate) mod small_disk;
pub(crate) mod standby;
pub(crate) mod surroundings;
pub(crate) mod tls_postgres;
pub(crate) mod tls_server;
pub(crate) mod wide;

/// Generous: a loaded machine is no failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(300);

/// In a daemon's environment: its lease ends after two seconds, so that the next one soon takes over from a killed one.
pub(crate) const SHORT_LEASE: (&str, &str) = ("TICKER_CHAOS_LEASE_MS", "2000");
/// In a daemon's environment: checks fail after eight seconds of a fault instead of 30, and Horizon's after four.
pub(crate) const SHORT_GRACE: (&str, &str) = ("TICKER_CHAOS_GRACE_MS", "8000");
/// In a daemon's environment: the first publication waits ten seconds for assets instead of 55.
pub(crate) const FAST_FIRST_PUBLICATION: (&str, &str) = ("TICKER_CHAOS_FIRST_PUBLICATION_MS", "10000");

/// Prints the measured value of a promise as a row of `docs/reliability.md`, under the name of the calling test.
macro_rules! figure {
    ($promise:expr, $($figure:tt)+) => {
        $crate::support::print_figure($promise, std::any::type_name_of_val(&|| {}), &format!($($figure)+))
    };
}
pub(crate) use figure;

pub(crate) fn print_figure(promise: &str, place: &str, figure: &str) {
    let test = place.split("::{{").next().unwrap_or(place).trim_start_matches("it::");
    println!("\n| {promise} | `{test}` | {figure} | {} |", chrono::Utc::now().format("%F"));
}

/// Shortest silence that the supervisor counts as this many missed probes. It rounds, since its ticks are never exactly
/// on time.
pub(crate) fn silence_of(missed: u32) -> Duration {
    let every = Policy::default().probe_every;
    every * missed - every / 2
}

/// Prints that something cannot be tested here. The harness does not hide it when the test passes.
pub(crate) fn not_tested(why: &str) {
    let _ = writeln!(std::io::stderr(), "\nNOT TESTED: {why}");
}

/// A number that a longer manual run sets in the environment.
pub(crate) fn by_hand(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// Blocks until a state is reached that nobody announces. Not for async tests.
#[expect(clippy::disallowed_methods, reason = "a test's own thread, where no arbiter runs")]
pub(crate) fn wait_until(what: &str, mut is_reached: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_reached() {
        assert!(begin.elapsed() < DEADLINE, "timed out waiting: {what}");
        std::thread::sleep(poll_after(begin));
    }
}

/// The same for async tests.
pub(crate) async fn reached(what: &str, mut is_reached: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !is_reached().await {
        assert!(begin.elapsed() < DEADLINE, "timed out waiting: {what}");
        tokio::time::sleep(poll_after(begin)).await;
    }
}

/// Pause before the next look at a state. Looks are often requests or queries: those of a long wait leave the cores to
/// the other tests.
fn poll_after(begin: Instant) -> Duration {
    let is_short = begin.elapsed() < Duration::from_millis(500);
    Duration::from_millis(if is_short { 20 } else { 100 })
}
