//! Durations in settings: one whole number and one unit.

use std::time::Duration;

const MILLIS_A_SECOND: u64 = 1_000;
const MILLIS_A_MINUTE: u64 = 60 * MILLIS_A_SECOND;
const MILLIS_AN_HOUR: u64 = 60 * MILLIS_A_MINUTE;
const MILLIS_A_DAY: u64 = 24 * MILLIS_AN_HOUR;

/// Units and their length in milliseconds, longest first.
const UNITS: [(&str, u64); 5] =
    [("d", MILLIS_A_DAY), ("h", MILLIS_AN_HOUR), ("m", MILLIS_A_MINUTE), ("s", MILLIS_A_SECOND), ("ms", 1)];

/// Parses `100ms`, `90s`, `10m`, `1h` or `2d`. Returns `None` for a number without a unit, and for more than 2^64
/// milliseconds.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits_end = text.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = text.split_at_checked(digits_end)?;
    let count: u64 = digits.parse().ok()?;
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
    count.checked_mul(*millis).map(Duration::from_millis)
}

/// Formats a duration in the longest unit that expresses it exactly, so that [`parse_duration`] returns it again.
/// Fractions of a millisecond are dropped.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    let exact = UNITS.iter().find(|(_, length)| millis.is_multiple_of(u128::from(*length)));
    exact.map_or_else(
        || format!("{millis}ms"),
        |(unit, length)| format!("{}{unit}", millis / u128::from(*length)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_each_unit() {
        let of = |text| parse_duration(text).unwrap();
        assert_eq!(of("100ms"), Duration::from_millis(100));
        assert_eq!(of("90s"), Duration::from_secs(90));
        assert_eq!(of("10m"), Duration::from_secs(600));
        assert_eq!(of("1h"), Duration::from_secs(3_600));
        assert_eq!(of("2d"), Duration::from_secs(172_800));
    }

    #[test]
    fn refuses_bare_numbers_unknown_units_and_overflow() {
        for text in ["", "5", "s", "-5s", "1.5s", "5 s", "5S", "5w", "1h30m", "99999999999999999999s"] {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_on_any_text(text in any::<String>()) {
            let _ = parse_duration(&text);
        }

        #[test]
        fn never_panics_on_near_misses(text in "[0-9]{0,25}[a-zé ]{0,3}") {
            let _ = parse_duration(&text);
        }

        #[test]
        fn round_trips(millis in any::<u64>()) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
        }

        #[test]
        fn round_trips_whole_units(count in 0u64..100_000, unit in prop::sample::select(vec!["ms", "s", "m", "h", "d"])) {
            let duration = parse_duration(&format!("{count}{unit}")).unwrap();
            prop_assert_eq!(parse_duration(&format_duration(duration)), Some(duration));
        }
    }
}
