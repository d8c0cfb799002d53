//! The trees of `stellar-ticker trace`.

use std::{
    collections::HashSet,
    fmt::Write as _,
    io::{self, IsTerminal},
    net::SocketAddr,
};

use actor_tree::trace::view::RecordView;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{ask, other_version, print, rest};
use crate::{
    app::CommandError,
    domain::{conversions::SaturatingFrom, percent::encoded},
    traces::{journey::Part, query::Query, tree::tree},
};

/// Records that `--follow` asks for: all that the daemon keeps.
const FOLLOWED: usize = 20_000;
/// Older records that `--follow` prints first, if `--limit` does not say.
const SHOWN_FIRST: usize = 500;
/// Time by which a record may come later than it ended: a publication's rendering is recorded after its compression.
const LATE_MAX: TimeDelta = TimeDelta::seconds(10);

/// Prints records. With `follows`, goes on with those that end later.
pub(super) fn show(
    admin: SocketAddr,
    question: &[(&'static str, String)],
    follows: bool,
    prints_json: bool,
) -> Result<u8, CommandError> {
    let given: Vec<(String, String)> =
        question.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let limit = Query::parse(&given).map_err(|error| CommandError::Usage(error.to_string()))?.limit;
    let paints = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if follows {
        let shown_first = if question.iter().any(|(name, _)| *name == "limit") { limit } else { SHOWN_FIRST };
        return follow(admin, question, shown_first, |records| shown(records, prints_json, paints));
    }
    let answer = ask(admin, &path(question))?;
    let records = records(&answer)?;
    let head = if prints_json { way_as_json(&answer) } else { summary(&answer) };
    if !print(&format!("{head}{}", shown(&records, prints_json, paints)))? {
        return Ok(0);
    }
    if records.is_empty() {
        tracing::warn!(
            "no record matches. The daemon keeps the last 20,000 records, and none with --trace-messages off"
        );
    }
    // The daemon may be of a version that does not count them.
    let left_out = answer.get("left_out").and_then(Value::as_u64).unwrap_or(0);
    if left_out > 0 {
        tracing::warn!(left_out, "older records match too: --limit shows up to 20000");
    }
    Ok(0)
}

/// Prints records that match, the newest `shown_first` at once, and then those that end later.
fn follow(
    admin: SocketAddr,
    question: &[(&'static str, String)],
    shown_first: usize,
    shown: impl Fn(&[RecordView]) -> String,
) -> Result<u8, CommandError> {
    let mut follower = Follower::default();
    let (mut records, _) = follower.take_new(&ask(admin, &path(&follower.question(question)))?)?;
    records.drain(..records.len().saturating_sub(shown_first));
    while print(&shown(&records))? {
        rest();
        let missed;
        (records, missed) = follower.take_new(&ask(admin, &path(&follower.question(question)))?)?;
        if missed > 0 {
            tracing::warn!(missed, "the daemon dropped records before they were looked at");
        }
    }
    Ok(0)
}

fn path(question: &[(&'static str, String)]) -> String {
    let pairs: Vec<String> =
        question.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    format!("/trace.json?{}", pairs.join("&"))
}

/// A reader of new records, and what it remembers of its last look.
#[derive(Default)]
struct Follower {
    /// Records of the last look, by number and outcome: a message that timed out and is handled later has two.
    seen: HashSet<(u64, String)>,
    /// Latest end of a record.
    newest: Option<DateTime<Utc>>,
    /// Number of the records that had been kept since the start of the daemon, whether they matched or not.
    recorded: Option<u64>,
}

impl Follower {
    /// Question for what may be new.
    fn question(&self, question: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
        let mut asked: Vec<_> = question.iter().filter(|(name, _)| *name != "limit").cloned().collect();
        asked.push(("limit", FOLLOWED.to_string()));
        if let Some(newest) = self.newest {
            let since = newest.checked_sub_signed(LATE_MAX).unwrap_or(newest);
            asked.push(("since", since.to_rfc3339_opts(SecondsFormat::Micros, true)));
        }
        asked
    }

    /// Returns the records that the last look did not have, and the number of those, matching or not, that came and
    /// left the ring since then.
    fn take_new(&mut self, answer: &Value) -> Result<(Vec<RecordView>, u64), CommandError> {
        let mut records = records(answer)?;
        let key = |record: &RecordView| (record.number, record.outcome.to_string());
        let before = std::mem::replace(&mut self.seen, records.iter().map(key).collect());
        // If the daemon's clock was set back, what comes ends before what came.
        let now = answer["now"].as_str().and_then(|now| now.parse().ok());
        let newest = self.newest.max(records.iter().map(|record| record.ended).max());
        self.newest = newest.map(|newest| now.map_or(newest, |now| newest.min(now)));
        records.retain(|record| !before.contains(&key(record)));
        let (dropped, kept) = (count(answer, "dropped")?, count(answer, "kept")?);
        let before = self.recorded.replace(dropped.saturating_add(kept));
        Ok((records, before.map_or(0, |before| dropped.saturating_sub(before))))
    }
}

/// A whole number of the answer.
fn count(answer: &Value, name: &str) -> Result<u64, CommandError> {
    answer[name].as_u64().ok_or_else(|| other_version(&format_args!("it has no number {name}")))
}

fn records(answer: &Value) -> Result<Vec<RecordView>, CommandError> {
    serde_json::from_value(answer["records"].clone()).map_err(|error| other_version(&error))
}

fn shown(records: &[RecordView], prints_json: bool, paints: bool) -> String {
    let mut text = String::new();
    if prints_json {
        for record in records {
            // Writing to a String never fails.
            let _ = writeln!(text, "{}", serde_json::to_string(record).unwrap_or_default());
        }
        return text;
    }
    for node in tree(records) {
        let _ = writeln!(text, "{}", line(node.record, node.depth, paints));
    }
    text
}

/// One record: time, indented name, sender and receiver, times, outcome if it is not `done`, subject.
fn line(record: &RecordView, depth: usize, paints: bool) -> String {
    let name = format!("{}{}", "  ".repeat(depth), record.name());
    let way = if record.message.is_some() {
        format!("{} > {}", record.from, record.to)
    } else {
        record.to.to_string()
    };
    // Most steps wait for nothing. A request to Horizon waits for the budget.
    let waits = record.message.is_some() || record.queued_ms > 0.0;
    let queued = if waits { format!("{:>9.3} +", record.queued_ms) } else { format!("{:>11}", "") };
    let outcome = match record.outcome.as_ref() {
        "done" => String::new(),
        other if paints => format!("  \x1b[31m{other}\x1b[0m"),
        other => format!("  {other}"),
    };
    let links = match record.links.len() {
        0 => String::new(),
        count => {
            let left_out = usize::saturating_from(record.links_left_out);
            format!("  +{} causes", count.saturating_add(left_out))
        }
    };
    format!(
        "{} {name:<34} {way:<32}{queued}{:>9.3} ms{outcome}{links}  {}",
        record.queued.format("%H:%M:%S%.3f"),
        record.handled_ms,
        subject(record),
    )
}

/// Numbers of the subject as `name=number`; of ids only their count.
fn subject(record: &RecordView) -> String {
    let numbers = record.subject.iter().map(|(name, value)| match value {
        Value::Array(ids) => format!("{name}={}", ids.len()),
        other => format!("{name}={other}"),
    });
    numbers.collect::<Vec<_>>().join(" ")
}

/// One line of JSON with a trade's way and what the database has of it, before its records; empty without `--trade`.
fn way_as_json(answer: &Value) -> String {
    if answer.get("database").is_none() {
        return String::new();
    }
    let [total, parts, database] = ["total_ms", "parts", "database"].map(|name| &answer[name]);
    format!("{}\n", json!({"total_ms": total, "parts": parts, "database": database}))
}

/// Parts of a trade's way, and what the database has of it; empty without `--trade`.
fn summary(answer: &Value) -> String {
    let mut text = String::new();
    if let Some(total) = answer["total_ms"].as_f64() {
        let _ = writeln!(text, "from the ledger's close to the last recorded stage: {total:.1} ms");
        let parts: Vec<Part> = serde_json::from_value(answer["parts"].clone()).unwrap_or_default();
        for part in parts {
            let _ = writeln!(text, "  {:<22}{:>10.3} ms", part.name, part.ms);
        }
    }
    let origin = &answer["database"];
    if let Some(closed) = origin.pointer("/stored/ledger_close_time").and_then(Value::as_str) {
        let stored = |name: &str| origin.pointer(&format!("/stored/{name}")).unwrap_or(&Value::Null);
        let _ = writeln!(
            text,
            "stored: ledger closed {closed}, market number {}, base {} stroops, counter {} stroops, price {}/{}",
            stored("market"),
            stored("base_stroops"),
            stored("counter_stroops"),
            stored("price_n"),
            stored("price_d")
        );
    } else if origin.is_object() {
        let _ = writeln!(text, "not stored");
    } else if answer.get("database").is_some() {
        let _ = writeln!(text, "the database does not answer: what it holds of the trade is not known");
    }
    for batch in origin["batches"].as_array().into_iter().flatten() {
        let text_of = |name: &str| batch[name].as_str().unwrap_or_default();
        let _ = writeln!(
            text,
            "batch {} ({}) committed {}",
            batch["seq"],
            text_of("kind"),
            text_of("committed_at")
        );
    }
    for entry in origin["quarantine"].as_array().into_iter().flatten() {
        let text_of = |name: &str| entry[name].as_str().unwrap_or_default();
        let _ = writeln!(text, "in quarantine since {}: {}", text_of("seen_at"), text_of("reason"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use actor_tree::{
        clock::{ManualClock, SharedClock, SystemClock},
        trace::{
            recorder::Recorder,
            step::{Step, StepName},
        },
    };

    use super::*;

    /// Answer with the last `kept` records of `recorder`, as if the ring held no more.
    fn answer(recorder: &Recorder, kept: usize) -> Value {
        let moment = recorder.moment();
        let all: Vec<RecordView> = recorder.records().0.iter().map(|record| record.view(&moment)).collect();
        let dropped = all.len().saturating_sub(kept);
        json!({"records": &all[dropped..], "dropped": dropped, "kept": all.len() - dropped})
    }

    #[test]
    fn a_record_is_new_once_also_with_a_second_end() {
        let recorder = Recorder::on(SystemClock::shared());
        let step = || Step::begin(&recorder, "one", StepName("work"), None).done();
        let mut follower = Follower::default();
        let mut new = |answer: &Value| -> Vec<(u64, String)> {
            let (records, _) = follower.take_new(answer).unwrap();
            records.into_iter().map(|record| (record.number, record.outcome.into_owned())).collect()
        };
        let done = |number| (number, "done".to_owned());
        for _ in 0..2 {
            step();
        }
        assert_eq!(new(&answer(&recorder, 9)), [done(1), done(2)]);
        assert_eq!(new(&answer(&recorder, 9)), []);
        step();
        assert_eq!(new(&answer(&recorder, 9)), [done(3)]);
        let mut twice = answer(&recorder, 9);
        let mut timed_out = twice["records"][0].clone();
        timed_out["outcome"] = "timed_out".into();
        twice["records"].as_array_mut().unwrap().push(timed_out);
        assert_eq!(new(&twice), [(1, "timed_out".to_owned())]);
    }

    #[test]
    fn later_looks_ask_only_for_what_may_be_new_and_missed_records_are_counted() {
        let clock = Arc::new(ManualClock::new(DateTime::from_timestamp(1_000, 0).unwrap()));
        let shared: SharedClock = clock.clone();
        let recorder = Recorder::on(shared);
        let record = |count| {
            for _ in 0..count {
                clock.advance(Duration::from_secs(1));
                Step::begin(&recorder, "one", StepName("work"), None).done();
            }
        };
        let given = [("type", "work".to_owned()), ("limit", "3".to_owned())];
        let mut follower = Follower::default();
        assert_eq!(path(&follower.question(&given)), "/trace.json?type=work&limit=20000");
        record(5);
        let (records, missed) = follower.take_new(&answer(&recorder, 5)).unwrap();
        assert_eq!((records.len(), missed), (5, 0));
        let question = follower.question(&given);
        assert_eq!(question.last().unwrap(), &("since", "1970-01-01T00:16:35.000000Z".to_owned()));
        // The ring holds five. Of seven more, two left it before anybody looked.
        record(7);
        let (records, missed) = follower.take_new(&answer(&recorder, 5)).unwrap();
        assert_eq!((records.len(), missed), (5, 2));
        // The others leave after they were seen.
        record(4);
        assert_eq!(follower.take_new(&answer(&recorder, 5)).unwrap().1, 0);
    }
}
