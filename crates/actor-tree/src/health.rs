//! Report of success or failure.

use chrono::{DateTime, Utc};

/// Last report of a part: it works, or fails since a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// True if the part works.
    pub ok: bool,
    /// Current work, or the reason of the failure: a short text without secrets. It may contain text of strangers:
    /// strip hidden characters before showing it.
    pub detail: String,
    /// Time of this report if `ok`, else the start of the fault.
    pub at: DateTime<Utc>,
}

impl Health {
    /// Report of a success at `now`.
    #[must_use]
    pub fn succeeded(detail: impl Into<String>, now: DateTime<Utc>) -> Self {
        Self { ok: true, detail: detail.into(), at: now }
    }

    /// Report of a failure at `now`. A continuing fault keeps the time when it began, which `last` has.
    #[must_use]
    pub fn failed(last: Option<&Self>, detail: impl Into<String>, now: DateTime<Utc>) -> Self {
        let since = last.filter(|last| !last.ok).map_or(now, |last| last.at);
        Self { ok: false, detail: detail.into(), at: since }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_keeps_the_time_when_it_began() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let mut last = None;
        for (ok, now, since) in [(true, 1, 1), (true, 2, 2), (false, 3, 3), (false, 4, 3), (true, 5, 5)] {
            let report = match ok {
                true => Health::succeeded("", at(now)),
                false => Health::failed(last.as_ref(), "", at(now)),
            };
            assert_eq!((report.ok, report.at), (ok, at(since)));
            last = Some(report);
        }
    }
}
