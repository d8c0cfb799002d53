//! Changes of the last publications, for readers that follow them live.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use bytes::Bytes;
use ticker_formats::listings::live::Lines;
use tokio::sync::watch;

use crate::domain::{changes::Changes, instant::UnixSeconds};

/// Publications whose changes are kept: two minutes of them at one a second.
const KEPT: usize = 120;

/// Changes of one publication against the one before.
#[derive(Debug)]
pub struct Change {
    /// Number in this process, from 1.
    pub number: u64,
    /// Last batch of the publication before; none for the first of the process.
    pub after: Option<i64>,
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
    pub(super) fn push(&self, seq: i64, as_of: UnixSeconds, changes: Changes) {
        let number = {
            let mut kept = self.kept();
            let last = kept.back();
            let number = last.map_or(0, |last| last.number).saturating_add(1);
            let after = last.map(|last| last.seq);
            // A publication that went back follows nothing: the windows were loaded again from an older database.
            let changes = if after.is_some_and(|after| seq < after) { Changes::whole() } else { changes };
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

    /// Changes after the one of this number, the oldest first; none if some of them are not kept any more.
    #[must_use]
    pub fn after(&self, number: u64) -> Option<Vec<Arc<Change>>> {
        let kept = self.kept();
        let oldest = kept.front().map_or(1, |oldest| oldest.number);
        if oldest > number.saturating_add(1) {
            return None;
        }
        Some(kept.iter().filter(|change| change.number > number).cloned().collect())
    }

    /// Number of the change after which a reader continues that has everything up to the batch `seq`; none if changes
    /// in between are not kept, or were too many to be listed.
    #[must_use]
    pub fn resume_after(&self, seq: i64) -> Option<u64> {
        let kept = self.kept();
        let is_later =
            |change: &&Arc<Change>| change.seq > seq || (change.seq == seq && change.after == Some(seq));
        let Some(first) = kept.iter().find(is_later) else {
            // Everything was sent; or this replica is behind, or the database was restored.
            return kept.back().filter(|last| last.seq == seq).map(|last| last.number);
        };
        let follows = first.after.is_some_and(|after| after <= seq);
        let is_listed = kept.iter().all(|change| change.number < first.number || !change.changes.is_whole);
        (follows && is_listed).then(|| first.number.saturating_sub(1))
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Arc<Change>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recent(seqs: impl IntoIterator<Item = i64>) -> Recent {
        let recent = Recent::default();
        seqs.into_iter().for_each(|seq| recent.push(seq, UnixSeconds(seq), Changes::default()));
        recent
    }

    #[test]
    fn a_reader_gets_each_change_once_and_learns_if_some_are_gone() {
        let recent = recent(1..=130);
        assert_eq!(recent.newest(), 130);
        let numbers: Vec<u64> = recent.after(127).unwrap().iter().map(|change| change.number).collect();
        assert_eq!(numbers, [128, 129, 130]);
        assert!(recent.after(10).is_some() && recent.after(9).is_none());
    }

    #[test]
    fn a_reader_resumes_after_any_batch_that_the_kept_changes_reach() {
        let recent = recent([5, 5, 9, 12]);
        assert_eq!(recent.resume_after(4), None, "nothing is known before the first");
        // The second publication of batch 5 is sent again: its windows are later than those of the first.
        assert_eq!(recent.resume_after(5), Some(1));
        // A batch in the middle of a publication: the whole publication is sent.
        assert_eq!(recent.resume_after(7), Some(2));
        assert_eq!(recent.resume_after(12), Some(4), "it has everything");
        assert_eq!(recent.resume_after(13), None, "this replica is behind, or the database was restored");
    }

    #[test]
    fn nobody_resumes_across_a_change_of_everything() {
        let recent = recent([5, 6]);
        recent.push(7, UnixSeconds(7), Changes::whole());
        recent.push(8, UnixSeconds(8), Changes::default());
        assert_eq!(recent.resume_after(6), None);
        assert_eq!((recent.resume_after(7), recent.resume_after(8)), (Some(3), Some(4)));
        recent.push(3, UnixSeconds(9), Changes::default());
        assert!(recent.after(4).unwrap()[0].changes.is_whole, "it went back");
    }
}
