//! Tests that `docs/api.md` names exactly the fields that clients receive.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use actor_tree::health::Health;
use serde_json::Value;

use super::{graphql, readiness::Readiness, status::status};
use crate::{
    domain::{
        coverage::LedgerRange, instant::UnixSeconds, issuer_file::Currency, listed_asset::ListedAsset,
        market_snapshot::MarketSnapshot, ticker::Pair, windows::Figures,
    },
    instruments::table::{CHECKS, OWN_CHECKS, PART_CHECKS},
    published::{
        Backfilled, BudgetUse, FileMaker, HashCheck, HorizonState, LakeState, LakeUse, Outages, Part,
        Publication, Reread, SelfAudit, Vitals,
    },
};
use ticker_formats::{
    legacy::{assets_json, markets_json},
    pages::LakeFigures,
};

const DOCUMENT: &str = include_str!("../../docs/api.md");

/// Returns the first cells of the table below a heading that are code.
fn documented(heading: &str) -> BTreeSet<String> {
    let below = DOCUMENT.split_once(&format!("\n{heading}\n")).map(|(_, below)| below).unwrap_or_default();
    let end = below.find("\n#").unwrap_or(below.len());
    let rows = below[..end].lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    rows.map(|(name, _)| name.to_owned()).collect()
}

/// Collects the paths of all values that are neither an object nor a list of objects.
fn paths(value: &Value, prefix: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            let dot = if prefix.is_empty() { "" } else { "." };
            fields.iter().for_each(|(key, inner)| paths(inner, &format!("{prefix}{dot}{key}"), found));
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            items.iter().for_each(|item| paths(item, &format!("{prefix}[]"), found));
        }
        _ => {
            found.insert(prefix.to_owned());
        }
    }
}

fn assert_documented(heading: &str, value: &Value) {
    let mut found = BTreeSet::new();
    paths(value, "", &mut found);
    assert!(!found.is_empty(), "{heading}");
    assert_eq!(documented(heading), found, "{heading} of docs/api.md (left) and what is printed (right)");
}

#[test]
fn every_field_of_the_files_is_documented() {
    let pair = Pair::new("A_B".into(), &Figures::default(), crate::domain::orderbook::BookFigures::default());
    let markets = markets_json::render(UnixSeconds(1), &[pair]);
    assert_documented("## `markets.json`", &serde_json::from_str(&markets).unwrap());
    let asset = ListedAsset { currency: Currency::default(), ..ListedAsset::default() };
    let assets = assets_json::render(UnixSeconds(1), &[asset]);
    assert_documented("## `assets.json`", &serde_json::from_str(&assets).unwrap());
}

#[test]
fn every_field_and_argument_of_graphql_is_documented() {
    let mut types = 0;
    for (name, fields) in graphql::schema_fields() {
        types += 1;
        let fields: BTreeSet<String> = fields.into_iter().collect();
        assert_eq!(
            documented(&format!("### `{name}`")),
            fields,
            "{name} of docs/api.md (left) and the schema"
        );
    }
    assert_eq!(types, 10, "Query and the nine types that it answers with");
}

/// Returns vitals with a value for every part.
fn vitals() -> Vitals {
    let vitals = Vitals::default();
    let at = UnixSeconds(1).to_utc();
    for cell in [&vitals.database.answers, &vitals.stream, &vitals.children, &vitals.leader, &vitals.disk] {
        cell.succeeds("", at);
    }
    vitals.replica_id.store(Some(Arc::new("id".into())));
    vitals.backfill.store(Some(Arc::new(Backfilled {
        done_ratio: 0.5,
        eta_s: Some(1.0),
        trades: 1,
        trades_per_second: 1,
        whole_back_to: None,
    })));
    let requests = classes();
    vitals.budget.store(Some(Arc::new(BudgetUse {
        requests_per_hour: 1,
        tokens: 1.0,
        remaining: Some(1),
        blocked_s: 0.0,
        requests,
    })));
    vitals.audit.store(Some(Arc::new(SelfAudit::default())));
    vitals.reread.store(Some(Arc::new(Reread::default())));
    let outage = Some((at, "refused".into()));
    vitals.horizon.store(Some(Arc::new(HorizonState {
        url: "https://h".into(),
        outage,
        was_answered: true,
    })));
    let mut outages = Outages::default();
    outages.note(LakeUse::Recent, at, "https://h/lake", "refused".to_owned());
    vitals.lake.update(|lake| {
        *lake = LakeState {
            url: "https://h/lake".into(),
            figures: LakeFigures {
                newest: Some((9, UnixSeconds(2))),
                last_refused: Some((8, "x".into())),
                ..LakeFigures::default()
            },
            outages: outages.clone(),
            hash_check: HashCheck::Agrees { ledger: 9, at },
            ..LakeState::default()
        };
    });
    let part = |name| (Part::of_replica(name), Health::succeeded("", at));
    vitals.parts.store(Arc::new(PART_CHECKS.iter().copied().map(part).collect()));
    vitals
}

/// Returns the classes of requests. The names are copied from the budget, which this layer may not import.
fn classes() -> Vec<(&'static str, u64)> {
    ["live", "first_assets", "history", "assets", "books", "audit", "asked_books"]
        .map(|class| (class, 1))
        .to_vec()
}

fn publication() -> Publication {
    let range = |from, to| LedgerRange { from, to, from_time: UnixSeconds(1), to_time: UnixSeconds(2) };
    let snapshot = MarketSnapshot::default().with_coverage(Arc::new(vec![range(1, 3), range(7, 9)]));
    Publication::render(1, Some((9, UnixSeconds(2))), snapshot, None, &mut FileMaker::default()).unwrap()
}

#[test]
fn every_field_of_the_status_is_documented() {
    let answer = status(&vitals(), Some(&publication()), Duration::from_secs(1), UnixSeconds(3).to_utc());
    assert_documented("## `/api/v1/status`", &answer);
}

#[test]
fn the_status_and_problems_are_valid_by_their_schemas() {
    let validator = ticker_schemas::Validator::new().unwrap();
    let now = UnixSeconds(3).to_utc();
    let newest = publication();
    for (vitals, newest) in [(Vitals::default(), None), (vitals(), Some(&newest))] {
        let answer = status(&vitals, newest, Duration::from_secs(1), now);
        let violations = validator.check("status", answer.to_string().as_bytes());
        assert!(violations.is_empty(), "{violations:?}");
    }
    let response = super::problem::problem(actix_web::http::StatusCode::NOT_FOUND, "no such asset");
    let body = actix_web::body::MessageBody::try_into_bytes(response.into_body()).unwrap();
    assert!(validator.check("problem", &body).is_empty());
}

#[test]
fn every_field_of_the_books_is_documented() {
    let answer = super::api::book_ages::example();
    assert_documented("## `/api/v1/books`", &answer);
}

fn readiness(vitals: &Vitals) -> Readiness {
    Readiness::of(vitals, Some(&publication()), Duration::from_secs(1), UnixSeconds(3).to_utc())
}

#[test]
fn the_own_checks_of_readiness_are_those_of_the_metrics() {
    let vitals = vitals();
    vitals.parts.store(Arc::default());
    let names: BTreeSet<&str> = readiness(&vitals).checks.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        OWN_CHECKS.iter().copied().collect(),
        "the checks of readiness, and OWN_CHECKS (right)"
    );
}

#[test]
fn every_check_is_documented() {
    let answer = readiness(&vitals()).body();
    let mut expected: BTreeSet<String> = BTreeSet::new();
    for (field, value) in answer.as_object().unwrap() {
        if field == "checks" {
            let names: BTreeSet<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(names, CHECKS.iter().copied().collect(), "the checks of the metrics (right)");
            for (name, check) in value.as_object().unwrap() {
                expected.insert(format!("checks.{name}"));
                expected.extend(check.as_object().unwrap().keys().map(|key| format!("checks.NAME.{key}")));
            }
        } else {
            expected.insert(field.clone());
        }
    }
    assert_eq!(documented("## `/readyz`"), expected, "docs/api.md (left) and what is printed (right)");
}

#[test]
fn a_field_that_is_missing_in_a_table_is_found() {
    let mut found = BTreeSet::new();
    paths(&serde_json::json!({"a": 1, "b": [{"c": [1, 2]}], "d": {"e": null}}), "", &mut found);
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "b[].c", "d.e"]);
    assert!(documented("## `markets.json`").contains("pairs[].bid_max"));
    assert!(documented("## No such heading").is_empty());
}
