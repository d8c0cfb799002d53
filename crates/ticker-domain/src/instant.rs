//! Moments in whole seconds, the resolution of ledger close times.

use chrono::{DateTime, SecondsFormat, Utc};

/// A moment in whole seconds since 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(pub i64);

/// Seconds in an hour.
pub const HOUR: i64 = 3_600;
/// Seconds in a day.
pub const DAY: i64 = 24 * HOUR;

/// The text is no RFC 3339 time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a time must look like 2019-05-02T12:23:57Z")]
pub struct UnixSecondsError;

impl UnixSeconds {
    /// Reads an RFC 3339 time; a fraction of a second is cut off.
    pub fn parse(text: &str) -> Result<Self, UnixSecondsError> {
        DateTime::parse_from_rfc3339(text).map(|time| Self(time.timestamp())).map_err(|_| UnixSecondsError)
    }

    /// This moment less so many seconds.
    #[must_use]
    pub const fn minus(self, seconds: i64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// This moment and so many seconds more.
    #[must_use]
    pub const fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// The hour that it falls in, counted from 1970.
    #[must_use]
    pub const fn hour(self) -> i64 {
        self.0.div_euclid(HOUR)
    }

    /// The day that it falls in, counted from 1970.
    #[must_use]
    pub const fn day(self) -> i64 {
        self.0.div_euclid(DAY)
    }

    /// The same moment as a date; 1970 where the calendar does not reach.
    #[must_use]
    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.0, 0).unwrap_or_default()
    }

    /// `2019-05-02T12:23:57Z`.
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
    fn reads_other_zones_and_cuts_fractions() {
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
