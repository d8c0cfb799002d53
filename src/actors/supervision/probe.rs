//! Judgement of one child from its counters and its answers: alive and working, or not. Pure: the supervisor ticks it
//! and acts on its findings.
//!
//! Slow is not dead. A `Ping` waits behind data messages in the same mailbox, so a missing answer alone proves
//! nothing. A child is silent while a `Ping` waits and its activity counter stands still. Silence is measured in the
//! time that the machine let the child's thread use: waiting for a core or for swap does not count.

use std::time::{Duration, Instant};

use super::{messages::KillReason, policy::Policy};

/// A child's own counters, read by the supervisor without asking the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signs {
    /// Anything that the child did: a message begun or ended, an answered `Ping`, a change of state, progress.
    pub activity: u64,
    /// Work done. A child that answers and gets nothing done is stalled.
    pub progress: u64,
}

/// The probe of one incarnation of a child. At most one `Ping` is under way at a time, so a hung child's mailbox
/// does not fill with them.
#[derive(Debug)]
pub struct Probe {
    is_outstanding: bool,
    /// The counters at the last tick.
    signs: Signs,
    ticked_at: Instant,
    /// Usable time since the last sign of activity while a `Ping` waits.
    silence: Duration,
    /// Time that did not count as silence, since the same moment.
    excused: Duration,
    kill_ordered: Option<KillReason>,
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
    /// The probe of an incarnation that begins at `now` with these counters.
    #[must_use]
    pub fn new(now: Instant, signs: Signs) -> Self {
        Self {
            is_outstanding: false,
            signs,
            ticked_at: now,
            silence: Duration::ZERO,
            excused: Duration::ZERO,
            kill_ordered: None,
            advanced_at: now,
        }
    }

    /// A tick at `now`: counts silence, or asks. `usable` gives how much of an interval the child's thread could use.
    pub fn tick(
        &mut self,
        policy: &Policy,
        stale_after: Duration,
        now: Instant,
        signs: Signs,
        usable: impl FnOnce(Duration) -> Duration,
    ) -> Finding {
        let interval = now.saturating_duration_since(std::mem::replace(&mut self.ticked_at, now));
        let before = std::mem::replace(&mut self.signs, signs);
        if signs.progress != before.progress {
            self.advanced_at = now;
        }
        if signs.activity != before.activity {
            self.is_active();
        } else if self.is_outstanding {
            self.is_silent(policy, interval, usable(interval));
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
        // Probes go on while a child is being killed: only silence shows that its thread is blocked.
        if std::mem::replace(&mut self.is_outstanding, true) { Finding::Wait } else { Finding::Ask }
    }

    fn is_active(&mut self) {
        self.silence = Duration::ZERO;
        self.excused = Duration::ZERO;
        // The runner does not carry out an order that the child has overtaken, so it may have to be given again.
        self.kill_ordered = self.kill_ordered.filter(|reason| *reason != KillReason::Unresponsive);
    }

    fn is_silent(&mut self, policy: &Policy, interval: Duration, usable: Duration) {
        let counted = if self.excused < policy.excused_max { usable.min(interval) } else { interval };
        self.excused = self.excused.saturating_add(interval.saturating_sub(counted));
        // A supervisor that is late itself counts no more than one miss a tick.
        self.silence = self.silence.saturating_add(counted.min(policy.probe_every));
    }

    /// The silence in missed answers, rounded: ticks are never exactly on time.
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

    /// The counters at the last tick.
    #[must_use]
    pub const fn signs(&self) -> Signs {
        self.signs
    }

    /// This incarnation has answered: the next tick may ask again.
    pub fn answered(&mut self) {
        self.is_outstanding = false;
    }

    /// The supervisor itself was late: nothing that was counted means anything.
    pub fn forgive(&mut self, now: Instant) {
        self.silence = Duration::ZERO;
        self.excused = Duration::ZERO;
        self.ticked_at = now;
        self.advanced_at = now;
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
