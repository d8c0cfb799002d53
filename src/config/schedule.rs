//! Cron expressions in UTC.

use std::fmt;

use chrono::{DateTime, Utc};
use cron::Schedule;

use super::fault::ValueError;

/// Weekdays by their numbers in crontab(5), where 0 and 7 are both Sunday.
const WEEKDAYS: [&str; 8] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A cron expression of five fields, or of six with the seconds first. Times are UTC.
///
/// If both the day of the month and the day of the week are restricted, a day must match both.
#[derive(Clone)]
pub struct CronSpec {
    text: String,
    schedule: Schedule,
}

impl CronSpec {
    /// Returns the first time after `time`, or `None` after the year 2100, where the crate `cron` ends.
    #[must_use]
    pub fn next_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.schedule.after(&time).next()
    }

    pub(super) fn parse(text: &str) -> Result<Self, ValueError> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let (seconds, fields) = match fields.as_slice() {
            rest @ [_, _, _, _, _] => ("0", rest),
            [seconds, rest @ ..] if rest.len() == 5 => (*seconds, rest),
            _ => return Err(ValueError::unparsable(format!("{} fields", fields.len()))),
        };
        let [minute, hour, day, month, weekday] = fields else { return Err(ValueError::UNPARSABLE) };
        let weekday = named_weekdays(weekday).ok_or_else(|| ValueError::unparsable("the weekday"))?;
        let expression = format!("{seconds} {minute} {hour} {day} {month} {weekday}");
        let schedule: Schedule = expression.parse().map_err(|_| ValueError::UNPARSABLE)?;
        let spec = Self { text: text.to_owned(), schedule };
        // Searched from a fixed day, so that the result does not depend on the clock.
        match spec.next_after(DateTime::UNIX_EPOCH) {
            Some(_) => Ok(spec),
            None => Err(ValueError::refused("it never runs: no such date exists")),
        }
    }
}

/// Replaces numbers in the weekday field by names. In crontab(5) Sunday is 0, in the crate `cron` it is 1, so a
/// schedule with numbers would silently run a day early.
fn named_weekdays(field: &str) -> Option<String> {
    let parts: Option<Vec<String>> = field.split(',').map(named_weekday_part).collect();
    Some(parts?.join(","))
}

fn named_weekday_part(part: &str) -> Option<String> {
    let (days, step) = match part.split_once('/') {
        Some((days, step)) => (days, Some(step.parse::<usize>().ok().filter(|step| *step > 0)?)),
        None => (part, None),
    };
    if !days.contains(|c: char| c.is_ascii_digit()) {
        return Some(part.to_owned());
    }
    let (first, last) = match days.split_once('-') {
        Some((first, last)) => (first.parse().ok()?, last.parse().ok()?),
        None => {
            let day: usize = days.parse().ok()?;
            // A step after one day continues to the end of the week.
            (day, if step.is_some() { day.max(6) } else { day })
        }
    };
    let names: Vec<&str> = WEEKDAYS.get(first..=last)?.iter().step_by(step.unwrap_or(1)).copied().collect();
    (!names.is_empty()).then(|| names.join(","))
}

impl fmt::Display for CronSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for CronSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CronSpec({:?})", self.text)
    }
}

impl PartialEq for CronSpec {
    fn eq(&self, other: &Self) -> bool {
        self.schedule == other.schedule
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FaultKind;
    use chrono::Datelike;
    use proptest::prelude::*;

    fn next(text: &str) -> String {
        let noon: DateTime<Utc> = "2026-01-01T12:00:30Z".parse().unwrap(); // a Thursday
        CronSpec::parse(text).unwrap().next_after(noon).unwrap().to_rfc3339()
    }

    #[test]
    fn five_fields_run_at_second_zero_and_six_at_their_own() {
        assert_eq!(next("*/10 * * * *"), "2026-01-01T12:10:00+00:00");
        assert_eq!(next("45 * * * * *"), "2026-01-01T12:00:45+00:00");
        assert_eq!(next(" 0  */6 * * * "), "2026-01-01T18:00:00+00:00");
    }

    #[test]
    fn weekday_numbers_mean_what_crontab_says() {
        let weekdays = |field: &str| {
            let spec = CronSpec::parse(&format!("0 0 * * {field}")).unwrap();
            let mut days: Vec<u32> = spec
                .schedule
                .after(&DateTime::UNIX_EPOCH)
                .take(7)
                .map(|t| t.weekday().num_days_from_sunday())
                .collect();
            days.sort_unstable();
            days.dedup();
            days
        };
        assert_eq!(weekdays("0"), [0]);
        assert_eq!(weekdays("7"), [0]);
        assert_eq!(weekdays("1"), [1]);
        assert_eq!(weekdays("1-5"), [1, 2, 3, 4, 5]);
        assert_eq!(weekdays("5-7"), [0, 5, 6]);
        assert_eq!(weekdays("1-5/2"), [1, 3, 5]);
        assert_eq!(weekdays("2/2"), [2, 4, 6]);
        assert_eq!(weekdays("1,Wed,6"), [1, 3, 6]);
        assert_eq!(weekdays("Mon-Fri"), [1, 2, 3, 4, 5]);
        assert_eq!(weekdays("*/2"), [0, 2, 4, 6]);
    }

    #[test]
    fn an_impossible_date_is_refused_and_a_leap_day_is_not() {
        assert_eq!(CronSpec::parse("0 0 31 2 *").unwrap_err().kind, FaultKind::Refused);
        assert_eq!(next("0 0 29 2 *"), "2028-02-29T00:00:00+00:00");
    }

    #[test]
    fn invalid_expressions_do_not_parse() {
        for text in [
            "",
            "hourly",
            "@hourly",
            "* * * *",
            "* * * * * * *",
            "61 * * * *",
            "* 99 * * *",
            "* * * * 8",
            "0 0 * * 5-2",
            "0 0 * * 1/0",
            "*/0 * * * *",
        ] {
            let error = CronSpec::parse(text).map(|_| ()).unwrap_err();
            assert_eq!(error.kind, FaultKind::Unparsable, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[0-9*/, ?a-z-]{0,30}") {
            let _ = CronSpec::parse(&text);
        }
    }
}
