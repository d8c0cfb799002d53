//! Changes of the last publications, for readers that follow them live.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use bytes::Bytes;
use ticker_formats::listings::live::Lines;
use tokio::sync::watch;

use crate::domain::{changes::Changes, conversions::SaturatingFrom, instant::UnixSeconds};

/// Publications whose changes are kept: two minutes of them at one a second.
const KEPT: usize = 120;

/// Changes of one publication against the one before.
#[derive(Debug)]
pub struct Change {
    /// Number in this process, from 1.
    pub number: u64,
    /// Last batch and time of the publication before; none for the first of the process.
    pub after: Option<(i64, UnixSeconds)>,
    /// Last batch of the publication.
    pub seq: i64,
    /// Time of its windows.
    pub as_of: UnixSeconds,
    /// Markets and trades.
    pub changes: Changes,
    /// Rendered on first use: most of the time nobody follows.
    pub lines: OnceLock<Arc<Lines>>,
    /// Events for readers without a filter, who share these bytes.
    pub events: OnceLock<Bytes>,
}

/// The last changes. Anyone may wait for the next one.
#[derive(Debug)]
pub struct Recent {
    kept: Mutex<VecDeque<Arc<Change>>>,
    /// Number of the newest change; 0 before the first.
    newest: watch::Sender<u64>,
}

impl Default for Recent {
    fn default() -> Self {
        Self { kept: Mutex::default(), newest: watch::Sender::new(0) }
    }
}

impl Recent {
    /// Adds the changes of a new publication, and wakes those that wait.
    pub fn push(&self, seq: i64, as_of: UnixSeconds, changes: Changes) {
        let number = {
            let mut kept = self.kept();
            let last = kept.back();
            let number = last.map_or(0, |last| last.number).saturating_add(1);
            let after = last.map(|last| (last.seq, last.as_of));
            // A publication that went back follows nothing: the windows were loaded again from an older database.
            let changes =
                if after.is_some_and(|(after, _)| seq < after) { Changes::whole() } else { changes };
            let (lines, events) = (OnceLock::new(), OnceLock::new());
            kept.push_back(Arc::new(Change { number, after, seq, as_of, changes, lines, events }));
            if kept.len() > KEPT {
                kept.pop_front();
            }
            number
        };
        self.newest.send_replace(number);
    }

    /// Returns a receiver of the number of the newest change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Number of the newest change; 0 before the first.
    #[must_use]
    pub fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    /// Newest change; none before the first.
    #[must_use]
    pub fn last(&self) -> Option<Arc<Change>> {
        self.kept().back().cloned()
    }

    /// Change after the one with this number. `Some(None)` if there is none yet, `None` if it was dropped.
    #[must_use]
    pub fn next(&self, number: u64) -> Option<Option<Arc<Change>>> {
        let kept = self.kept();
        let Some(oldest) = kept.front() else { return Some(None) };
        let place = number.saturating_add(1).checked_sub(oldest.number)?;
        Some(kept.get(usize::saturating_from(place)).cloned())
    }

    /// Number of the change after which a reader continues that has the publication of `seq` and `as_of`, made by this
    /// process or by another one. None if changes in between are not kept, or were too many to be listed.
    #[must_use]
    pub fn resume_after(&self, seq: i64, as_of: UnixSeconds) -> Option<u64> {
        let kept = self.kept();
        // If its batch is later, this replica is behind, or the database was restored.
        let last = kept.back().filter(|last| seq <= last.seq)?;
        let has = |(other_seq, other_as_of): (i64, UnixSeconds)| other_seq <= seq && other_as_of <= as_of;
        let Some(first) = kept.iter().find(|change| !has((change.seq, change.as_of))) else {
            return Some(last.number); // everything was sent
        };
        let is_listed = kept.iter().all(|change| change.number < first.number || !change.changes.is_whole);
        (first.after.is_some_and(has) && is_listed).then(|| first.number.saturating_sub(1))
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Arc<Change>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recent(publications: impl IntoIterator<Item = (i64, i64)>) -> Recent {
        let recent = Recent::default();
        let changes = Changes::default();
        publications
            .into_iter()
            .for_each(|(seq, as_of)| recent.push(seq, UnixSeconds(as_of), changes.clone()));
        recent
    }

    fn resumed(recent: &Recent, ids: impl IntoIterator<Item = (i64, i64)>) -> Vec<Option<u64>> {
        ids.into_iter().map(|(seq, as_of)| recent.resume_after(seq, UnixSeconds(as_of))).collect()
    }

    #[test]
    fn a_reader_gets_each_change_once_and_learns_if_some_are_gone() {
        let recent = recent((1..=130).map(|seq| (seq, seq)));
        assert_eq!((recent.newest(), recent.last().unwrap().number), (130, 130));
        let number = |after| recent.next(after).map(|change| change.map(|change| change.number));
        assert_eq!(
            [number(127), number(129), number(10)],
            [Some(Some(128)), Some(Some(130)), Some(Some(11))]
        );
        assert_eq!([number(130), number(9)], [Some(None), None]);
    }

    #[test]
    fn a_reader_resumes_after_any_publication_that_the_kept_changes_follow() {
        let recent = recent([(5, 50), (5, 51), (9, 52), (12, 53)]);
        let before = [(4, 49), (5, 49)];
        assert_eq!(resumed(&recent, before), [None, None], "nothing is known before the first");
        // The second publication of batch 5 is sent: its windows are later.
        assert_eq!(resumed(&recent, [(5, 50), (5, 51), (5, 55)]), [Some(1), Some(2), Some(2)]);
        // A batch in the middle of a publication, made by another replica: the whole publication is sent.
        assert_eq!(resumed(&recent, [(7, 51), (7, 52), (12, 52)]), [Some(2), Some(2), Some(3)]);
        assert_eq!(resumed(&recent, [(12, 53), (12, 60)]), [Some(4), Some(4)], "it has everything");
        assert_eq!(
            resumed(&recent, [(13, 53), (13, 51), (i64::MAX, 52)]),
            [None, None, None],
            "this replica is behind, or the database was restored"
        );
    }

    #[test]
    fn nobody_resumes_before_a_publication_that_is_not_kept() {
        // The network was quiet: all publications are of one batch.
        let recent = recent((0..=120).map(|second| (5, second)));
        assert_eq!(resumed(&recent, [(5, 0), (5, 1)]), [Some(1), Some(2)]);
        let recent = self::recent((0..=121).map(|second| (5, second)));
        assert_eq!(resumed(&recent, [(5, 0), (5, 1)]), [None, Some(2)]);
    }

    #[test]
    fn nobody_resumes_across_a_change_of_everything() {
        let recent = recent([(5, 5), (6, 6)]);
        recent.push(7, UnixSeconds(7), Changes::whole());
        recent.push(8, UnixSeconds(8), Changes::default());
        assert_eq!(resumed(&recent, [(6, 6), (7, 7), (8, 8)]), [None, Some(3), Some(4)]);
        recent.push(3, UnixSeconds(9), Changes::default());
        assert!(recent.next(4).unwrap().unwrap().changes.is_whole, "it went back");
    }
}
