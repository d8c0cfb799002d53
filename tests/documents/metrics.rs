//! The table of the metrics agrees with the code that counts and with `docs/metrics.md`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use stellar_ticker::instruments::{self, Kind, table};

/// Macros and functions that name a metric, with the kind of metric that they are for.
const USES: [(&str, &str); 4] = [
    ("counter!(", "counter"),
    ("gauge!(", "gauge"),
    ("histogram!(", "histogram"),
    ("float_counter(", "float"),
];

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::FloatCounter => "float",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    }
}

/// A use of a metric: its kind, and its labels if the use names them.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Use {
    kind: &'static str,
    labels: Vec<String>,
}

/// Uses of metrics in a source text, by name. Uses of variables are left out.
fn uses(source: &str) -> BTreeMap<String, BTreeSet<Use>> {
    let mut found: BTreeMap<String, BTreeSet<Use>> = BTreeMap::new();
    for (opening, kind) in USES {
        for (at, _) in source.match_indices(opening) {
            let is_whole_word =
                !source[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_');
            let arguments = source[at + opening.len()..].trim_start();
            let Some(rest) = arguments.strip_prefix('"').filter(|_| is_whole_word) else { continue };
            let (name, rest) = rest.split_once('"').unwrap();
            let call = arguments_of(rest);
            let labels = call.split("=>").filter_map(|part| {
                let (before, name) = part.trim_end().strip_suffix('"')?.rsplit_once('"')?;
                before.trim_end().ends_with(',').then(|| name.to_owned())
            });
            let labels = labels.collect();
            found.entry(name.to_owned()).or_default().insert(Use { kind, labels });
        }
    }
    found
}

/// The rest of a call, up to its closing bracket.
fn arguments_of(rest: &str) -> &str {
    let mut depth = 0;
    let end = rest.find(|letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        depth < 0
    });
    &rest[..end.unwrap_or(rest.len())]
}

fn sources(directory: &Path, into: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            // Tests of the recorder use names of their own.
            let text = fs::read_to_string(&path).unwrap();
            into.push_str(text.split("#[cfg(test)]\nmod tests {").next().unwrap());
        }
    }
}

/// Differences between uses and the table.
fn differences(source: &str) -> Vec<String> {
    let (used, mut wrong) = (uses(source), Vec::new());
    for metric in table::all() {
        let labels: Vec<&str> = metric.labels.iter().map(|label| label.name).collect();
        let Some(uses) = used.get(metric.name) else {
            wrong.push(format!("{} is in the table and nowhere used", metric.name));
            continue;
        };
        for each in uses {
            let is_float = each.kind == "float"; // a function, whose label has no name
            if each.kind != kind(metric.kind) || (!is_float && each.labels != labels) {
                wrong.push(format!("{} is used as {each:?}, the table has {labels:?}", metric.name));
            }
        }
    }
    let known: BTreeSet<&str> = table::all().map(|metric| metric.name).collect();
    wrong.extend(
        used.keys()
            .filter(|name| !known.contains(name.as_str()))
            .map(|name| format!("{name} is not in the table")),
    );
    wrong
}

#[test]
fn every_metric_in_the_code_is_in_the_table_with_its_kind_and_labels_and_the_other_way_round() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut source = String::new();
    sources(&root.join("src"), &mut source);
    sources(&root.join("crates"), &mut source);
    let wrong = differences(&source);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // Each kind of difference is found.
    for (planted, expected) in [
        ("counter!(\"ticker_new_total\").increment(1);", "ticker_new_total is not in the table"),
        ("gauge!(\"ticker_publications_total\").set(1.0);", "ticker_publications_total is used as"),
        ("counter!(\"ticker_publications_total\", \"asset\" => asset).increment(1);", "is used as"),
    ] {
        let wrong = differences(&format!("{source}\n{planted}"));
        assert!(wrong.iter().any(|line| line.contains(expected)), "{planted}: {wrong:?}");
    }
    let without = source.replace("\"ticker_publications_total\"", "\"ticker_others_total\"");
    assert!(differences(&without).iter().any(|line| line.contains("nowhere used")));
}

/// Reasons that a function named `reason` gives.
fn reasons(source: &str) -> BTreeSet<&str> {
    let (_, body) = source.split_once("fn reason(").unwrap();
    let body = body.split("\n    }\n").next().unwrap();
    body.split("=> \"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[test]
fn the_table_has_every_reason_for_which_graphql_refuses() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/graphql.rs");
    let source = fs::read_to_string(path).unwrap();
    let metric = table::all().find(|metric| metric.name == "ticker_graphql_refused_total").unwrap();
    let listed: BTreeSet<&str> =
        metric.labels.iter().flat_map(|label| label.values.iter().copied()).collect();
    assert_eq!(reasons(&source), listed);
}

#[test]
fn the_document_of_the_metrics_is_made_from_their_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    if std::env::var_os("TICKER_UPDATE_DOCS").is_some() {
        fs::write(&path, instruments::document()).unwrap();
    }
    let is_new = fs::read_to_string(&path).unwrap() == instruments::document();
    assert!(is_new, "docs/metrics.md is old: run TICKER_UPDATE_DOCS=1 cargo test --test documents metrics");
}
