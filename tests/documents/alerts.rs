//! Alerts, their tests and runbook, and the dashboards: each rule fires and is quiet, each metric exists.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use stellar_ticker::instruments::{Kind, table};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// Runs promtool in a directory. Returns whether it succeeded, and its messages.
fn promtool(directory: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new("promtool").current_dir(directory).args(arguments).output();
    let output = output.expect("promtool of Debian's package prometheus: ./ticker need promtool");
    let messages = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&messages).into_owned())
}

fn alerts() -> Vec<String> {
    let rules = read("deploy/prometheus/alerts.yml");
    let names = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ").map(str::to_owned));
    names.collect()
}

/// Names of metrics in a text that the table lacks. Labels and other words do not begin like them.
fn unknown(text: &str) -> BTreeSet<String> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text.split(|letter| !is_word(letter));
    let is_metric = |word: &&str| word.starts_with("ticker_") || word.starts_with("process_");
    words.filter(is_metric).filter(|word| !exists(word)).map(str::to_owned).collect()
}

fn exists(word: &str) -> bool {
    table::all().any(|metric| match metric.kind {
        Kind::Histogram(_) => {
            let suffix = word.strip_prefix(metric.name);
            matches!(suffix, Some("_bucket" | "_sum" | "_count"))
        }
        _ => metric.name == word,
    })
}

#[test]
fn promtool_accepts_the_alerts_and_their_tests_and_notices_a_weakened_rule() {
    let place = root().join("deploy/prometheus");
    let (passed, messages) = promtool(&place, &["check", "rules", "alerts.yml"]);
    assert!(passed, "{messages}");
    let (passed, messages) = promtool(&place, &["test", "rules", "alerts_test.yml"]);
    assert!(passed, "{messages}");

    let copy = tempfile::tempdir().unwrap();
    let rules = read("deploy/prometheus/alerts.yml");
    fs::write(copy.path().join("alerts_test.yml"), read("deploy/prometheus/alerts_test.yml")).unwrap();
    for (part, weakened) in [
        ("ticker_publication_age_seconds > 60", "ticker_publication_age_seconds > 1e9"),
        ("ticker_horizon_up == 0 and ticker_leader == 1", "ticker_horizon_up == 0"),
    ] {
        assert!(rules.contains(part), "{part}");
        fs::write(copy.path().join("alerts.yml"), rules.replace(part, weakened)).unwrap();
        let (passed, messages) = promtool(copy.path(), &["test", "rules", "alerts_test.yml"]);
        assert!(!passed, "{weakened}: {messages}");
    }
}

#[test]
fn every_alert_has_a_test_that_it_fires_one_that_it_is_quiet_and_a_runbook_entry() {
    let (rules, tests) = (read("deploy/prometheus/alerts.yml"), read("deploy/prometheus/alerts_test.yml"));
    let runbook = read("docs/runbook.md");
    let alerts = alerts();
    assert!(alerts.len() > 20, "{alerts:?}");
    assert_eq!(alerts.iter().collect::<BTreeSet<_>>().len(), alerts.len(), "a name is there twice");
    for alert in &alerts {
        for (what, expected) in [("fires", "value: 1\n"), ("is quiet", "exp_samples: []\n")] {
            let (_, case) = tests
                .split_once(&format!("- name: {alert} {what}\n"))
                .unwrap_or_else(|| panic!("{alert} {what}"));
            let case = case.split("\n  - name: ").next().unwrap();
            assert!(case.contains(&format!("alertname=\"{alert}\"")), "{case}");
            assert!(format!("{case}\n").contains(expected), "{alert} {what}: {case}");
        }
        assert!(rules.contains(&format!("runbook: docs/runbook.md#{}\n", alert.to_lowercase())), "{alert}");
        let (_, entry) =
            runbook.split_once(&format!("\n## {alert}\n")).unwrap_or_else(|| panic!("no entry {alert}"));
        let entry = entry.split("\n## ").next().unwrap();
        for part in ["* Meaning: ", "* Look at: ", "* Do: "] {
            assert!(entry.contains(part), "{alert} lacks {part:?}");
        }
    }
    let entries = runbook.lines().filter(|line| line.starts_with("## "));
    let surplus: Vec<&str> =
        entries.filter(|line| !alerts.iter().any(|alert| line[3..] == **alert)).collect();
    assert!(surplus.is_empty(), "entries without an alert: {surplus:?}");
}

#[test]
fn every_metric_in_alerts_dashboards_and_documents_exists() {
    for path in [
        "deploy/prometheus/alerts.yml",
        "deploy/prometheus/alerts_test.yml",
        "deploy/grafana/data.json",
        "deploy/grafana/process.json",
        "docs/runbook.md",
    ] {
        let text = read(path);
        let found = unknown(&text);
        // Documents may name a histogram itself.
        let missing: Vec<&String> = found
            .iter()
            .filter(|word| !path.ends_with(".md") || !table::all().any(|m| m.name == **word))
            .collect();
        assert!(missing.is_empty(), "{path}: {missing:?}");
        assert!(text.contains("ticker_"), "{path}");
    }
    let planted =
        "rate(ticker_no_such_thing_total[5m]) + ticker_publication_seconds + ticker_publications_total";
    let expected = ["ticker_no_such_thing_total", "ticker_publication_seconds"].map(str::to_owned);
    assert_eq!(unknown(planted), BTreeSet::from(expected), "a histogram itself has no series");
}

#[test]
fn the_dashboards_are_documents_of_grafana_with_a_query_in_each_panel() {
    for name in ["data", "process"] {
        let text = read(&format!("deploy/grafana/{name}.json"));
        let board: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(board["title"].is_string() && board["uid"].is_string() && board["schemaVersion"].is_i64());
        let panels = board["panels"].as_array().unwrap();
        let ids: BTreeSet<i64> = panels.iter().map(|panel| panel["id"].as_i64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "{name}");
        for panel in panels.iter().filter(|panel| panel["type"] != "row") {
            let targets = panel["targets"].as_array().unwrap();
            let has_query =
                |target: &serde_json::Value| target["expr"].as_str().is_some_and(|expr| !expr.is_empty());
            assert!(!targets.is_empty() && targets.iter().all(has_query), "{name}: {panel}");
        }
    }
}
