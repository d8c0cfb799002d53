//! Limits on log lines: about a failure that lasts, and about input that strangers can send without end. Pure: callers
//! pass the instants.

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Interval between two log lines about the same lasting failure.
const REPEAT_EVERY: Duration = Duration::from_secs(60);
/// Log lines per [`REPEAT_EVERY`] for one failure, however often its text changes or it starts again. The text may come
/// from a stranger.
const CHANGES_MAX: u32 = 6;

/// A token bucket of log lines: a burst of `lines_max`, refilled at `per_second`.
#[derive(Debug)]
pub struct LineLimit {
    lines_max: f64,
    per_second: f64,
    /// Lines that may be written now. [`Self::allow`] refills and spends them.
    lines: f64,
    refilled_at: Option<Instant>,
    /// Lines suppressed since the last one that was allowed.
    left_out: u64,
}

impl LineLimit {
    /// Creates a limit of `lines` per `within`.
    #[must_use]
    pub fn new(lines: u32, within: Duration) -> Self {
        let lines_max = f64::from(lines);
        let per_second = lines_max / within.as_secs_f64().max(f64::MIN_POSITIVE);
        Self { lines_max, per_second, lines: lines_max, refilled_at: None, left_out: 0 }
    }

    /// Returns the number of suppressed lines since the last allowed one if a line may be written now, otherwise none.
    pub fn allow(&mut self, now: Instant) -> Option<u64> {
        let last = self.refilled_at.replace(now).unwrap_or(now);
        let passed = now.saturating_duration_since(last).as_secs_f64();
        self.lines = (self.lines + passed * self.per_second).min(self.lines_max);
        if self.lines < 1.0 {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.lines -= 1.0;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// The last logged failure of an operation that is retried.
#[derive(Debug)]
pub struct FailureLog {
    /// Text of the last logged failure and the time of its log line; none after a success.
    logged: Option<(String, Instant)>,
    lines: LineLimit,
}

impl Default for FailureLog {
    fn default() -> Self {
        Self { logged: None, lines: LineLimit::new(CHANGES_MAX, REPEAT_EVERY) }
    }
}

impl FailureLog {
    /// Records a failure. Returns true if it deserves a log line: it is the first, its text changed, or a minute
    /// passed.
    pub fn record_failure(&mut self, error: &dyn Display, now: Instant) -> bool {
        let error = error.to_string();
        let is_known = self.logged.as_ref().is_some_and(|(logged, at)| {
            *logged == error && now.saturating_duration_since(*at) < REPEAT_EVERY
        });
        if is_known || self.lines.allow(now).is_none() {
            return false;
        }
        self.logged = Some((error, now));
        true
    }

    /// Records a success. Returns true if a failure had been logged, so that the recovery deserves a line too.
    pub fn record_success(&mut self) -> bool {
        self.logged.take().is_some()
    }
}

/// A failure that several parts of the program see, logged once for all of them.
#[derive(Debug, Default)]
pub struct SharedFailureLog(Mutex<FailureLog>);

impl SharedFailureLog {
    /// Records a failure. Returns true if it deserves a log line. The text is ignored: each part words it differently.
    pub fn record_failure(&self, now: Instant) -> bool {
        self.log().record_failure(&"", now)
    }

    /// Records a success. Returns true if a failure had been logged, so that the recovery deserves a line too.
    pub fn record_success(&self) -> bool {
        self.log().record_success()
    }

    fn log(&self) -> MutexGuard<'_, FailureLog> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A [`FailureLog`] for each kind of work, shared by several parts of the program.
#[derive(Debug, Default)]
pub struct FailureLogs(Mutex<BTreeMap<&'static str, FailureLog>>);

impl FailureLogs {
    /// Records a failure of this work; see [`FailureLog::record_failure`].
    pub fn record_failure(&self, doing: &'static str, error: &dyn Display, now: Instant) -> bool {
        self.logs().entry(doing).or_default().record_failure(error, now)
    }

    /// Records a success of this work; see [`FailureLog::record_success`].
    pub fn record_success(&self, doing: &'static str) -> bool {
        self.logs().get_mut(doing).is_some_and(FailureLog::record_success)
    }

    fn logs(&self) -> MutexGuard<'_, BTreeMap<&'static str, FailureLog>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A [`LineLimit`] that several threads share.
#[derive(Debug)]
pub struct SharedLimit(Mutex<LineLimit>);

impl SharedLimit {
    /// Creates a limit of `lines` per `within`.
    #[must_use]
    pub fn new(lines: u32, within: Duration) -> Self {
        Self(Mutex::new(LineLimit::new(lines, within)))
    }

    /// Spends a line; see [`LineLimit::allow`].
    pub fn allow(&self, now: Instant) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).allow(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_logged_when_it_begins_changes_or_lasts_a_minute() {
        let (mut log, start) = (FailureLog::default(), Instant::now());
        assert!(!log.record_success());
        for (seconds, error, news) in [
            (0, "away", true),
            (1, "away", false),
            (59, "away", false),
            (60, "away", true),
            (61, "read-only", true),
        ] {
            assert_eq!(
                log.record_failure(&error, start + Duration::from_secs(seconds)),
                news,
                "{seconds} {error}"
            );
        }
        assert!(log.record_success() && !log.record_success());
        assert!(log.record_failure(&"read-only", start + Duration::from_secs(62)), "it begins again");
    }

    #[test]
    fn a_failure_that_always_changes_or_flaps_is_logged_a_few_times_a_minute() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let (mut changing, mut flapping) = (FailureLog::default(), FailureLog::default());
        let changes =
            (0..60_000).filter(|millis| changing.record_failure(&format!("{millis}"), at(*millis))).count();
        let begins = (0..60_000)
            .filter(|millis| {
                let news = flapping.record_failure(&"away", at(*millis));
                flapping.record_success();
                news
            })
            .count();
        for logged in [changes, begins] {
            assert!((6..=12).contains(&logged), "{logged}");
        }
    }

    #[test]
    fn a_limit_counts_what_it_leaves_out() {
        let (mut limit, start) = (LineLimit::new(2, Duration::from_secs(20)), Instant::now());
        let mut allowed = |seconds| limit.allow(start + Duration::from_secs(seconds));
        assert_eq!([allowed(0), allowed(0), allowed(0), allowed(5)], [Some(0), Some(0), None, None]);
        assert_eq!([allowed(10), allowed(10)], [Some(2), None]);
        assert_eq!([allowed(3_600), allowed(3_600), allowed(3_600)], [Some(1), Some(0), None]);
    }

    #[test]
    fn failures_of_different_work_are_logged_apart() {
        let (logs, start) = (FailureLogs::default(), Instant::now());
        let mut at = 0;
        let mut logged = |doing| {
            at += 1;
            logs.record_failure(doing, &"no such column", start + Duration::from_millis(at * 500))
        };
        assert_eq!([logged("reading"), logged("reading"), logged("storing")], [true, false, true]);
        assert_eq!((0..100).filter(|_| logged("reading")).count(), 0);
        assert!(!logs.record_success("cleaning") && logs.record_success("storing"));
        assert!(logs.record_success("reading") && !logs.record_success("reading"));
    }

    #[test]
    fn a_shared_failure_is_logged_once_whatever_its_text() {
        let (log, start) = (SharedFailureLog::default(), Instant::now());
        assert!(log.record_failure(start) && !log.record_failure(start));
        assert!(log.record_success() && !log.record_success());
    }
}
