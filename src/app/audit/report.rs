//! What an audit found, for people and for programs.

use std::fmt::Write;

use serde::Serialize;

use super::Subject;
use crate::{
    audit::{Comparison, printable},
    http::reader::Served,
};

/// Differences that are told to people; more are only counted.
const DIFFERENCES_TOLD_MAX: usize = 50;

/// What an audit found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whose answers were compared.
    url: String,
    /// How many figures differ, in all.
    difference_count: u64,
    /// What came of each subject.
    answers: Vec<GraphqlReply>,
}

/// What came of one subject.
#[derive(Debug, Serialize)]
struct GraphqlReply {
    /// The subject.
    answer: String,
    /// What its entries are.
    #[serde(skip)]
    kind: &'static str,
    /// Which publication was compared; none where there is no such answer.
    #[serde(flatten)]
    found: Option<Found>,
}

#[derive(Debug, Serialize)]
struct Found {
    /// Up to which batch everything is in the publication.
    seq: i64,
    /// The second of its windows.
    as_of: String,
    #[serde(flatten)]
    comparison: Comparison,
}

impl Report {
    /// One of nothing yet.
    pub(super) const fn new(url: String) -> Self {
        Self { url, difference_count: 0, answers: Vec::new() }
    }

    /// Takes in what came of a subject.
    pub(super) fn add(&mut self, subject: Subject, served: &Served, comparison: Comparison) {
        self.difference_count = self.difference_count.saturating_add(comparison.difference_count);
        let found = Found { seq: served.seq, as_of: served.as_of.to_rfc3339(), comparison };
        self.push(subject, Some(found));
    }

    /// Says that a subject is not served.
    pub(super) fn absent(&mut self, subject: Subject) {
        self.push(subject, None);
    }

    fn push(&mut self, subject: Subject, found: Option<Found>) {
        self.answers.push(GraphqlReply { answer: subject.name(), kind: subject.entries(), found });
    }

    /// How many figures differ.
    pub(super) const fn difference_count(&self) -> u64 {
        self.difference_count
    }

    /// For people. What strangers wrote cannot steer a terminal.
    pub(super) fn text(&self) -> String {
        let mut out = format!("{}\n", printable(&self.url));
        for told in &self.answers {
            push_answer(&mut out, told);
        }
        out
    }

    /// One JSON object on one line. All of it is ASCII, so that it cannot steer a terminal either.
    pub(super) fn json(&self) -> String {
        let body = serde_json::to_string(self).unwrap_or_default();
        let mut out = ascii(&body);
        out.push('\n');
        out
    }
}

fn push_answer(out: &mut String, GraphqlReply { answer, kind, found }: &GraphqlReply) {
    // Writing to a String never fails.
    let Some(Found { seq, as_of, comparison: told }) = found else {
        let _ = writeln!(out, "{answer}: not served (404), so not compared");
        return;
    };
    let _ = writeln!(
        out,
        "{answer}: {} {kind}, {} figures compared, {} differences, at seq {seq}, as of {as_of}",
        told.entries, told.figures, told.difference_count
    );
    for difference in told.differences.iter().take(DIFFERENCES_TOLD_MAX) {
        let [entry, field, served, expected] =
            [&difference.entry, &difference.field, &difference.served, &difference.expected]
                .map(|text| printable(text));
        let place: Vec<&str> =
            [entry.as_str(), field.as_str()].into_iter().filter(|part| !part.is_empty()).collect();
        let _ = writeln!(out, "  {}: served {served}, expected {expected}", place.join(" "));
    }
    let told_count = told.differences.len().min(DIFFERENCES_TOLD_MAX);
    let more = told.difference_count.saturating_sub(u64::try_from(told_count).unwrap_or(0));
    if more > 0 {
        let _ = writeln!(out, "  and {more} more");
    }
}

/// JSON with everything that is not ASCII, and DEL, escaped: such characters stand in strings only.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() && character != '\x7f' {
            out.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{audit::Difference, domain::instant::UnixSeconds};
    use bytes::Bytes;

    fn report() -> Report {
        let hostile = Difference {
            entry: "T\u{202e}EA:G1".into(),
            field: "name".into(),
            served: "\"\x1b]0;owned\x07\u{9b}2J\x7f\u{1f600}\"".into(),
            expected: "nothing".into(),
        };
        let assets =
            Comparison { entries: 1, figures: 60, difference_count: 60, differences: vec![hostile; 60] };
        let markets = Comparison { entries: 3, figures: 80, ..Comparison::default() };
        let served = Served { seq: 7, as_of: UnixSeconds(1_795_457_237), body: Bytes::new() };
        let mut report = Report::new("http://127.0.0.1:8080".into());
        report.add(Subject::MarketsFile, &served, markets);
        report.add(Subject::AssetsFile, &served, assets);
        report.absent(Subject::Graphql(24));
        report
    }

    #[test]
    fn people_are_told_a_bounded_number_and_nothing_steers_their_terminal() {
        let text = report().text();
        assert!(!text.chars().any(|character| character.is_control() && character != '\n'), "{text:?}");
        assert!(!text.contains('\u{202e}'));
        assert_eq!(text.lines().count(), 4 + DIFFERENCES_TOLD_MAX + 1);
        let line = "markets.json: 3 pairs, 80 figures compared, 0 differences, at seq 7, as of 2026-11-23T18:07:17Z\n";
        assert!(text.contains(line), "{text}");
        let end = "  and 10 more\nGraphQL, 24 hours: not served (404), so not compared\n";
        assert!(text.ends_with(end), "{text}");
        assert_eq!(report().difference_count(), 60);
    }

    #[test]
    fn programs_get_json_in_ascii_that_reads_back_the_same() {
        let json = report().json();
        assert!(json.trim_end().bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{json:?}");
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        let [markets, assets, graphql] = read["answers"].as_array().unwrap().as_slice() else {
            panic!("{read}")
        };
        let served = "\"\x1b]0;owned\x07\u{9b}2J\x7f\u{1f600}\"";
        assert_eq!(assets["differences"][59]["served"], served);
        assert_eq!((&markets["answer"], &markets["seq"]), (&"markets.json".into(), &7.into()));
        assert_eq!((&read["difference_count"], graphql.get("seq")), (&60.into(), None));
    }
}
