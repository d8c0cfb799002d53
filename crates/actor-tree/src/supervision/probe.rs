//! Judges from counters and answers whether one child lives and works. Pure: the supervisor calls it at each tick and
//! acts on its findings.
//!
//! Slow is not dead. A `Ping` waits behind data messages in the same mailbox, so a missing answer alone proves nothing.
//! A child is silent while a `Ping` waits and its activity counter stands still. Silence counts only the time that the
//! child's thread could use: waiting for a core or for swap is excused.

use std::time::{Duration, Instant};

use super::{messages::KillReason, policy::Policy};

/// Counters of a child. The supervisor reads them without asking the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ActivityCounters {
    /// Signs of activity: messages begun and ended, answered probes, changes of state, progress.
    pub activity: u64,
    /// Steps of work. A child that answers its probes without progress is stalled.
    pub progress: u64,
}

/// Probe of one incarnation. At most one `Ping` is in the mailbox at a time, so that a hung child's mailbox does not
/// fill up.
#[derive(Debug)]
pub struct Probe {
    is_outstanding: bool,
    /// Counters at the last tick.
    counters: ActivityCounters,
    ticked_at: Instant,
    /// Usable time since the last sign of activity while a `Ping` waits.
    silence: Duration,
    /// Time that was excused and not counted as silence, since the same moment.
    excused: Duration,
    kill_ordered: Option<KillReason>,
    advanced_at: Instant,
}

/// Finding of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Send the next `Ping`.
    Ask,
    /// Do nothing.
    Wait,
    /// Kill the child; it is then restarted.
    Kill(KillReason),
    /// The child's thread is blocked.
    Hung,
}

impl Probe {
    /// Creates the probe of an incarnation that begins at `now` with these counters.
    #[must_use]
    pub fn new(now: Instant, counters: ActivityCounters) -> Self {
        Self {
            is_outstanding: false,
            counters,
            ticked_at: now,
            silence: Duration::ZERO,
            excused: Duration::ZERO,
            kill_ordered: None,
            advanced_at: now,
        }
    }

    /// Judges the child at `now`. `usable` returns the part of an interval that the child's thread could use.
    pub fn tick(
        &mut self,
        policy: &Policy,
        stale_after: Duration,
        now: Instant,
        counters: ActivityCounters,
        usable: impl FnOnce(Duration) -> Duration,
    ) -> Finding {
        let interval = now.saturating_duration_since(std::mem::replace(&mut self.ticked_at, now));
        let before = std::mem::replace(&mut self.counters, counters);
        if counters.progress != before.progress {
            self.advanced_at = now;
        }
        if counters.activity != before.activity {
            self.record_activity();
        } else if self.is_outstanding {
            self.record_silence(policy, interval, usable(interval));
        }
        let missed = self.missed(policy);
        if missed >= policy.hung_after_missed {
            return Finding::Hung;
        }
        if missed >= policy.kill_after_missed {
            return self.kill_once(KillReason::Unresponsive).unwrap_or(Finding::Wait);
        }
        let is_stale = now.saturating_duration_since(self.advanced_at) > stale_after;
        if let Some(kill) = is_stale.then(|| self.kill_once(KillReason::Stalled)).flatten() {
            return kill;
        }
        // Probing goes on while a child is being killed: only further silence shows that its thread is blocked.
        if std::mem::replace(&mut self.is_outstanding, true) { Finding::Wait } else { Finding::Ask }
    }

    fn record_activity(&mut self) {
        self.silence = Duration::ZERO;
        self.excused = Duration::ZERO;
        // The runner ignores a kill order that the child has overtaken, so the order may be needed again.
        self.kill_ordered = self.kill_ordered.filter(|reason| *reason != KillReason::Unresponsive);
    }

    fn record_silence(&mut self, policy: &Policy, interval: Duration, usable: Duration) {
        let counted = if self.excused < policy.excused_max { usable.min(interval) } else { interval };
        self.excused = self.excused.saturating_add(interval.saturating_sub(counted));
        // One late tick counts as one miss at most.
        self.silence = self.silence.saturating_add(counted.min(policy.probe_every));
    }

    /// Returns the silence as a number of missed probes, rounded, since ticks are never exactly on time.
    fn missed(&self, policy: &Policy) -> u32 {
        let rounded = self.silence.saturating_add(policy.probe_every / 2).as_nanos();
        let missed = rounded.checked_div(policy.probe_every.as_nanos()).unwrap_or(0);
        u32::try_from(missed).unwrap_or(u32::MAX)
    }

    fn kill_once(&mut self, reason: KillReason) -> Option<Finding> {
        let is_first = self.kill_ordered.is_none();
        self.kill_ordered.get_or_insert(reason);
        is_first.then_some(Finding::Kill(reason))
    }

    /// Counters at the last tick.
    #[must_use]
    pub(crate) const fn counters(&self) -> ActivityCounters {
        self.counters
    }

    /// Records an answer: the next tick may send a `Ping` again.
    pub fn answered(&mut self) {
        self.is_outstanding = false;
    }

    /// Starts all counts from `now`. Called if the supervisor was late, since its counts then say nothing.
    pub(crate) fn restart_count(&mut self, now: Instant) {
        self.silence = Duration::ZERO;
        self.excused = Duration::ZERO;
        self.ticked_at = now;
        self.advanced_at = now;
    }
}

#[cfg(test)]
mod tests;
