//! The newest records, bounded in number and bytes.

use std::{collections::VecDeque, sync::Arc};

use super::record::Record;

/// Most records that are kept.
pub(super) const RECORDS_MAX: usize = 20_000;
/// Most bytes that they take together.
pub(super) const BYTES_MAX: usize = 8 * 1024 * 1024;

/// Records in the order in which they ended, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Ring {
    records: VecDeque<Arc<Record>>,
    /// Bytes of `records`.
    bytes: usize,
    /// Records that had to leave.
    dropped: u64,
}

impl Ring {
    /// Adds a record. The oldest ones leave if there are too many.
    pub(super) fn push(&mut self, record: Arc<Record>) {
        self.bytes = self.bytes.saturating_add(taken(&record));
        self.records.push_back(record);
        while self.records.len() > RECORDS_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.records.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(taken(&oldest));
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// Records, the oldest first, and how many had to leave.
    pub(super) fn all(&self) -> (Vec<Arc<Record>>, u64) {
        (self.records.iter().cloned().collect(), self.dropped)
    }
}

/// Bytes of a record and its place.
fn taken(record: &Record) -> usize {
    /// The pointer in the ring and the two counts of an `Arc`.
    const PLACE: usize = 3 * size_of::<usize>();
    record.bytes().saturating_add(PLACE)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::trace::{
        context::TraceContext,
        record::{Kind, Links, Outcome},
        subject::Subject,
    };

    fn record(number: u64, links: usize) -> Arc<Record> {
        let now = Instant::now();
        let mut all = Links::default();
        (0..links).for_each(|_| all.add(TraceContext::root()));
        Arc::new(Record {
            number,
            trace: TraceContext::root(),
            links: all,
            from: "one",
            to: "other",
            kind: Kind::Message("Do"),
            subject: Subject::none().with("seq", 1).with("trades", 2).with_members("markets", 0..4),
            queued: now,
            began: Some(now),
            ended: now,
            outcome: Outcome::Done,
        })
    }

    #[test]
    fn keeps_the_newest_twenty_thousand() {
        let mut ring = Ring::default();
        (0..20_003).for_each(|number| ring.push(record(number, 0)));
        let (all, dropped) = ring.all();
        assert_eq!((all.len(), dropped), (20_000, 3));
        assert_eq!((all[0].number, all[19_999].number), (3, 20_002));
        assert!(ring.bytes <= BYTES_MAX, "{}", ring.bytes);
    }

    #[test]
    fn large_records_are_bounded_by_their_bytes() {
        let mut ring = Ring::default();
        (0..20_000).for_each(|number| ring.push(record(number, 32)));
        assert!(ring.bytes <= BYTES_MAX && ring.bytes > BYTES_MAX / 2, "{}", ring.bytes);
        assert!(ring.all().1 > 0);
    }
}
