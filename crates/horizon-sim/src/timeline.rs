//! Ledger numbers and close times, in whole milliseconds to avoid drift.

use super::config::SimConfig;
use super::model::LEDGER_MAX;
use super::num::round_i64;
use chrono::{DateTime, Utc};

/// Conversion between time and ledgers.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    anchor_ledger: i64,
    anchor_ms: i64,
    ledger_ms: i64,
}

impl Timeline {
    pub(crate) fn new(config: &SimConfig) -> Self {
        Self {
            anchor_ledger: i64::from(config.anchor_ledger),
            anchor_ms: config.anchor_time.timestamp_millis(),
            ledger_ms: round_i64(config.ledger_seconds * 1000.0).max(1),
        }
    }

    /// Milliseconds between two ledgers.
    pub(crate) fn ledger_ms(&self) -> i64 {
        self.ledger_ms
    }

    /// Newest ledger that has closed at this time. At least 2, because 1 is the genesis ledger.
    pub(crate) fn ledger_at(&self, now_ms: i64) -> u32 {
        let passed = (now_ms - self.anchor_ms).div_euclid(self.ledger_ms);
        let ledger = self.anchor_ledger.saturating_add(passed).clamp(2, i64::from(LEDGER_MAX));
        u32::try_from(ledger).unwrap_or(LEDGER_MAX)
    }

    /// Close time of a ledger, rounded down to whole seconds.
    pub(crate) fn closed_at(&self, ledger: u32) -> DateTime<Utc> {
        let ms = self.anchor_ms + (i64::from(ledger) - self.anchor_ledger) * self.ledger_ms;
        DateTime::from_timestamp(ms.div_euclid(1000), 0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_times_never_decrease_and_a_ledger_appears_once_closed() {
        for ledger_seconds in [5.8, 1.0, 0.25] {
            let config = SimConfig { ledger_seconds, ..SimConfig::default() };
            let line = Timeline::new(&config);
            for ledger in 57_999_900..58_000_100 {
                assert!(line.closed_at(ledger) <= line.closed_at(ledger + 1));
                let closed_ms = line.anchor_ms + (i64::from(ledger) - line.anchor_ledger) * line.ledger_ms;
                assert_eq!(line.ledger_at(closed_ms), ledger);
                assert_eq!(line.ledger_at(closed_ms - 1), ledger - 1);
            }
        }
    }
}
