//! Restart policy: delays, limits, escalation. Pure: callers pass instants and random bits.

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

/// Limit on restarts: more than `restarts` within `within` escalate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Restarts that are allowed.
    pub restarts: u32,
    /// Length of the sliding window.
    pub within: Duration,
}

/// Numbers of supervision. Tests use a faster set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Uptime after which a child is healthy: the delays then start from the beginning.
    pub healthy_after: Duration,
    /// Delay of the second restart in a streak. Each further one doubles it.
    pub backoff_base: Duration,
    /// Longest delay.
    pub backoff_max: Duration,
    /// Limit for each child.
    pub child_limit: Limit,
    /// Limit for all children together.
    pub tree_limit: Limit,
    /// Interval between two probes of a child. An answer or another sign of activity is due before the next probe.
    pub probe_every: Duration,
    /// Missed probes in a row, without activity in between, after which the child is killed and restarted.
    pub kill_after_missed: u32,
    /// Missed probes in a row after which the thread counts as blocked. Only a new process helps then.
    pub hung_after_missed: u32,
    /// Longest time for which a busy machine excuses a silent child. After it, all time counts. Otherwise a child that
    /// never gets a core, or wrong accounts of the kernel, would hide a hung child for ever.
    pub excused_max: Duration,
    /// Delay of the supervisor's own tick beyond which misses do not count: then the supervisor itself was late.
    pub late_tick: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            healthy_after: Duration::from_secs(60),
            backoff_base: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            child_limit: Limit { restarts: 5, within: Duration::from_secs(120) },
            tree_limit: Limit { restarts: 15, within: Duration::from_secs(300) },
            probe_every: Duration::from_secs(2),
            kill_after_missed: 2,
            hung_after_missed: 6,
            excused_max: Duration::from_secs(300),
            late_tick: Duration::from_secs(1),
        }
    }
}

/// Contradiction within a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A limit that the delays themselves keep out of reach never escalates.
    #[error(
        "{restarts} restarts take up to {} s, so the limit within {} s is never reached",
        .takes.as_secs_f64(),
        .within.as_secs_f64()
    )]
    LimitOutOfReach {
        /// Allowed restarts of the limit.
        restarts: u32,
        /// Longest time in which this many restarts can follow one another.
        takes: Duration,
        /// Window of the limit.
        within: Duration,
    },
    /// A thread would count as blocked before the kill could help.
    #[error("a child must be killed ({kill}) before its thread counts as hung ({hung})")]
    HungBeforeKilled {
        /// `kill_after_missed`
        kill: u32,
        /// `hung_after_missed`
        hung: u32,
    },
    /// Probing without a pause would spin.
    #[error("probe_every must not be zero")]
    NoProbePeriod,
}

impl Policy {
    /// Returns the longest delay of a restart after `streak` others, before jitter. The first restart has none.
    #[must_use]
    pub(crate) fn longest_delay(&self, streak: u32) -> Duration {
        let Some(doublings) = streak.checked_sub(1) else { return Duration::ZERO };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.backoff_base.saturating_mul(factor).min(self.backoff_max)
    }

    /// Returns the delay with jitter: half of the longest delay plus a random part of the other half.
    #[must_use]
    pub fn delay(&self, streak: u32, random: u64) -> Duration {
        let half = self.longest_delay(streak) / 2;
        let half_nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        let chance = random.checked_rem(half_nanos.saturating_add(1)).unwrap_or(0);
        half.saturating_add(Duration::from_nanos(chance))
    }

    /// Returns the limit for a child that is killed again and again because it makes no progress. Each time takes at
    /// least `stale_after`, so that `child_limit` may be out of reach. The window holds one more exit than is allowed,
    /// with the longest delays, so this limit is always in reach.
    #[must_use]
    pub(crate) fn stall_limit(&self, stale_after: Duration) -> Limit {
        let restarts = self.child_limit.restarts;
        // The kill comes with a tick after `stale_after`.
        let each =
            stale_after.saturating_add(self.probe_every.saturating_mul(2)).saturating_add(self.backoff_max);
        Limit { restarts, within: each.saturating_mul(restarts.saturating_add(1)) }
    }

    /// Checks that the numbers do not contradict each other. Called when the tree is made.
    ///
    /// # Errors
    ///
    /// The first contradiction.
    pub fn check(&self) -> Result<(), PolicyError> {
        if self.probe_every.is_zero() {
            return Err(PolicyError::NoProbePeriod);
        }
        if self.kill_after_missed == 0 || self.hung_after_missed <= self.kill_after_missed {
            let (kill, hung) = (self.kill_after_missed, self.hung_after_missed);
            return Err(PolicyError::HungBeforeKilled { kill, hung });
        }
        self.limit_is_reachable()
    }

    /// Checks that a child that fails or hangs at once, again and again, reaches its limit: the delays and the time
    /// until each kill must fit into the window. Several children at the same time reach the tree's limit, each within
    /// its own window, so the same time must fit into the tree's window.
    fn limit_is_reachable(&self) -> Result<(), PolicyError> {
        let until_killed = self.probe_every.saturating_mul(self.kill_after_missed.saturating_add(1));
        // Beyond the longest delay every restart takes the same time. 1,000 of them exceed any sensible window, so the
        // sum for an absurd limit can stop there.
        let takes = (0..self.child_limit.restarts.min(1_000)).fold(Duration::ZERO, |sum, streak| {
            sum.saturating_add(self.longest_delay(streak)).saturating_add(until_killed)
        });
        for limit in [self.child_limit, self.tree_limit] {
            if takes >= limit.within {
                let (restarts, within) = (self.child_limit.restarts, limit.within);
                return Err(PolicyError::LimitOutOfReach { restarts, takes, within });
            }
        }
        Ok(())
    }
}

/// Restarts within a sliding window. Holds at most as many instants as the limit allows.
#[derive(Debug, Default)]
pub(crate) struct Intensity {
    restarts: VecDeque<Instant>,
}

impl Intensity {
    /// Counts a restart at `now` and returns true, or returns false if it would exceed the limit.
    pub(crate) fn admit(&mut self, limit: Limit, now: Instant) -> bool {
        self.restarts.retain(|at| now.saturating_duration_since(*at) < limit.within);
        let allowed = usize::try_from(limit.restarts).unwrap_or(usize::MAX);
        let is_admitted = self.restarts.len() < allowed;
        if is_admitted {
            self.restarts.push_back(now);
        }
        is_admitted
    }
}

/// Restart history of one child.
#[derive(Debug, Default)]
pub(crate) struct RestartRecord {
    streak: u32,
    intensity: Intensity,
    /// Restarts because of no progress.
    stalls: Intensity,
}

/// Run of an incarnation that has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndedRun {
    /// Time from its start to its end.
    pub(crate) uptime: Duration,
    /// Its `stale_after`, if it was killed because it made no progress for as long.
    pub(crate) stalled_for: Option<Duration>,
}

/// Decision about an exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Restart the child after this delay.
    RestartAfter(Duration),
    /// Too many restarts: end the process, so that systemd or the container runtime starts a new one.
    Escalate(ExceededLimit),
}

/// Limit that was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExceededLimit {
    /// Limit of one child.
    Child,
    /// Limit of all children together.
    Tree,
}

impl fmt::Display for ExceededLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Child => "the limit of one actor",
            Self::Tree => "the limit of all actors together",
        })
    }
}

impl RestartRecord {
    /// Decides about an exit at `now` of a child after this run. Counts the restart for the child and the tree.
    pub(crate) fn on_exit(
        &mut self,
        policy: &Policy,
        tree: &mut Intensity,
        run: EndedRun,
        now: Instant,
        random: u64,
    ) -> Decision {
        let stall_limit = run.stalled_for.map(|stale_after| policy.stall_limit(stale_after));
        if !self.intensity.admit(policy.child_limit, now)
            || stall_limit.is_some_and(|limit| !self.stalls.admit(limit, now))
        {
            return Decision::Escalate(ExceededLimit::Child);
        }
        if !tree.admit(policy.tree_limit, now) {
            return Decision::Escalate(ExceededLimit::Tree);
        }
        self.restart(policy, run, random)
    }

    /// Decides about an exit of a child that the process can do without. It is restarted however often it ends, and
    /// its restarts do not count for the tree.
    pub(crate) fn restart(&mut self, policy: &Policy, run: EndedRun, random: u64) -> Decision {
        // A child that made no progress was not healthy, however long it lived.
        if run.stalled_for.is_none() && run.uptime >= policy.healthy_after {
            self.streak = 0;
        }
        let delay = policy.delay(self.streak, random);
        self.streak = self.streak.saturating_add(1);
        Decision::RestartAfter(delay)
    }
}

#[cfg(test)]
mod tests;
