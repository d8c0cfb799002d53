//! Phases of the drain and their time limits. The whole drain takes at most eight seconds.

use std::time::Duration;

/// Phase of the sources: they stop reading and commit what they have.
pub const SOURCES: usize = 0;
/// Phase of the lease: it is released once no writer is left.
pub const LEASE: usize = 1;
/// Phase of the aggregator: it makes the last publication.
pub const AGGREGATOR: usize = 2;
/// Phase of the JSON writer: it writes the last publication to files.
pub const FILES: usize = 3;

/// Phases of the actors in their order, with the time limit of each.
pub const PHASES: [(usize, Duration); 4] = [
    (SOURCES, Duration::from_millis(2_000)),
    (LEASE, Duration::from_millis(600)),
    (AGGREGATOR, Duration::from_millis(1_200)),
    (FILES, Duration::from_millis(1_000)),
];

/// Time limit for closing the HTTP listeners, after the phases of the actors.
pub const HTTP: Duration = Duration::from_millis(1_200);

/// Phase of nginx and its time limit. nginx stops last, so that readers are served from its cache until then.
pub const NGINX: (usize, Duration) = (4, Duration::from_millis(1_000));

/// Time of the whole stop, from the signal to the end of the process.
const TOTAL: Duration = Duration::from_secs(8);
/// Shortest time for the private PostgreSQL.
const POSTGRES_MIN: Duration = Duration::from_secs(1);

/// Returns the time limit for the private PostgreSQL, which stops last, if the stop began `spent` ago.
#[must_use]
pub fn left_for_postgres(spent: Duration) -> Duration {
    TOTAL.saturating_sub(spent).max(POSTGRES_MIN)
}

/// Returns the time limit of a phase after an escalation or a hang: there is little left worth waiting for.
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
        let spent = actors + HTTP + NGINX.1;
        assert!(spent + left_for_postgres(spent) <= TOTAL);
        assert!(left_for_postgres(Duration::ZERO) <= TOTAL);
    }
}
