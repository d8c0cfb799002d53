//! What an audit found, for people and for programs.

use std::fmt::Write;

use serde::Serialize;

use crate::domain::audit::{Comparison, printable};

/// Differences that are told to people; more are only counted.
const DIFFERENCES_TOLD_MAX: usize = 50;

/// What an audit found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whose answers were compared.
    pub(super) url: String,
    /// Up to which batch everything is in the publication.
    pub(super) seq: i64,
    /// The second of its windows.
    pub(super) as_of: String,
    /// What came of `markets.json`.
    pub(super) markets: Comparison,
    /// What came of `assets.json`; none where it is not served.
    pub(super) assets: Option<Comparison>,
}

impl Report {
    /// How many figures differ.
    pub(super) fn difference_count(&self) -> u64 {
        let assets = self.assets.as_ref().map_or(0, |assets| assets.difference_count);
        self.markets.difference_count.saturating_add(assets)
    }

    /// For people. What strangers wrote cannot steer a terminal.
    pub(super) fn text(&self) -> String {
        let mut out = format!("{} at seq {}, as of {}\n", printable(&self.url), self.seq, self.as_of);
        push_comparison(&mut out, "markets.json", "pairs", &self.markets);
        match &self.assets {
            Some(assets) => push_comparison(&mut out, "assets.json", "assets", assets),
            None => out.push_str("assets.json: not served (404), so not compared\n"),
        }
        out
    }

    /// One JSON object on one line. All of it is ASCII, so that it cannot steer a terminal either.
    pub(super) fn json(&self) -> String {
        let mut body = serde_json::to_value(self).unwrap_or_default();
        if let Some(object) = body.as_object_mut() {
            object.insert("difference_count".into(), self.difference_count().into());
        }
        let mut out = ascii(&body.to_string());
        out.push('\n');
        out
    }
}

fn push_comparison(out: &mut String, file: &str, entries: &str, told: &Comparison) {
    // Writing to a String never fails.
    let _ = writeln!(
        out,
        "{file}: {} {entries}, {} figures compared, {} differences",
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
    use crate::domain::audit::Difference;

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
        Report {
            url: "http://127.0.0.1:8080".into(),
            seq: 7,
            as_of: "2026-11-23T18:07:17Z".into(),
            markets,
            assets: Some(assets),
        }
    }

    #[test]
    fn people_are_told_a_bounded_number_and_nothing_steers_their_terminal() {
        let text = report().text();
        assert!(!text.chars().any(|character| character.is_control() && character != '\n'), "{text:?}");
        assert!(!text.contains('\u{202e}'));
        assert_eq!(text.lines().count(), 3 + DIFFERENCES_TOLD_MAX + 1);
        assert!(text.contains("markets.json: 3 pairs, 80 figures compared, 0 differences\n"), "{text}");
        assert!(text.ends_with("  and 10 more\n"), "{text}");
        let none = Report { assets: None, ..report() };
        assert!(none.text().contains("assets.json: not served (404), so not compared"));
        assert_eq!((none.difference_count(), report().difference_count()), (0, 60));
    }

    #[test]
    fn programs_get_json_in_ascii_that_reads_back_the_same() {
        let json = report().json();
        assert!(json.trim_end().bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{json:?}");
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            read["assets"]["differences"][59]["served"],
            report().assets.unwrap().differences[0].served
        );
        assert_eq!((&read["difference_count"], &read["seq"]), (&60.into(), &7.into()));
    }
}
