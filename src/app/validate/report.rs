//! Findings of `validate`, and their report. Pure.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{app::EXIT_FOUND, domain::plain_text::shown};

/// One check.
struct Check {
    /// `schema` or `agreement`.
    kind: &'static str,
    /// Path of the document, or the compared formats.
    subject: String,
    /// Faults, each with its place.
    problems: Vec<String>,
    /// Reason for which there was nothing to check.
    skipped: Option<&'static str>,
}

impl Check {
    const fn verdict(&self) -> &'static str {
        match self {
            Self { skipped: Some(_), .. } => "skipped",
            Self { problems, .. } if problems.is_empty() => "ok",
            Self { .. } => "failure",
        }
    }
}

/// All findings about one server.
pub(super) struct Report {
    url: String,
    /// The compared view: last batch and time.
    view: Option<(i64, String)>,
    checks: Vec<Check>,
}

impl Report {
    pub(super) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), view: None, checks: Vec::new() }
    }

    /// Notes the view that was read.
    pub(super) fn set_view(&mut self, seq: i64, as_of: String) {
        self.view = Some((seq, as_of));
    }

    /// Adds a check. Returns true if it found no problem.
    pub(super) fn add(&mut self, kind: &'static str, subject: &str, problems: Vec<String>) -> bool {
        let is_ok = problems.is_empty();
        self.checks.push(Check { kind, subject: subject.to_owned(), problems, skipped: None });
        is_ok
    }

    /// Adds a check that had nothing to do.
    pub(super) fn skip(&mut self, kind: &'static str, subject: &str, reason: &'static str) {
        self.checks.push(Check {
            kind,
            subject: subject.to_owned(),
            problems: Vec::new(),
            skipped: Some(reason),
        });
    }

    fn count(&self, verdict: &str) -> usize {
        self.checks.iter().filter(|check| check.verdict() == verdict).count()
    }

    pub(super) fn exit_code(&self) -> u8 {
        if self.count("failure") == 0 { 0 } else { EXIT_FOUND }
    }

    /// Returns the report for programs.
    pub(super) fn json(&self) -> Value {
        let check = |check: &Check| {
            json!({
                "check": check.kind,
                "subject": shown(&check.subject),
                "status": check.verdict(),
                "problems": check.problems.iter().map(|problem| shown(problem)).collect::<Vec<_>>(),
            })
        };
        json!({
            "url": self.url,
            "seq": self.view.as_ref().map(|(seq, _)| seq),
            "as_of": self.view.as_ref().map(|(_, as_of)| as_of),
            "status": if self.exit_code() == 0 { "ok" } else { "failure" },
            "checks": self.checks.iter().map(check).collect::<Vec<_>>(),
        })
    }

    /// Returns the report for people: one line for each check, and below it its problems.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for check in &self.checks {
            // Writing to a string cannot fail.
            let reason = check.skipped.map(|reason| format!(": {reason}")).unwrap_or_default();
            let _ =
                writeln!(text, "{:<8} {:<9}  {}{reason}", check.verdict(), check.kind, shown(&check.subject));
            for problem in &check.problems {
                let _ = writeln!(text, "{:21}{}", "", shown(problem));
            }
        }
        if let Some((seq, as_of)) = &self.view {
            let _ = writeln!(text, "compared the view of {as_of}, seq {seq}, at {}", self.url);
        }
        let (failed, skipped) = (self.count("failure"), self.count("skipped"));
        let _ = writeln!(text, "{} checks: {failed} failed, {skipped} skipped", self.checks.len());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_below_its_check_and_makes_exit_1() {
        let mut report = Report::new("http://t");
        assert!(report.add("schema", "/a", Vec::new()));
        report.skip("agreement", "b", "nothing");
        assert_eq!((report.exit_code(), report.json()["status"].as_str()), (0, Some("ok")));
        assert!(!report.add("agreement", "c", vec!["high is 1\u{1b}[31m, expected 2".to_owned()]));
        report.set_view(7, "then".to_owned());
        let text = report.text();
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(text.starts_with("ok       schema     /a\nskipped  agreement  b: nothing\n"), "{text}");
        assert!(text.contains("failure  agreement  c\n                     high is 1"), "{text}");
        assert!(text.ends_with("3 checks: 1 failed, 1 skipped\n"), "{text}");
        assert_eq!((report.exit_code(), report.json()["checks"][2]["status"].as_str()), (1, Some("failure")));
    }
}
