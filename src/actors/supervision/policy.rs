//! When a child is restarted, and when the tree gives up. Pure: instants and randomness come in as arguments.

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

/// More than `restarts` restarts within `within` are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How many restarts are still allowed.
    pub restarts: u32,
    /// The sliding window they are counted in.
    pub within: Duration,
}

/// All the numbers of supervision. Tests use a faster set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// A child that lived this long is healthy: its next exit counts as its first.
    pub healthy_after: Duration,
    /// The delay of the second restart in a streak; each further one doubles it.
    pub backoff_base: Duration,
    /// No delay is longer.
    pub backoff_max: Duration,
    /// The limit for each child.
    pub child_limit: Limit,
    /// The limit for all children together.
    pub tree_limit: Limit,
    /// Interval between two probes of a child. An answer, or another sign of work, is due before the next probe.
    pub probe_every: Duration,
    /// Missed answers in a row, with no sign of work in between, after which the child is killed and restarted.
    pub kill_after_missed: u32,
    /// After so many its thread is blocked: nothing but the end of the process helps.
    pub hung_after_missed: u32,
    /// Bound on the time for which a busy machine excuses a silent child. Beyond it all time counts, so a child that
    /// never gets a core, or a kernel whose accounts are wrong, does not hide a hung child for ever.
    pub excused_max: Duration,
    /// A supervisor whose own tick came later than this counts no misses: it was the one that slept.
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

/// A set of numbers that would not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A limit that the delays themselves keep from being reached never escalates.
    #[error("{restarts} restarts take up to {takes:?}, so the limit within {within:?} is never reached")]
    LimitOutOfReach {
        /// The allowed restarts of the limit.
        restarts: u32,
        /// The longest time in which so many restarts happen, one after another.
        takes: Duration,
        /// The window of the limit.
        within: Duration,
    },
    /// A thread that is declared hung before the kill could act is hung by definition.
    #[error("a child must be killed ({kill}) before its thread counts as hung ({hung})")]
    HungBeforeKilled {
        /// `kill_after_missed`
        kill: u32,
        /// `hung_after_missed`
        hung: u32,
    },
    /// A probe period of zero would spin.
    #[error("probe_every must not be zero")]
    NoProbePeriod,
}

impl Policy {
    /// The longest delay of the restart that follows `streak` others (0: at once), before jitter.
    #[must_use]
    pub fn longest_delay(&self, streak: u32) -> Duration {
        let Some(doublings) = streak.checked_sub(1) else { return Duration::ZERO };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.backoff_base.saturating_mul(factor).min(self.backoff_max)
    }

    /// That delay with equal jitter: half of it is certain, the other half by chance (`random`: any 64 bits).
    #[must_use]
    pub fn delay(&self, streak: u32, random: u64) -> Duration {
        let half = self.longest_delay(streak) / 2;
        let half_nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        let chance = random.checked_rem(half_nanos.saturating_add(1)).unwrap_or(0);
        half.saturating_add(Duration::from_nanos(chance))
    }

    /// Refuses numbers that contradict each other. Checked when the tree is made.
    ///
    /// # Errors
    ///
    /// The first contradiction found.
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

    /// Whether a child that fails at once, or hangs at once, again and again, comes to its limit: the delays and
    /// the time that the probes need must fit into the window. The tree's limit is reached by several children
    /// at the same time, each within its own, so for that one the same time must fit.
    fn limit_is_reachable(&self) -> Result<(), PolicyError> {
        let until_killed = self.probe_every.saturating_mul(self.kill_after_missed.saturating_add(1));
        // Beyond the streak at which the delay no longer grows every further restart takes the same time, so
        // the sum of a silly limit need not be walked through; it is long over any window by then.
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

/// The restarts within a sliding window. Holds at most as many instants as the limit allows.
#[derive(Debug, Default)]
pub struct Intensity {
    restarts: VecDeque<Instant>,
}

impl Intensity {
    /// Counts a restart at `now`, unless it is one too many: then false.
    pub fn admit(&mut self, limit: Limit, now: Instant) -> bool {
        self.restarts.retain(|at| now.saturating_duration_since(*at) < limit.within);
        let allowed = usize::try_from(limit.restarts).unwrap_or(usize::MAX);
        let is_admitted = self.restarts.len() < allowed;
        if is_admitted {
            self.restarts.push_back(now);
        }
        is_admitted
    }
}

/// What is remembered of one child's restarts.
#[derive(Debug, Default)]
pub struct RestartRecord {
    streak: u32,
    intensity: Intensity,
}

/// What to do about an exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Restart it after this delay.
    RestartAfter(Duration),
    /// Too many restarts: the whole tree goes down, and whoever runs the process starts it anew.
    Escalate(Excess),
}

/// Which limit was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// The child's own.
    OfChild,
    /// That of all children.
    OfTree,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OfChild => "the limit of one actor",
            Self::OfTree => "the limit of all actors together",
        })
    }
}

impl RestartRecord {
    /// Decides about an exit at `now` of a child that had lived for `lived`; counts the restart in the child's
    /// record and in the tree's.
    pub fn on_exit(
        &mut self,
        policy: &Policy,
        tree: &mut Intensity,
        lived: Duration,
        now: Instant,
        random: u64,
    ) -> Decision {
        if !self.intensity.admit(policy.child_limit, now) {
            return Decision::Escalate(Excess::OfChild);
        }
        if !tree.admit(policy.tree_limit, now) {
            return Decision::Escalate(Excess::OfTree);
        }
        if lived >= policy.healthy_after {
            self.streak = 0;
        }
        let delay = policy.delay(self.streak, random);
        self.streak = self.streak.saturating_add(1);
        Decision::RestartAfter(delay)
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
