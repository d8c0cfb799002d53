//! Estimate of the time that filling history will take. Pure: the caller passes the instants.

use std::time::{Duration, Instant};

/// Shortest measurement of the pace before an estimate is given.
const MEASURED_FOR_MIN: Duration = Duration::from_secs(15);
/// Smallest number of batches before an estimate is given: one large batch says little of a pace.
const STEPS_MIN: u32 = 8;

/// Growth of the estimate that is treated as noise, as a part of it, or in seconds below. Ledgers come in batches and are
/// counted once a second, so the measured pace varies.
const NOISE_PART: f64 = 0.25;
const NOISE_S: f64 = 10.0;

/// Ledgers that are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    /// In the last 24 hours.
    pub(super) day: u32,
    /// Older ones that are wanted.
    pub(super) older: u32,
}

/// The part of the request budget that history has while it reads each of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    pub(super) day: f64,
    pub(super) older: f64,
}

/// The remaining time, by the pace since the burst of the request budget was spent.
///
/// Work is counted in ledgers per share of the budget. The last 24 hours are read with a larger share than what is older,
/// so ledgers a second drop there, and work a second does not.
#[derive(Debug)]
pub(super) struct Eta {
    shares: Shares,
    measured: Option<Measured>,
    told: Option<Told>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    seconds: f64,
    at: Instant,
    /// It does not go down with time: the pace says that more is left.
    stands: bool,
}

#[derive(Debug)]
struct Measured {
    since: Instant,
    /// Time of the last progress.
    until: Instant,
    /// Ledgers that were held then.
    held: u32,
    work: f64,
    steps: u32,
}

impl Eta {
    pub(super) const fn new(shares: Shares) -> Self {
        Self { shares, measured: None, told: None }
    }

    /// Records the numbers of held and missing ledgers. While `in_burst`, requests go as fast as the server answers. That
    /// pace lasts for a hundred pages and does not predict the later one.
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
            return; // ledgers come in batches: between two of them the pace has not dropped
        }
        if measured.steps == 0 {
            // The start of the first batch is unknown: it only starts the clock.
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
            let stands = before
                .filter(|told| seconds > *told && seconds <= told * (1.0 + NOISE_PART) + NOISE_S)
                .map(|seconds| Told { seconds, at: now, stands: true });
            self.told = Some(stands.unwrap_or(Told { seconds, at: now, stands: false }));
        }
    }

    /// Seconds until all is held; none while the pace is not known.
    pub(super) fn seconds(&self, now: Instant) -> Option<f64> {
        let Told { seconds, at, stands } = self.told?;
        if stands {
            return Some(seconds);
        }
        let measured = self.measured.as_ref()?;
        let took = measured.until.saturating_duration_since(measured.since);
        // The estimate counts down between batches. If none comes for much longer than usual, it stands still.
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
        let mut told: Vec<(Option<f64>, f64)> = Vec::new();
        let mut pages = 0;
        let mut looked = 0.0;
        while left != Left::default() {
            pages += 1;
            let share = if left.day > 0 { PUBLIC.day } else { PUBLIC.older };
            let in_burst = pages <= burst;
            passed += if in_burst { 0.05 } else { 1.0 / (a_second * share) };
            while looked < passed {
                eta.update(held, left, in_burst, at(looked));
                told.push((eta.seconds(at(looked)), looked));
                looked += 1.0;
            }
            let part = if left.day > 0 { &mut left.day } else { &mut left.older };
            *part = part.saturating_sub(PAGE);
            held += PAGE;
        }
        told.into_iter().map(|(told, at)| (told, passed - at)).collect()
    }

    #[test]
    fn a_burst_is_not_taken_for_the_pace_and_an_even_server_is_told_truly() {
        let seconds = filling(Left { day: 2_000, older: 4_000 }, 80, 1.0);
        let unknown = seconds.iter().take_while(|(told, _)| told.is_none()).count();
        assert!((10..40).contains(&unknown), "unknown for {unknown} s");
        for (told, left) in seconds.iter().skip(unknown) {
            let told = told.unwrap();
            assert!((told - left).abs() <= left * 0.15 + 10.0, "{told:.0} s told, {left:.0} s left");
        }
        let later = seconds.iter().skip(unknown + 60);
        for (told, left) in later {
            let told = told.unwrap();
            assert!((told - left).abs() <= left * 0.05 + 20.0, "{told:.0} s told, {left:.0} s left");
        }
    }

    #[test]
    fn it_does_not_rise_where_the_server_is_even() {
        let seconds: Vec<f64> = filling(Left { day: 2_000, older: 4_000 }, 80, 1.0)
            .iter()
            .filter_map(|(told, _)| *told)
            .collect();
        for (before, told) in seconds.iter().zip(seconds.iter().skip(1)) {
            assert!(told <= before, "{told:.0} s after {before:.0} s");
        }
        assert!(seconds.len() > 3_000);
    }

    #[test]
    fn it_rises_where_the_server_becomes_slow() {
        let begun = Instant::now();
        let mut eta = Eta::new(Shares { day: 1.0, older: 1.0 });
        let (mut held, mut seconds) = (0, 0);
        let mut told = Vec::new();
        for pace in [1, 5] {
            for _ in 0..100 {
                (held, seconds) = (held + 1, seconds + pace);
                let now = begun + Duration::from_secs(seconds);
                eta.update(held, Left { day: 0, older: 1_000 - held }, false, now);
                told.extend(eta.seconds(now));
            }
        }
        assert!(told.last().unwrap() > &1_500.0 && told.first().unwrap() < &1_000.0, "{told:?}");
    }

    #[test]
    fn it_stands_still_where_nothing_comes() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut eta = Eta::new(Shares { day: 1.0, older: 1.0 });
        for step in 0..=20 {
            let held = u32::try_from(step).unwrap();
            eta.update(held, Left { day: 0, older: 100 - held }, false, at(step));
            if step > 16 {
                let half = eta.seconds(at(step) + Duration::from_millis(500)).unwrap();
                let left = 99.5 - f64::from(held);
                assert!((half - left).abs() < 1e-6, "it goes on between two batches: {half} of {left}");
            }
        }
        let told = |seconds| eta.seconds(at(seconds)).map(f64::round);
        assert_eq!([20, 21, 500].map(told), [Some(80.0), Some(79.0), Some(78.0)], "blocked");
        eta.update(20, Left { day: 0, older: 80 }, false, at(500));
        let told = eta.seconds(at(500)).map(f64::round);
        assert_eq!(told, Some(78.0), "no batch says nothing of the pace");
    }

    /// What is told after a first batch of 1,000 ledgers and one of a single ledger after each of these pauses.
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
    fn it_is_told_after_15_seconds_and_8_batches_and_the_first_batch_says_nothing_of_the_pace() {
        let told = |pauses: &[u64]| {
            let (eta, now) = after_batches(pauses, 70);
            eta.seconds(now)
        };
        assert_eq!(told(&[2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 3_000]), Some(150.0));
        assert_eq!(told(&[2_000, 2_000, 2_000, 2_000, 2_000, 2_000, 2_999]), None, "too soon");
        assert_eq!(told(&[2_000, 2_000, 2_000, 2_000, 2_000, 5_000]), None, "too few batches");
    }

    #[test]
    fn it_is_never_less_than_nothing() {
        let (eta, now) = after_batches(&[1_000; 20], 1);
        assert_eq!(eta.seconds(now), Some(1.0));
        assert_eq!(eta.seconds(now + Duration::from_secs(60)), Some(0.0));
    }
}
