//! The drain: what finishes in which order, and how long each may take. Eight seconds in all.

use std::time::Duration;

/// Sources begin nothing new and commit what they have.
pub const SOURCES: usize = 0;
/// The lease is given back, now that nobody writes.
pub const LEASE: usize = 1;
/// The last publication is made.
pub const AGGREGATOR: usize = 2;
/// It is written to files.
pub const FILES: usize = 3;

/// The phases of the actors, in order, and how long each may take.
pub const PHASES: [(usize, Duration); 4] = [
    (SOURCES, Duration::from_millis(2_000)),
    (LEASE, Duration::from_millis(600)),
    (AGGREGATOR, Duration::from_millis(1_200)),
    (FILES, Duration::from_millis(1_000)),
];

/// How long the HTTP listeners may take, after the actors.
pub const HTTP: Duration = Duration::from_millis(1_200);

/// nginx ends, last of all that readers see: until then it tells them what it has.
pub const NGINX: (usize, Duration) = (4, Duration::from_millis(1_000));

/// After giving up nothing is worth waiting for long.
#[must_use]
pub fn shortened(phase: Duration) -> Duration {
    phase.min(Duration::from_millis(500))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_phases_together_leave_time_for_the_private_postgres_within_eight_seconds() {
        let actors: Duration = PHASES.iter().map(|(_, within)| *within).sum();
        assert!(actors + HTTP + NGINX.1 <= Duration::from_millis(7_000));
    }
}
