//! Reports of a lake's readers: the state that the status shows, metrics and log lines.

use std::{rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use metrics::counter;
use tracing::warn;

use super::{
    SOURCE,
    refused::{RefusedFor, RefusedLedgers},
};
use crate::{
    clock::SharedClock,
    db::trades::QuarantineEntry,
    domain::{coverage::LedgerRange, instant::UnixSeconds},
    lake::LakeError,
    published::{HashCheck, LakeState, LakeUse, Published},
    trouble::SharedLimit,
};

/// Log lines per minute about refused ledgers.
const REFUSED_A_MINUTE: u32 = 10;

/// Reports of one actor about a lake. Cheap to clone.
#[derive(Clone)]
pub struct LakeReports {
    /// URL of the lake, without secrets.
    url: Rc<str>,
    /// Published state that the reports go to.
    published: Arc<Published>,
    clock: SharedClock,
    /// Limit on log lines about refused ledgers. Every object of a damaged lake may be refused.
    refusal_lines: Rc<SharedLimit>,
}

impl LakeReports {
    /// Creates the reports, and publishes the URL.
    #[must_use]
    pub fn new(url: &str, published: Arc<Published>, clock: SharedClock) -> Self {
        let reports = Self {
            url: url.into(),
            published,
            clock,
            refusal_lines: Rc::new(SharedLimit::new(REFUSED_A_MINUTE, Duration::from_secs(60))),
        };
        reports.update(|state| state.url = url.to_owned());
        reports
    }

    /// Close time of the newest ledger that any reader of the lake has stored.
    #[must_use]
    pub fn newest_at(&self) -> Option<UnixSeconds> {
        let newest = self.published.vitals.lake.load().and_then(|lake| lake.figures.newest);
        newest.map(|(_, closed_at)| closed_at)
    }

    /// True if the last compared new ledger of the lake has another hash than at Horizon.
    #[must_use]
    pub fn is_contradicted(&self) -> bool {
        self.published.vitals.lake.load().is_some_and(|lake| lake.contradicted.is_some())
    }

    /// First ledger of the chain of new ledgers that is being read, and its close time.
    #[must_use]
    pub fn chain_from(&self) -> Option<(u32, UnixSeconds)> {
        self.published.vitals.lake.load().and_then(|lake| lake.chain_from)
    }

    /// Reports the first ledger of the chain of new ledgers.
    pub fn note_chain(&self, first: Option<(u32, UnixSeconds)>) {
        self.update(|state| state.chain_from = first);
    }

    /// Reports that these ledgers are stored.
    pub fn note_stored(&self, range: LedgerRange, ledgers: u64) {
        counter!("ticker_lake_ledgers_total").increment(ledgers);
        self.update(|state| {
            let figures = &mut state.figures;
            figures.newest = figures.newest.max(Some((range.to, range.to_time)));
            figures.ledgers = figures.ledgers.saturating_add(ledgers);
        });
    }

    /// Reports that ledgers are refused, and returns their entry in quarantine.
    #[must_use]
    pub fn note_refused(&self, refused: &RefusedLedgers) -> QuarantineEntry {
        let (RefusedLedgers { from, to, reason, cause }, ledgers) = (refused, refused.count());
        counter!("ticker_lake_refused_ledgers_total", "reason" => cause.name()).increment(ledgers);
        if let Some(suppressed) = self.refusal_lines.allow(self.clock.monotonic()) {
            warn!(from, to, reason, suppressed, "ledgers of the lake refused");
        }
        self.update(|state| {
            let figures = &mut state.figures;
            figures.refused = figures.refused.saturating_add(ledgers);
            figures.chain_breaks = figures.chain_breaks.saturating_add((*cause == RefusedFor::Chain).into());
            figures.last_refused = Some((*from, reason.clone()));
        });
        let raw = serde_json::json!({"from": from, "to": to, "lake": &*self.url}).to_string();
        let reason = format!("ledgers {from} to {to} are refused: {reason}");
        QuarantineEntry { source: SOURCE, token: None, reason, raw: Bytes::from(raw) }
    }

    /// Reports that stored ledgers turned out not to be of Horizon's chain.
    pub(super) fn note_wrong_chain(&self) {
        self.update(|state| state.figures.chain_breaks = state.figures.chain_breaks.saturating_add(1));
    }

    /// Reports a comparison of a hash with Horizon's. A ledger that was not compared is no news.
    pub(super) fn note_hash_check(&self, check: HashCheck) {
        if check != HashCheck::Unchecked {
            self.update(|state| state.hash_check = check);
        }
    }

    /// Reports the comparison of a new ledger. A wrong ledger of the past says nothing about new ones.
    pub(super) fn note_new_hash_check(&self, check: HashCheck) {
        self.update(|state| match check {
            HashCheck::Differs { ledger, .. } => state.contradicted = Some(ledger),
            HashCheck::Agrees { .. } => state.contradicted = None,
            HashCheck::Unchecked => {}
        });
    }

    /// Reports that the lake answered.
    pub fn note_answer(&self, reader: LakeUse) {
        self.update(|state| state.outages.end(reader));
    }

    /// Reports that the lake could not be read.
    pub fn note_failure(&self, reader: LakeUse, error: &LakeError) {
        let (now, text) = (self.clock.now(), error.to_string());
        self.update(|state| state.outages.note(reader, now, &self.url, text));
    }

    /// Reports whether the newest ledger is too old for a lake that gives new trades.
    pub fn note_behind(&self, is_behind: bool) {
        let now = self.clock.now();
        self.update(|state| state.behind = is_behind.then(|| state.behind.unwrap_or(now)));
    }

    /// Forgets faults and the chain of new ledgers, because another replica reads the lake now. Nothing here would
    /// end them.
    pub fn forget(&self) {
        self.update(LakeState::forget_readings);
    }

    fn update(&self, change: impl FnOnce(&mut LakeState)) {
        self.published.vitals.lake.update(change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn reports() -> LakeReports {
        LakeReports::new("file:///lake", Arc::default(), SystemClock::shared())
    }

    fn state(reports: &LakeReports) -> LakeState {
        reports.published.vitals.lake.load().unwrap()
    }

    #[test]
    fn refused_ledgers_are_counted_and_named_in_quarantine() {
        let reports = reports();
        let (reason, cause) = ("a wrong hash".to_owned(), RefusedFor::Chain);
        let entry = reports.note_refused(&RefusedLedgers { from: 7, to: 9, reason, cause });
        assert_eq!(entry.reason, "ledgers 7 to 9 are refused: a wrong hash");
        let raw: serde_json::Value = serde_json::from_slice(&entry.raw).unwrap();
        assert_eq!(raw, serde_json::json!({"from": 7, "to": 9, "lake": "file:///lake"}));
        let refused = RefusedLedgers::one(12, "no ledger", RefusedFor::Content);
        assert_eq!(reports.note_refused(&refused).source, "lake");
        let figures = state(&reports).figures;
        assert_eq!((figures.refused, figures.chain_breaks), (4, 1));
        assert_eq!(figures.last_refused, Some((12, "no ledger".to_owned())));
    }

    #[test]
    fn a_replica_that_follows_shows_no_fault_of_its_own_readings() {
        let (reports, at) = (reports(), chrono::DateTime::UNIX_EPOCH);
        let range = LedgerRange { from: 5, to: 9, from_time: UnixSeconds(0), to_time: UnixSeconds(9) };
        reports.note_stored(range, 5);
        reports.note_chain(Some((5, UnixSeconds(0))));
        reports.note_behind(true);
        reports.note_failure(LakeUse::Recent, &LakeError::NoManifest);
        reports.note_failure(LakeUse::History, &LakeError::NoManifest);
        let differs = HashCheck::Differs { ledger: 7, at };
        reports.note_hash_check(differs);
        reports.note_new_hash_check(differs);
        reports.forget();
        assert_eq!((state(&reports).fault(), reports.is_contradicted()), (None, false));
        assert_eq!(reports.chain_from(), None);
        assert_eq!((state(&reports).figures.ledgers, state(&reports).hash_check), (5, differs));
    }

    #[test]
    fn a_comparison_that_was_not_made_hides_no_earlier_one() {
        let (reports, at) = (reports(), chrono::DateTime::UNIX_EPOCH);
        let differs = HashCheck::Differs { ledger: 7, at };
        reports.note_hash_check(differs);
        reports.note_new_hash_check(differs);
        reports.note_hash_check(HashCheck::Unchecked);
        reports.note_new_hash_check(HashCheck::Unchecked);
        assert_eq!((state(&reports).hash_check, reports.is_contradicted()), (differs, true));
        reports.note_new_hash_check(HashCheck::Agrees { ledger: 8, at });
        assert!(!reports.is_contradicted());
    }
}
