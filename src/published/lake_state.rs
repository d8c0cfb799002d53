//! State of the data lake, as its readers report it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use crate::domain::instant::UnixSeconds;

/// State of the lake. Its readers, on threads of their own, write it.
#[derive(Debug, Default)]
pub struct LakeCell(Mutex<Option<LakeState>>);

/// State of the lake since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LakeState {
    /// URL without secrets.
    pub url: String,
    /// Newest ledger that was read, and its close time.
    pub newest: Option<(u32, UnixSeconds)>,
    /// Number of ledgers that were read and believed.
    pub ledgers: u64,
    /// Number of ledgers that were refused.
    pub refused: u64,
    /// Number of refused ledgers that do not fit their neighbours.
    pub chain_breaks: u64,
    /// Last refused ledger, and the reason.
    pub last_refused: Option<(u32, String)>,
    /// Start and last error of the current outage, or `None` if the lake answers.
    pub outage: Option<(DateTime<Utc>, String)>,
    /// Last comparison of a hash with Horizon's.
    pub anchor: Anchor,
}

/// Result of comparing the hash of a ledger with the hash that Horizon has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anchor {
    /// Not compared, because Horizon does not answer or does not have the ledger, or because it is not wanted.
    #[default]
    Unchecked,
    /// The hashes agree.
    Agrees {
        /// Ledger that was compared.
        ledger: u32,
        /// Time of the comparison.
        at: DateTime<Utc>,
    },
    /// The hashes differ: one of the two is not of this network, or was changed.
    Differs {
        /// Ledger that was compared.
        ledger: u32,
        /// Time of the comparison.
        at: DateTime<Utc>,
    },
}

impl LakeCell {
    /// Changes the state. Begins one if there is none.
    pub fn update(&self, change: impl FnOnce(&mut LakeState)) {
        change(self.lock().get_or_insert_default());
    }

    /// Returns a copy of the state, or `None` without a lake.
    #[must_use]
    pub fn load(&self) -> Option<LakeState> {
        self.lock().clone()
    }

    /// A poisoned lock only means that a thread panicked elsewhere; the state is consistent.
    fn lock(&self) -> MutexGuard<'_, Option<LakeState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LakeState {
    /// Text about a fault for readers, or `None` if the lake is read and believed.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        if let Some((since, error)) = &self.outage {
            let since = since.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            return Some(format!("{} cannot be read since {since}: {error}", self.url));
        }
        match self.anchor {
            Anchor::Differs { ledger, .. } => {
                Some(format!("ledger {ledger} has another hash than at Horizon, nothing above it is stored"))
            }
            Anchor::Unchecked | Anchor::Agrees { .. } => None,
        }
    }
}
