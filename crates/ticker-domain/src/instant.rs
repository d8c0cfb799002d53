//! Times in whole seconds, the resolution of ledger close times.

use chrono::{DateTime, SecondsFormat, Utc};

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(pub i64);

/// Seconds in a minute.
pub const MINUTE: i64 = 60;
/// Seconds in an hour.
pub const HOUR: i64 = 3_600;
/// Seconds in a day.
pub const DAY: i64 = 24 * HOUR;
/// Time in seconds between a decision of the leader that all replicas show, and the moment from which it counts. Every
/// replica reads such decisions more often.
pub const NOTICE: i64 = 180;

/// Error for a text that is not an RFC 3339 time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a time must look like 2019-05-02T12:23:57Z")]
pub struct UnixSecondsError;

impl UnixSeconds {
    /// Parses an RFC 3339 time and drops fractions of a second.
    pub fn parse(text: &str) -> Result<Self, UnixSecondsError> {
        DateTime::parse_from_rfc3339(text).map(|time| Self(time.timestamp())).map_err(|_| UnixSecondsError)
    }

    /// Time this many seconds earlier. Saturates.
    #[must_use]
    pub const fn minus(self, seconds: i64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// Time this many seconds later. Saturates.
    #[must_use]
    pub const fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Hours since 1970, rounded down.
    #[must_use]
    pub const fn hour(self) -> i64 {
        self.0.div_euclid(HOUR)
    }

    /// Days since 1970, rounded down.
    #[must_use]
    pub const fn day(self) -> i64 {
        self.0.div_euclid(DAY)
    }

    /// Time as a calendar date. 1970 if the calendar cannot represent it.
    #[must_use]
    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.0, 0).unwrap_or_default()
    }

    /// Time as `2019-05-02T12:23:57Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        self.to_utc().to_rfc3339_opts(SecondsFormat::Secs, true)
    }
}

impl From<DateTime<Utc>> for UnixSeconds {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parses_other_time_zones_and_drops_fractions() {
        assert_eq!(
            UnixSeconds::parse("2019-05-02T14:23:57.999+02:00").unwrap().to_rfc3339(),
            "2019-05-02T12:23:57Z"
        );
        assert_eq!(UnixSeconds::parse("yesterday"), Err(UnixSecondsError));
    }

    proptest! {
        #[test]
        fn round_trips(seconds in 0..253_402_300_799_i64) {
            prop_assert_eq!(UnixSeconds::parse(&UnixSeconds(seconds).to_rfc3339()), Ok(UnixSeconds(seconds)));
        }

        #[test]
        fn arithmetic_saturates(seconds in any::<i64>(), other in any::<i64>()) {
            let _ = (UnixSeconds(seconds).minus(other), UnixSeconds(seconds).plus(other), UnixSeconds(seconds).to_rfc3339());
        }
    }
}
