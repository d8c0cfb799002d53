//! The kernel's accounts of a thread: the part of an interval that it could use.
//!
//! A thread that waits for a core, or for its memory to be read from swap, is slow through no fault of its own. Linux
//! keeps both figures under `/proc`; reading them costs microseconds and never blocks. On other systems, or if `/proc`
//! is hidden, a thread counts as having had all of its time.

use std::{fs, path::PathBuf, time::Duration};

/// Paths of the accounts of one thread.
#[derive(Debug)]
pub(crate) struct ThreadAccounts(PathBuf);

/// Accounts of a thread at one moment. Times and counts are totals since the thread began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ThreadSample {
    /// Time on a core.
    pub ran: Duration,
    /// Time ready to run but waiting for a core.
    pub waited: Duration,
    /// Page faults that read from a disk.
    pub major_faults: u64,
    /// True if it runs or waits for a core at this moment; false if it sleeps.
    pub is_runnable: bool,
}

impl ThreadAccounts {
    /// Returns the accounts of the calling thread; none if the system has none.
    #[must_use]
    pub(crate) fn of_this_thread() -> Option<Self> {
        // `/proc/thread-self` links to `PID/task/TID`. Only the thread itself can resolve it.
        let link = fs::read_link("/proc/thread-self").ok()?;
        Some(Self(PathBuf::from("/proc").join(link)))
    }

    /// Reads the accounts; none if that fails.
    #[must_use]
    pub(crate) fn sample(&self) -> Option<ThreadSample> {
        let read = |name: &str| fs::read_to_string(self.0.join(name)).ok();
        parse(&read("stat")?, &read("schedstat")?)
    }
}

/// Parses `stat`, as in proc(5), and `schedstat`: nanoseconds on a core, nanoseconds waiting for one, a count.
fn parse(stat: &str, schedstat: &str) -> Option<ThreadSample> {
    // The second field, the name in brackets, may contain blanks and brackets. After it come the state (field 3)
    // and eight numbers before `majflt` (field 12).
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    let major_faults = fields.nth(8)?.parse().ok()?;
    let mut times = schedstat.split_ascii_whitespace().map(|field| field.parse().map(Duration::from_nanos));
    let (ran, waited) = (times.next()?.ok()?, times.next()?.ok()?);
    Some(ThreadSample { ran, waited, major_faults, is_runnable: state == "R" })
}

/// Returns the part of an interval of `wall` that a thread could use, from its accounts at both ends.
#[must_use]
pub(crate) fn usable(before: Option<ThreadSample>, after: Option<ThreadSample>, wall: Duration) -> Duration {
    let (Some(before), Some(after)) = (before, after) else { return wall };
    if after.major_faults != before.major_faults {
        return Duration::ZERO; // it waited for its memory to be read from a disk
    }
    if after.is_runnable {
        // The kernel books a wait when it ends, so a wait that still lasts is not in `waited` yet. Time on a core is
        // booked as it passes, without the time that a hypervisor took.
        return after.ran.saturating_sub(before.ran).min(wall);
    }
    wall.saturating_sub(after.waited.saturating_sub(before.waited))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Duration = Duration::from_secs(2);

    fn sample(ran_ms: u64, waited_ms: u64, major_faults: u64, is_runnable: bool) -> Option<ThreadSample> {
        let (ran, waited) = (Duration::from_millis(ran_ms), Duration::from_millis(waited_ms));
        Some(ThreadSample { ran, waited, major_faults, is_runnable })
    }

    #[test]
    fn reads_the_accounts_whatever_the_threads_name() {
        let stat = "37 (arbiter) R (x) S 1 37 37 0 -1 4194304 1500 0 21 0 12 3 0 0 20 0 1 0 100 1 1";
        let expected = sample(1_234, 5_678, 21, false);
        assert_eq!(parse(stat, "1234000000 5678000000 90\n"), expected);
    }

    #[test]
    fn accounts_of_another_form_are_none() {
        for (stat, schedstat) in [("", ""), ("1 (x) R 1", "1 2 3"), ("1 (x) R 1 2 3 4 5 6 7 8 9", "0")] {
            assert_eq!(parse(stat, schedstat), None, "{stat} {schedstat}");
        }
    }

    #[test]
    fn a_thread_that_sleeps_could_use_what_it_did_not_wait_for() {
        assert_eq!(usable(sample(0, 0, 0, false), sample(0, 0, 0, false), WALL), WALL);
        let used = usable(sample(100, 100, 0, false), sample(200, 1_600, 0, false), WALL);
        assert_eq!(used, Duration::from_millis(500));
    }

    #[test]
    fn a_thread_that_is_ready_to_run_could_use_what_it_ran() {
        let starved = usable(sample(100, 100, 0, false), sample(100, 100, 0, true), WALL);
        assert_eq!(starved, Duration::ZERO, "it waits for a core, and the kernel has not booked that yet");
        let third = usable(sample(100, 100, 0, true), sample(766, 1_434, 0, true), WALL);
        assert_eq!(third, Duration::from_millis(666));
        let spinning = usable(sample(100, 100, 0, true), sample(2_150, 100, 0, true), WALL);
        assert_eq!(spinning, WALL);
    }

    #[test]
    fn a_thread_whose_memory_comes_from_a_disk_could_use_nothing() {
        assert_eq!(usable(sample(0, 0, 3, false), sample(0, 0, 4, false), WALL), Duration::ZERO);
    }

    #[test]
    fn where_the_system_tells_nothing_a_thread_could_use_everything() {
        assert_eq!(usable(None, sample(0, 0, 0, true), WALL), WALL);
        assert_eq!(usable(sample(0, 0, 0, true), None, WALL), WALL);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_that_works_is_seen_to_run() {
        let accounts = ThreadAccounts::of_this_thread().unwrap();
        let before = accounts.sample().unwrap();
        let mut after = before;
        while after.ran < before.ran + Duration::from_millis(20) {
            after = accounts.sample().unwrap();
        }
        assert!(after.is_runnable, "{after:?}");
    }
}
