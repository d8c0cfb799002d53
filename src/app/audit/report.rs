//! Report of an audit, as text for people or JSON for programs.

use std::fmt::Write;

use serde::Serialize;

use super::Subject;
use crate::{
    audit::Comparison,
    domain::{conversions::SaturatingFrom, plain_text::shown},
    http::served_client::Served,
};

/// Differences printed in the text report. The rest is only counted.
const DIFFERENCES_PRINTED_MAX: usize = 50;

/// Report of an audit.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Base URL of the audited daemon.
    url: String,
    /// Number of differing figures in all answers.
    difference_count: u64,
    /// Result for each subject.
    answers: Vec<SubjectResult>,
}

/// Result for one subject.
#[derive(Debug, Serialize)]
struct SubjectResult {
    /// Name of the subject.
    answer: String,
    /// Noun for its entries: pairs, assets or rows.
    #[serde(skip)]
    kind: &'static str,
    /// The comparison; none if the daemon does not serve this answer.
    #[serde(flatten)]
    found: Option<Found>,
}

#[derive(Debug, Serialize)]
struct Found {
    /// Last batch in the compared publication.
    seq: i64,
    /// Time of its windows, RFC 3339.
    as_of: String,
    #[serde(flatten)]
    comparison: Comparison,
}

impl Report {
    /// Creates an empty report.
    pub(super) const fn new(url: String) -> Self {
        Self { url, difference_count: 0, answers: Vec::new() }
    }

    /// Adds the result for a subject.
    pub(super) fn add(&mut self, subject: Subject, served: &Served, comparison: Comparison) {
        self.difference_count = self.difference_count.saturating_add(comparison.difference_count);
        let found = Found { seq: served.seq, as_of: served.as_of.to_rfc3339(), comparison };
        self.push(subject, Some(found));
    }

    /// Records that a subject is not served.
    pub(super) fn absent(&mut self, subject: Subject) {
        self.push(subject, None);
    }

    fn push(&mut self, subject: Subject, found: Option<Found>) {
        self.answers.push(SubjectResult { answer: subject.name(), kind: subject.entries(), found });
    }

    /// Number of differing figures in all answers.
    pub(super) const fn difference_count(&self) -> u64 {
        self.difference_count
    }

    /// Formats the report for people. Hidden characters are escaped, so that no text from
    /// outside can control a terminal.
    pub(super) fn text(&self) -> String {
        let mut out = format!("{}\n", shown(&self.url));
        for result in &self.answers {
            push_answer(&mut out, result);
        }
        out
    }

    /// Formats the report as one line of JSON. It is pure ASCII, so that it cannot steer a terminal either.
    pub(super) fn json(&self) -> String {
        let body = serde_json::to_string(self).unwrap_or_default();
        let mut out = ascii(&body);
        out.push('\n');
        out
    }
}

fn push_answer(out: &mut String, SubjectResult { answer, kind, found }: &SubjectResult) {
    // Writing to a String never fails.
    let Some(Found { seq, as_of, comparison }) = found else {
        let _ = writeln!(out, "{answer}: not served (404), so not compared");
        return;
    };
    let _ = writeln!(
        out,
        "{answer}: {} {kind}, {} figures compared, {} differences, at seq {seq}, as of {as_of}",
        comparison.entries, comparison.figures, comparison.difference_count
    );
    for difference in comparison.differences.iter().take(DIFFERENCES_PRINTED_MAX) {
        let [entry, field, served, expected] =
            [&difference.entry, &difference.field, &difference.served, &difference.expected]
                .map(|text| shown(text));
        let place: Vec<&str> = [&*entry, &*field].into_iter().filter(|part| !part.is_empty()).collect();
        let _ = writeln!(out, "  {}: served {served}, expected {expected}", place.join(" "));
    }
    let printed = comparison.differences.len().min(DIFFERENCES_PRINTED_MAX);
    let more = comparison.difference_count.saturating_sub(u64::saturating_from(printed));
    if more > 0 {
        let _ = writeln!(out, "  and {more} more");
    }
}

/// Escapes DEL and everything that is not ASCII. In JSON such characters occur in strings only.
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
    fn the_text_report_lists_a_bounded_number_of_differences_and_cannot_steer_a_terminal() {
        let text = report().text();
        assert!(!text.chars().any(|character| character.is_control() && character != '\n'), "{text:?}");
        assert!(!text.contains('\u{202e}'));
        assert_eq!(text.lines().count(), 4 + DIFFERENCES_PRINTED_MAX + 1);
        let line = "markets.json: 3 pairs, 80 figures compared, 0 differences, at seq 7, as of 2026-11-23T18:07:17Z\n";
        assert!(text.contains(line), "{text}");
        let end = "  and 10 more\nGraphQL, 24 hours: not served (404), so not compared\n";
        assert!(text.ends_with(end), "{text}");
        assert_eq!(report().difference_count(), 60);
    }

    #[test]
    fn the_json_report_is_ascii_and_reads_back_the_same() {
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
