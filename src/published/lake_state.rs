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
    /// Current outages by what reads the lake.
    pub outages: Outages,
    /// Last comparison of a hash with Horizon's.
    pub anchor: Anchor,
    /// New ledger whose hash is not Horizon's, if the last comparison of a new ledger found that.
    pub contradicted: Option<u32>,
}

/// Start and last error of an outage.
pub type Outage = (DateTime<Utc>, String);

/// Reader of the lake. One may meet an object that cannot be read while the other goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LakeUse {
    /// New ledgers.
    Recent,
    /// Ledgers of the past.
    History,
}

/// Outages by what reads the lake; `None` if the lake answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outages {
    recent: Option<Outage>,
    history: Option<Outage>,
}

impl Outages {
    /// Outage of one reader.
    #[must_use]
    pub const fn of(&self, reader: LakeUse) -> Option<&Outage> {
        match reader {
            LakeUse::Recent => self.recent.as_ref(),
            LakeUse::History => self.history.as_ref(),
        }
    }

    /// The outage that began first.
    #[must_use]
    pub fn first(&self) -> Option<&Outage> {
        [&self.recent, &self.history].into_iter().flatten().min_by_key(|(since, _)| *since)
    }

    /// Ends the outage of a reader.
    pub fn end(&mut self, reader: LakeUse) {
        *self.of_mut(reader) = None;
    }

    /// Begins the outage of a reader, or notes its last error.
    pub fn note(&mut self, reader: LakeUse, now: DateTime<Utc>, error: String) {
        let outage = self.of_mut(reader);
        let since = outage.as_ref().map_or(now, |(since, _)| *since);
        *outage = Some((since, error));
    }

    const fn of_mut(&mut self, reader: LakeUse) -> &mut Option<Outage> {
        match reader {
            LakeUse::Recent => &mut self.recent,
            LakeUse::History => &mut self.history,
        }
    }
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
        if let Some((since, error)) = self.outages.first() {
            let since = since.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            return Some(format!("{} cannot be read since {since}: {error}", self.url));
        }
        let ledger = self.contradicted?;
        Some(format!("ledger {ledger} has another hash than at Horizon, nothing above it is stored"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_ends_only_for_the_reader_that_got_an_answer() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let mut outages = Outages::default();
        outages.note(LakeUse::History, at(5), "403".to_owned());
        outages.note(LakeUse::Recent, at(9), "429".to_owned());
        outages.note(LakeUse::History, at(20), "500".to_owned());
        assert_eq!(outages.first(), Some(&(at(5), "500".to_owned())));
        outages.end(LakeUse::Recent);
        assert_eq!((outages.of(LakeUse::Recent), outages.first().unwrap().0), (None, at(5)));
        outages.end(LakeUse::History);
        assert_eq!(outages.first(), None);
    }
}
