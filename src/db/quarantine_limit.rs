//! Limit on the bytes that go to quarantine. A broken or hostile Horizon can send endless invalid records.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use super::quarantine_entry::{QuarantineEntry, RAW_BYTES_MAX};
use crate::domain::conversions::{Integer, SaturatingFrom};

/// Bytes stored per hour: some ten thousand records, enough to find out what is wrong with them.
const BYTES_AN_HOUR: f64 = 16.0 * 1024.0 * 1024.0;
/// Capacity of the bucket, the bytes that may be stored in one burst.
const BYTES_AT_ONCE: f64 = BYTES_AN_HOUR;
/// Size of an entry without its record and its reason: the row and its entries in two indexes.
const ENTRY_BYTES: usize = 256;
const SECONDS_AN_HOUR: f64 = 3_600.0;

/// The limit, a token bucket of bytes that all writers share.
#[derive(Debug, Default)]
pub(super) struct QuarantineLimit {
    bucket: Mutex<Bucket>,
    left_out: AtomicU64,
}

#[derive(Debug)]
struct Bucket {
    bytes: f64,
    refilled_at: Option<Instant>,
}

impl Default for Bucket {
    fn default() -> Self {
        Self { bytes: BYTES_AT_ONCE, refilled_at: None }
    }
}

impl Bucket {
    /// Takes bytes from the bucket. Returns false and takes nothing if it holds less.
    fn take(&mut self, bytes: usize, now: Instant) -> bool {
        let last = self.refilled_at.replace(now).unwrap_or(now);
        let passed = now.saturating_duration_since(last).as_secs_f64();
        self.bytes = (self.bytes + passed * BYTES_AN_HOUR / SECONDS_AN_HOUR).min(BYTES_AT_ONCE);
        let wanted = bytes.to_f64();
        let fits = wanted <= self.bytes;
        if fits {
            self.bytes -= wanted;
        }
        fits
    }

    fn give_back(&mut self, bytes: usize) {
        self.bytes = (self.bytes + bytes.to_f64()).min(BYTES_AT_ONCE);
    }
}

/// Entries that fit the limit. Dropping this returns the unused bytes to the bucket.
pub(super) struct Fitting<'a> {
    limit: &'a QuarantineLimit,
    pub(super) entries: Vec<QuarantineEntry>,
    /// Number of entries that did not fit.
    left_out: u64,
    /// Bytes taken for entries that are not stored yet.
    unused: usize,
}

impl Fitting<'_> {
    /// Records that `count` of the entries were stored and the others existed before. Returns the number that did not
    /// fit.
    pub(super) fn kept(mut self, count: usize) -> u64 {
        let each = self.unused.checked_div(self.entries.len()).unwrap_or_default();
        self.unused = self.unused.saturating_sub(each.saturating_mul(count));
        self.limit.left_out.fetch_add(self.left_out, Ordering::Relaxed);
        self.left_out
    }
}

impl Drop for Fitting<'_> {
    fn drop(&mut self) {
        self.limit.bucket().give_back(self.unused);
    }
}

impl QuarantineLimit {
    /// Takes the bytes of those entries that fit.
    pub(super) fn fitting(&self, entries: Vec<QuarantineEntry>, now: Instant) -> Fitting<'_> {
        let mut bucket = self.bucket();
        let count = entries.len();
        let entries: Vec<QuarantineEntry> =
            entries.into_iter().filter(|entry| bucket.take(bytes_of(entry), now)).collect();
        let left_out = u64::saturating_from(count.saturating_sub(entries.len()));
        let unused = entries.iter().map(bytes_of).sum();
        Fitting { limit: self, entries, left_out, unused }
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of records that did not fit since the start.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }
}

/// Returns the stored size of an entry.
fn bytes_of(entry: &QuarantineEntry) -> usize {
    let kept = entry.raw.len().min(RAW_BYTES_MAX);
    kept.saturating_add(entry.reason.len()).saturating_add(ENTRY_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::time::Duration;

    fn entries(count: usize, bytes: usize) -> Vec<QuarantineEntry> {
        let raw = Bytes::from(vec![b'x'; bytes - ENTRY_BYTES]);
        let entry = QuarantineEntry { source: "stream", token: None, reason: String::new(), raw };
        vec![entry; count]
    }

    #[test]
    fn bytes_beyond_the_hourly_limit_are_counted_and_left_out() {
        let (limit, start) = (QuarantineLimit::default(), Instant::now());
        let kept = |count, seconds| {
            let fitting = limit.fitting(entries(count, 1_024), start + Duration::from_secs(seconds));
            let fits = fitting.entries.len();
            (fits, fitting.kept(fits))
        };
        assert_eq!(kept(17 * 1_024, 0), (16 * 1_024, 1_024));
        assert_eq!(kept(1, 0), (0, 1));
        assert_eq!(kept(17 * 1_024, 1_800), (8 * 1_024, 9 * 1_024));
        assert_eq!(limit.left_out(), 10 * 1_024 + 1);
    }

    #[test]
    fn repeats_and_batches_that_fail_use_up_nothing() {
        let (limit, start) = (QuarantineLimit::default(), Instant::now());
        for _ in 0..100 {
            assert_eq!(limit.fitting(entries(1_024, 1_024), start).kept(0), 0, "all existed before");
            drop(limit.fitting(entries(1_024, 1_024), start));
        }
        assert_eq!(limit.fitting(entries(16 * 1_024, 1_024), start).kept(16 * 1_024), 0);
        assert_eq!(limit.fitting(entries(1, 1_024), start).kept(0), 1);
    }
}
