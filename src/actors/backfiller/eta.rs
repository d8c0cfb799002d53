//! Estimate of the remaining time of filling history. Pure: callers pass the instants.

use std::time::{Duration, Instant};

/// Shortest measurement before an estimate is given.
const MEASURED_FOR_MIN: Duration = Duration::from_secs(15);
/// Fewest batches before an estimate is given. One large batch says little about the pace.
const STEPS_MIN: u32 = 8;

/// Growth of the estimate that counts as noise: this part of it …
const NOISE_PART: f64 = 0.25;
/// … plus this many seconds. Ledgers come in batches and are counted once a second, so the measured pace varies.
const NOISE_S: f64 = 10.0;

/// Numbers of missing ledgers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// In the last 24 hours.
    pub(super) day: u32,
    /// Older ones that are wanted.
    pub(super) older: u32,
}

/// Shares of the request budget that history has while it reads the last day, and while it reads older ledgers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    pub(super) day: f64,
    pub(super) older: f64,
}

/// Estimator of the remaining time, from the pace since the burst of the request budget was spent.
///
/// Work is counted in ledgers divided by the share of the budget. The last day is read with a larger share than older
/// ledgers, so ledgers per second drop there while work per second does not.
#[derive(Debug)]
pub(super) struct Eta {
    shares: Shares,
    measured: Option<Measured>,
    /// Last estimate; none before enough was measured.
    estimate: Option<Estimate>,
}

#[derive(Clone, Copy, Debug)]
struct Estimate {
    /// Remaining time when it was made.
    seconds: f64,
    /// Time when it was made.
    at: Instant,
    /// True if it does not count down, because the measured pace says that more is left.
    is_frozen: bool,
}

#[derive(Debug)]
struct Measured {
    /// Start of the measurement.
    since: Instant,
    /// Time of the last progress.
    until: Instant,
    /// Held ledgers at that time.
    held: u32,
    /// Work done since `since`, in ledgers per share of the budget.
    work: f64,
    /// Batches since `since`.
    steps: u32,
}

impl Eta {
    pub(super) const fn new(shares: Shares) -> Self {
        Self { shares, measured: None, estimate: None }
    }

    /// Records the numbers of held and missing ledgers. `in_burst`: requests go as fast as the server answers. That
    /// pace lasts for a hundred pages only, so it is not measured.
    pub(super) fn update(&mut self, held: u32, left: Left, in_burst: bool, now: Instant) {
        if in_burst {
            return;
        }
        let before = self.seconds(now);
        let measured =
            self.measured.get_or_insert(Measured { since: now, until: now, held, work: 0.0, steps: 0 });
        let gained = held.saturating_sub(measured.held);
        measured.held = held;
        if gained == 0 {
            return; // ledgers come in batches: the pace between two of them says nothing
        }
        if measured.steps == 0 {
            // The start of the first batch is unknown, so it only starts the measurement.
            (measured.since, measured.until, measured.steps) = (now, now, 1);
            return;
        }
        let share = if left.day > 0 { self.shares.day } else { self.shares.older };
        measured.work += f64::from(gained) / share;
        measured.steps = measured.steps.saturating_add(1);
        measured.until = now;
        let took = measured.until.saturating_duration_since(measured.since);
        if took >= MEASURED_FOR_MIN && measured.steps >= STEPS_MIN {
            let left = f64::from(left.day) / self.shares.day + f64::from(left.older) / self.shares.older;
            let seconds = left * took.as_secs_f64() / measured.work;
            // An estimate that grew within the noise stays where it was, so that readers do not see it jump.
            let frozen = before
                .filter(|before| seconds > *before && seconds <= before * (1.0 + NOISE_PART) + NOISE_S)
                .map(|seconds| Estimate { seconds, at: now, is_frozen: true });
            self.estimate = Some(frozen.unwrap_or(Estimate { seconds, at: now, is_frozen: false }));
        }
    }

    /// Returns the seconds until everything is held; none while the pace is unknown.
    pub(super) fn seconds(&self, now: Instant) -> Option<f64> {
        let Estimate { seconds, at, is_frozen } = self.estimate?;
        if is_frozen {
            return Some(seconds);
        }
        let measured = self.measured.as_ref()?;
        let took = measured.until.saturating_duration_since(measured.since);
        // The estimate counts down between batches. If no batch comes for much longer than usual, it stops.
        let between = took.checked_div(measured.steps).unwrap_or_default().saturating_mul(2);
        let passed = now.saturating_duration_since(at).min(between);
        Some((seconds - passed.as_secs_f64()).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: Shares = Shares { day: 0.9, older: 0.5 };
    /// Ledgers a page, of 100 trades each.
    const PAGE: u32 = 2;

    /// Simulates filling from an even server. Returns the estimate and the true remaining time, once a second.
    fn filling(mut left: Left, burst: u32, a_second: f64) -> Vec<(Option<f64>, f64)> {
        let begun = Instant::now();
        let at = |seconds: f64| begun + Duration::from_secs_f64(seconds);
        let (mut eta, mut held, mut passed) = (Eta::new(PUBLIC), 10, 0.0);
        let mut estimates: Vec<(Option<f64>, f64)> = Vec::new();
        let mut pages = 0;
        let mut looked = 0.0;
        while left != Left::default() {
            pages += 1;
            let share = if left.day > 0 { PUBLIC.day } else { PUBLIC.older };
            let in_burst = pages <= burst;
            passed += if in_burst { 0.05 } else { 1.0 / (a_second * share) };
            while looked < passed {
                eta.update(held, left, in_burst, at(looked));
                estimates.push((eta.seconds(at(looked)), looked));
                looked += 1.0;
            }
            let part = if left.day > 0 { &mut left.day } else { &mut left.older };
            *part = part.saturating_sub(PAGE);
            held += PAGE;
        }
        estimates.into_iter().map(|(estimate, at)| (estimate, passed - at)).collect()
    }

    #[test]
    fn a_burst_is_not_measured_and_the_estimate_for_an_even_server_is_right() {
        let seconds = filling(Left { day: 2_000, older: 4_000 }, 80, 1.0);
        let unknown = seconds.iter().take_while(|(estimate, _)| estimate.is_none()).count();
        assert!((10..40).contains(&unknown), "unknown for {unknown} s");
        for (estimate, left) in seconds.iter().skip(unknown) {
            let estimate = estimate.unwrap();
            assert!(
                (estimate - left).abs() <= left * 0.15 + 10.0,
                "estimate {estimate:.0} s, {left:.0} s left"
            );
        }
        let later = seconds.iter().skip(unknown + 60);
        for (estimate, left) in later {
            let estimate = estimate.unwrap();
            assert!(
                (estimate - left).abs() <= left * 0.05 + 20.0,
                "estimate {estimate:.0} s, {left:.0} s left"
            );
        }
    }

    #[test]
    fn it_does_not_rise_with_an_even_server() {
        let seconds: Vec<f64> = filling(Left { day: 2_000, older: 4_000 }, 80, 1.0)
            .iter()
            .filter_map(|(estimate, _)| *estimate)
            .collect();
        for (before, after) in seconds.iter().zip(seconds.iter().skip(1)) {
            assert!(after <= before, "{after:.0} s after {before:.0} s");
        }
        assert!(seconds.len() > 3_000);
    }

    #[test]
    fn it_rises_when_the_server_becomes_slow() {
        let begun = Instant::now();
        let mut eta = Eta::new(Shares { day: 1.0, older: 1.0 });
        let (mut held, mut seconds) = (0, 0);
        let mut estimates = Vec::new();
        for pace in [1, 5] {
            for _ in 0..100 {
                (held, seconds) = (held + 1, seconds + pace);
                let now = begun + Duration::from_secs(seconds);
                eta.update(held, Left { day: 0, older: 1_000 - held }, false, now);
                estimates.extend(eta.seconds(now));
            }
        }
        assert!(
            estimates.last().unwrap() > &1_500.0 && estimates.first().unwrap() < &1_000.0,
            "{estimates:?}"
        );
    }

    #[test]
    fn it_stops_when_no_batch_comes() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut eta = Eta::new(Shares { day: 1.0, older: 1.0 });
        for step in 0..=20 {
            let held = u32::try_from(step).unwrap();
            eta.update(held, Left { day: 0, older: 100 - held }, false, at(step));
            if step > 16 {
                let half = eta.seconds(at(step) + Duration::from_millis(500)).unwrap();
                let left = 99.5 - f64::from(held);
                assert!((half - left).abs() < 1e-6, "it counts down between two batches: {half} of {left}");
            }
        }
        let seconds = |second| eta.seconds(at(second)).map(f64::round);
        assert_eq!([20, 21, 500].map(seconds), [Some(80.0), Some(79.0), Some(78.0)], "blocked");
        eta.update(20, Left { day: 0, older: 80 }, false, at(500));
        let seconds = eta.seconds(at(500)).map(f64::round);
        assert_eq!(seconds, Some(78.0), "the absence of a batch says nothing about the pace");
    }

    /// Returns the estimator after a first batch of 1,000 ledgers and one of a single ledger after each of these
    /// pauses.
    fn after_batches(pauses_ms: &[u64], left: u32) -> (Eta, Instant) {
        let mut now = Instant::now();
        let mut eta = Eta::new(Shares { day: 1.0, older: 1.0 });
        let pending = |held: u32, missing: usize| (held, u32::try_from(missing).unwrap() + left);
        let (mut held, mut older) = pending(0, pauses_ms.len());
        eta.update(held, Left { day: 0, older: older + 1_000 }, false, now);
        held += 1_000;
        eta.update(held, Left { day: 0, older }, false, now);
        for pause in pauses_ms {
            now += Duration::from_millis(*pause);
            (held, older) = (held + 1, older - 1);
            eta.update(held, Left { day: 0, older }, false, now);
        }
        (eta, now)
    }

    #[test]
    fn an_estimate_needs_15_seconds_and_8_batches_and_the_first_batch_does_not_count() {
        let estimate = |pauses: &[u64]| {
            let (eta, now) = after_batches(pauses, 70);
            eta.seconds(now)
        };
        assert_eq!(estimate(&[2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 3_000]), Some(150.0));
        assert_eq!(estimate(&[2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_999]), None, "too soon");
        assert_eq!(estimate(&[2_000, 2_000, 2_000, 2_000, 2_000, 5_000]), None, "too few batches");
    }

    #[test]
    fn it_is_never_negative() {
        let (eta, now) = after_batches(&[1_000; 20], 1);
        assert_eq!(eta.seconds(now), Some(1.0));
        assert_eq!(eta.seconds(now + Duration::from_secs(60)), Some(0.0));
    }
}
