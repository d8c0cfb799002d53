//! State of the data lake, as its readers report it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use ticker_formats::pages::LakeFigures;

use crate::domain::instant::UnixSeconds;

/// State of the lake. Its readers, on threads of their own, write it.
#[derive(Debug, Default)]
pub struct LakeCell(Mutex<Option<LakeState>>);

/// State of the lake since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LakeState {
    /// URL without secrets.
    pub url: String,
    /// Ledgers that were read.
    pub figures: LakeFigures,
    /// Current outages by what reads the lake.
    pub outages: Outages,
    /// Last comparison of a hash with Horizon's.
    pub hash_check: HashCheck,
    /// New ledger whose hash is not Horizon's, if the last comparison of a new ledger found that.
    pub contradicted: Option<u32>,
    /// First ledger of the chain of new ledgers, and its close time. The reader of new ledgers compares that chain.
    pub chain_from: Option<(u32, UnixSeconds)>,
    /// Time since when the newest ledger of a lake that gives new trades is too old.
    pub behind: Option<DateTime<Utc>>,
}

/// Outage of a lake or an RPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LakeOutage {
    /// Time of the first failure.
    pub since: DateTime<Utc>,
    /// URL of the place that fails, without secrets. New ledgers and those of the past may have places of their own.
    pub url: String,
    /// Last error.
    pub error: String,
}

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
    recent: Option<LakeOutage>,
    history: Option<LakeOutage>,
}

impl Outages {
    /// Outage of one reader.
    #[must_use]
    pub const fn of(&self, reader: LakeUse) -> Option<&LakeOutage> {
        match reader {
            LakeUse::Recent => self.recent.as_ref(),
            LakeUse::History => self.history.as_ref(),
        }
    }

    /// The outage that began first.
    #[must_use]
    pub fn first(&self) -> Option<&LakeOutage> {
        [&self.recent, &self.history].into_iter().flatten().min_by_key(|outage| outage.since)
    }

    /// Ends the outage of a reader.
    pub fn end(&mut self, reader: LakeUse) {
        *self.of_mut(reader) = None;
    }

    /// Begins the outage of a reader, or notes its last error.
    pub fn note(&mut self, reader: LakeUse, now: DateTime<Utc>, url: &str, error: String) {
        let outage = self.of_mut(reader);
        let since = outage.as_ref().map_or(now, |outage| outage.since);
        *outage = Some(LakeOutage { since, url: url.to_owned(), error });
    }

    const fn of_mut(&mut self, reader: LakeUse) -> &mut Option<LakeOutage> {
        match reader {
            LakeUse::Recent => &mut self.recent,
            LakeUse::History => &mut self.history,
        }
    }
}

/// Comparison of the hash of a ledger with the hash that Horizon has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashCheck {
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
    /// Forgets what only a reader of the lake can end or go on with. Figures and the last comparison stay.
    pub fn forget_readings(&mut self) {
        self.outages = Outages::default();
        (self.contradicted, self.chain_from, self.behind) = (None, None, None);
    }

    /// Text about a fault for readers, or `None` if the lake is read and believed.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        if let Some(LakeOutage { since, url, error }) = self.outages.first() {
            let since = since.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            return Some(format!("{url} cannot be read since {since}: {error}"));
        }
        if let Some(ledger) = self.contradicted {
            return Some(format!(
                "ledger {ledger} has another hash than at Horizon, \
                 ledgers of the lake are stored only once Horizon has their hashes"
            ));
        }
        let (since, (ledger, closed_at)) = (self.behind?, self.figures.newest?);
        Some(format!(
            "behind the network since {}: ledger {ledger} of {} is the newest one, \
             new trades are read from Horizon",
            since.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            closed_at.to_rfc3339()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_ends_only_for_the_reader_that_got_an_answer() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let mut outages = Outages::default();
        outages.note(LakeUse::History, at(5), "https://lake", "403".to_owned());
        outages.note(LakeUse::Recent, at(9), "https://rpc", "429".to_owned());
        outages.note(LakeUse::History, at(20), "https://lake", "500".to_owned());
        let first = outages.first().unwrap();
        assert_eq!((first.since, first.error.as_str()), (at(5), "500"));
        outages.end(LakeUse::Recent);
        assert_eq!((outages.of(LakeUse::Recent), outages.first().unwrap().since), (None, at(5)));
        outages.end(LakeUse::History);
        assert_eq!(outages.first(), None);
    }

    #[test]
    fn a_fault_names_the_place_that_cannot_be_read() {
        let at = DateTime::from_timestamp(9, 0).unwrap();
        let mut state = LakeState { url: "https://lake".to_owned(), ..LakeState::default() };
        state.outages.note(LakeUse::Recent, at, "https://rpc", "connection refused".to_owned());
        let fault = state.fault().unwrap();
        assert_eq!(fault, "https://rpc cannot be read since 1970-01-01T00:00:09Z: connection refused");
        state.outages.end(LakeUse::Recent);
        state.contradicted = Some(7);
        assert!(state.fault().unwrap().starts_with("ledger 7 has another hash than at Horizon"));
        (state.contradicted, state.behind) = (None, Some(at));
        assert_eq!(state.fault(), None, "it has not given any ledger yet");
        state.figures.newest = Some((5, UnixSeconds(0)));
        let fault = state.fault().unwrap();
        assert!(
            fault.starts_with("behind the network since 1970-01-01T00:00:09Z: ledger 5 of 1970"),
            "{fault}"
        );
    }
}
