//! What several tests need.

use std::time::{Duration, Instant};

pub(crate) mod daemon;
pub(crate) mod fixtures;
pub(crate) mod nginx;
pub(crate) mod postgres;
pub(crate) mod processes;
pub(crate) mod recomputation;
pub(crate) mod tls_postgres;

/// Generous: a loaded machine is no failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// Blocks until a state is reached that nobody announces. Not for async tests.
#[expect(clippy::disallowed_methods, reason = "a test's own thread, where no arbiter runs")]
pub(crate) fn wait_until(what: &str, mut is_reached: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_reached() {
        assert!(begin.elapsed() < DEADLINE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
