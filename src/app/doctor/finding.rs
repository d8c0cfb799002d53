//! Findings, and their report. Pure.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::domain::plain_text::shown;

/// Verdict of a check, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// It could not be checked, or has nothing to check.
    Skipped,
    /// All is well.
    Ok,
    /// The daemon works, but something should be done.
    Warning,
    /// The daemon cannot start, or does not work.
    Failure,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// Result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Name of the check.
    pub(super) check: &'static str,
    /// Verdict.
    pub(super) verdict: Verdict,
    /// Observation, without secrets.
    pub(super) detail: String,
    /// Advice for a warning or a failure.
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, detail: detail.into(), remedy: None }
    }

    pub(super) fn skipped(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Skipped, detail: detail.into(), remedy: None }
    }

    pub(super) fn warning(check: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warning, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn failure(check: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Failure, detail: detail.into(), remedy: Some(remedy.into()) }
    }
}

/// All findings.
#[derive(Clone, Debug)]
pub(super) struct Report(Vec<Finding>);

impl Report {
    pub(super) const fn of(findings: Vec<Finding>) -> Self {
        Self(findings)
    }

    fn worst(&self) -> Verdict {
        self.0.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok).max(Verdict::Ok)
    }

    /// Returns 0, or 1 for warnings, or 2 for failures.
    pub(super) fn exit_code(&self) -> u8 {
        match self.worst() {
            Verdict::Skipped | Verdict::Ok => 0,
            Verdict::Warning => 1,
            Verdict::Failure => 2,
        }
    }

    /// Returns the report for programs.
    pub(super) fn json(&self) -> Value {
        let finding = |finding: &Finding| {
            json!({
                "name": finding.check,
                "status": finding.verdict.name(),
                "detail": shown(&finding.detail),
                "remedy": finding.remedy.as_deref().map(shown),
            })
        };
        json!({"status": self.worst().name(), "checks": self.0.iter().map(finding).collect::<Vec<_>>()})
    }

    /// Returns the report for people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for finding in &self.0 {
            // Writing to a string cannot fail.
            let detail =
                finding.detail.lines().map(shown).collect::<Vec<_>>().join("\n                             ");
            let _ = writeln!(text, "{:<8} {:<19} {detail}", finding.verdict.name(), finding.check);
            if let Some(remedy) = &finding.remedy {
                let _ = writeln!(text, "{:>29}{}", "-> ", shown(remedy));
            }
        }
        let count = |verdict| self.0.iter().filter(|finding| finding.verdict == verdict).count();
        let (failures, warnings, skipped) =
            (count(Verdict::Failure), count(Verdict::Warning), count(Verdict::Skipped));
        let _ = writeln!(
            text,
            "{} checks: {failures} failed, {warnings} with warnings, {skipped} skipped",
            self.0.len()
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_that_of_the_worst_finding() {
        let (ok, skipped) = (Finding::ok("a", "x"), Finding::skipped("b", "x"));
        let (warning, failure) = (Finding::warning("c", "x", "do"), Finding::failure("d", "x", "do"));
        for (findings, code, status) in [
            (vec![ok.clone(), skipped.clone()], 0, "ok"),
            (vec![skipped], 0, "ok"),
            (vec![ok.clone(), warning.clone()], 1, "warning"),
            (vec![failure, warning, ok], 2, "failure"),
        ] {
            let report = Report::of(findings);
            assert_eq!((report.exit_code(), &report.json()["status"]), (code, &json!(status)));
        }
    }

    #[test]
    fn the_text_has_the_remedy_below_its_finding_and_no_control_character() {
        let report = Report::of(vec![Finding::failure("disk", "full\u{1b}[31m", "free some")]);
        let text = report.text();
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(text.contains("failure  disk") && text.contains("-> free some"), "{text}");
        assert!(text.ends_with("1 checks: 1 failed, 0 with warnings, 0 skipped\n"), "{text}");
    }
}
