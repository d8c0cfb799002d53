//! The trees of `stellar-ticker trace`.

use std::{
    collections::HashSet,
    fmt::Write as _,
    io::{self, IsTerminal},
    net::SocketAddr,
};

use actor_tree::trace::view::RecordView;
use serde_json::{Value, json};

use super::{ask, other_version, print, rest};
use crate::{
    app::CommandError,
    domain::{conversions::SaturatingFrom, percent::encoded},
    traces::{journey::Part, query::Query, tree::tree},
};

/// Records that `--follow` asks for: all that the daemon keeps. More of them between two looks are missed unnoticed.
const FOLLOWED: usize = 20_000;
/// Older records that `--follow` prints first: as many as without it.
const SHOWN_FIRST: usize = 500;

/// Prints records. With `follows`, goes on with those that end later.
pub(super) fn show(
    admin: SocketAddr,
    question: &[(&'static str, String)],
    follows: bool,
    prints_json: bool,
) -> Result<u8, CommandError> {
    let given: Vec<(String, String)> =
        question.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Query::parse(&given).map_err(|error| CommandError::Usage(error.to_string()))?;
    let pairs: Vec<String> =
        question.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let limit = if follows { format!("&limit={FOLLOWED}") } else { String::new() };
    let path = format!("/trace.json?{}{limit}", pairs.join("&"));
    let answer = ask(admin, &path)?;
    let mut records = records(&answer)?;
    let mut seen = Seen::default();
    if follows {
        // Older records than the printed ones must not look new at the next look.
        records = seen.take_new(records);
        records.drain(..records.len().saturating_sub(SHOWN_FIRST));
    }
    let paints = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let head = if prints_json { way_as_json(&answer) } else { summary(&answer) };
    if !print(&format!("{head}{}", shown(&records, prints_json, paints)))? {
        return Ok(0);
    }
    if records.is_empty() && !follows {
        tracing::warn!(
            "no record matches. The daemon keeps the last 20,000 records, and none with --trace-messages off"
        );
    }
    if !follows {
        return Ok(0);
    }
    loop {
        rest();
        records = seen.take_new(self::records(&ask(admin, &path)?)?);
        if !print(&shown(&records, prints_json, paints))? {
            return Ok(0);
        }
    }
}

/// Records of the last look, by number and outcome: a message that timed out and is handled later has two.
#[derive(Default)]
struct Seen(HashSet<(u64, String)>);

impl Seen {
    /// Returns the records that the last look did not have. Those that have left the ring never come again.
    fn take_new(&mut self, mut records: Vec<RecordView>) -> Vec<RecordView> {
        let key = |record: &RecordView| (record.number, record.outcome.to_string());
        let before = std::mem::replace(&mut self.0, records.iter().map(key).collect());
        records.retain(|record| !before.contains(&key(record)));
        records
    }
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
    use actor_tree::{
        clock::SystemClock,
        trace::{
            recorder::Recorder,
            step::{Step, StepName},
        },
    };

    use super::*;

    #[test]
    fn a_record_is_new_once_also_with_a_second_end() {
        let recorder = Recorder::on(SystemClock::shared());
        let step = || Step::begin(&recorder, "one", StepName("work"), None).done();
        let all = || -> Vec<RecordView> {
            let moment = recorder.moment();
            recorder.records().0.iter().map(|record| record.view(&moment)).collect()
        };
        let mut seen = Seen::default();
        for _ in 0..2 {
            step();
        }
        assert_eq!(seen.take_new(all()).len(), 2);
        assert_eq!(seen.take_new(all()), []);
        step();
        let mut records = all();
        let newest = records.last().unwrap().number;
        assert_eq!(seen.take_new(records.clone()).iter().map(|it| it.number).collect::<Vec<_>>(), [newest]);
        let mut timed_out = records[0].clone();
        timed_out.outcome = "timed_out".into();
        records.push(timed_out.clone());
        assert_eq!(seen.take_new(records), [timed_out]);
    }
}
