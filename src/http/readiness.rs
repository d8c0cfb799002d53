//! `/readyz`: the readiness of this daemon for traffic. Pure.

use std::time::Duration;

use actor_tree::health::Health;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::status::received_at;
use crate::{
    domain::conversions::SaturatingFrom,
    published::{HealthCell, LakeState, Publication, Vitals},
};

/// Check that only informs: a follower is ready.
const LEADER: &str = "leader";

/// Readiness of this daemon, as `/readyz` reports it.
#[derive(Clone, Debug)]
pub struct Readiness {
    /// True if `/readyz` answers 200.
    pub is_ready: bool,
    /// `ok`, `degraded` or `failing`.
    pub status: &'static str,
    /// Checks that this replica has, each with `ok`, `detail` and `age_s`.
    pub checks: Vec<(&'static str, Value)>,
}

impl Readiness {
    /// Returns the readiness with the newest publication, which is too old after `stale_after`.
    #[must_use]
    pub fn of(
        vitals: &Vitals,
        newest: Option<&Publication>,
        stale_after: Duration,
        now: DateTime<Utc>,
    ) -> Self {
        let (is_published, publication) = publication(vitals, newest, stale_after, now);
        let checks = checks(vitals, publication, now);
        let is_ready = is_published && !vitals.is_draining();
        let status = if !is_ready {
            "failing"
        } else if checks.iter().all(|(name, check)| *name == LEADER || passes(check)) {
            "ok"
        } else {
            "degraded"
        };
        Self { is_ready, status, checks }
    }

    /// Returns true if a check fails, other than `leader`, or if `/readyz` answers 503.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.status != "ok"
    }

    /// Returns true if the check passes, or if this replica does not have it.
    #[must_use]
    pub fn passes(&self, name: &str) -> bool {
        self.checks.iter().find(|(known, _)| *known == name).is_none_or(|(_, check)| passes(check))
    }

    /// Returns the body of `/readyz`.
    pub(super) fn body(self) -> Value {
        let checks = self.checks.into_iter().map(|(name, check)| (name.to_owned(), check));
        let checks: Map<String, Value> = checks.collect();
        json!({"status": self.status, "checks": checks})
    }
}

fn passes(check: &Value) -> bool {
    check.get("ok") == Some(&Value::Bool(true))
}

fn checks(vitals: &Vitals, publication: Value, now: DateTime<Utc>) -> Vec<(&'static str, Value)> {
    let age = |at: DateTime<Utc>| now.signed_duration_since(at).num_seconds().max(0);
    let shown = |cell: &HealthCell| match &*cell.load() {
        None => json!({"ok": false, "detail": "not known yet", "age_s": null}),
        Some(check) => json!({"ok": check.ok, "detail": check.detail, "age_s": age(check.at)}),
    };
    let follows = vitals.follows();
    let mut checks = vec![
        ("database", shown(database(vitals, follows))),
        ("publication", publication),
        ("children", shown(&vitals.children)),
        (LEADER, shown(&vitals.leader)),
    ];
    if !follows {
        checks.push(("stream", shown(&vitals.stream)));
        checks.push(("horizon", horizon(vitals, now)));
        checks.push(("budget", budget(vitals, now)));
        if let Some(lake) = vitals.lake.load() {
            checks.push(("lake", lake_check(&lake, vitals.grace.load().part_s, now)));
        }
    }
    if let Some(disk) = vitals.disk.load().as_deref() {
        checks.push(("disk", graced(disk, 0, now)));
    }
    for (part, check) in vitals.parts.load().iter() {
        // A follower has no checks for work that only the leader does.
        if !(follows && part.is_leaders) {
            checks.push((part.name, graced(check, part.grace_s.min(vitals.grace.load().part_s), now)));
        }
    }
    checks
}

/// Returns the report of the database that matters most. One that answers may fail to read or to store trades, or to
/// renew the lease. A follower stores none.
fn database(vitals: &Vitals, follows: bool) -> &HealthCell {
    if vitals.database.answers.load().as_ref().is_none_or(|check| !check.ok) {
        &vitals.database.answers
    } else if vitals.database.unreadable.load().is_some() {
        &vitals.database.unreadable
    } else if !follows && vitals.database.unwritable_stream.load().is_some() {
        &vitals.database.unwritable_stream
    } else if vitals.database.unleased.load().is_some() {
        &vitals.database.unleased
    } else if !follows && vitals.database.unwritable_history.load().is_some() {
        &vitals.database.unwritable_history
    } else {
        &vitals.database.answers
    }
}

/// Returns false without a fresh publication, and its check. The check also fails if the publication is new but its
/// data are stale. That alone is not a 503, because they are still the newest data available.
fn publication(
    vitals: &Vitals,
    newest: Option<&Publication>,
    stale_after: Duration,
    now: DateTime<Utc>,
) -> (bool, Value) {
    let Some(newest) = newest else {
        return (false, json!({"ok": false, "detail": "none yet", "age_s": null, "data_age_s": null}));
    };
    let age = |at: DateTime<Utc>| now.signed_duration_since(at).num_seconds().max(0);
    let stale_s = i64::saturating_from(stale_after.as_secs());
    let (age_s, data_age_s) = (age(newest.as_of.to_utc()), received_at(vitals, Some(newest)).map(age));
    let is_fresh = age_s <= stale_s;
    let has_news = data_age_s.is_none_or(|age_s| age_s <= stale_s);
    let trade = newest.latest.map_or_else(
        || "it holds no trade yet".to_owned(),
        |(ledger, closed_at)| format!("newest trade {} s old, in ledger {ledger}", age(closed_at.to_utc())),
    );
    let verdict = match (is_fresh, has_news) {
        (true, true) => "fresh".to_owned(),
        (true, false) => {
            format!("made on time from stale data, nothing was received for {} s", data_age_s.unwrap_or(0))
        }
        (false, _) => format!("too old, made {age_s} s ago"),
    };
    let detail = format!("{verdict}; {trade}");
    let check =
        json!({"ok": is_fresh && has_news, "detail": detail, "age_s": age_s, "data_age_s": data_age_s});
    (is_fresh, check)
}

fn graced(check: &Health, grace_s: i64, now: DateTime<Utc>) -> Value {
    let age_s = now.signed_duration_since(check.at).num_seconds().max(0);
    json!({"ok": check.ok || age_s < grace_s, "detail": check.detail, "age_s": age_s})
}

fn horizon(vitals: &Vitals, now: DateTime<Utc>) -> Value {
    match &*vitals.horizon.load() {
        Some(state) => match (state.fault(), &state.outage) {
            (Some(detail), Some((since, _))) => {
                graced(&Health::failed(None, detail, *since), vitals.grace.load().horizon_s, now)
            }
            _ if state.was_answered => json!({"ok": true, "detail": "answers", "age_s": 0}),
            _ => json!({"ok": true, "detail": "no request yet", "age_s": null}),
        },
        None => json!({"ok": true, "detail": "no request yet", "age_s": null}),
    }
}

fn lake_check(lake: &LakeState, grace_s: i64, now: DateTime<Utc>) -> Value {
    match (lake.fault(), lake.outages.first()) {
        (Some(detail), Some(outage)) => graced(&Health::failed(None, detail, outage.since), grace_s, now),
        (Some(detail), None) => json!({"ok": false, "detail": detail, "age_s": null}),
        (None, _) => {
            let detail = lake.figures.newest.map_or_else(
                || "nothing read yet".to_owned(),
                |(ledger, at)| {
                    format!("newest ledger {ledger}, {} s old", now.timestamp().saturating_sub(at.0))
                },
            );
            json!({"ok": true, "detail": detail, "age_s": 0})
        }
    }
}

fn budget(vitals: &Vitals, now: DateTime<Utc>) -> Value {
    match &*vitals.budget_fault.load() {
        Some(fault) => {
            let grace_s = vitals.grace.load().part_s;
            graced(&Health::failed(None, fault.detail.clone(), fault.since), grace_s, now)
        }
        None => json!({"ok": true, "detail": "enough for new trades", "age_s": 0}),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        domain::{instant::UnixSeconds, market_snapshot::MarketSnapshot},
        published::{BudgetFault, FileMaker, HorizonState, Part},
    };

    const NOW: i64 = 1_800_000_000;

    fn publication(age_s: i64) -> Publication {
        Publication {
            as_of: UnixSeconds(NOW - age_s),
            ..Publication::render(1, None, MarketSnapshot::default(), None, &mut FileMaker::default())
                .unwrap()
        }
    }

    fn vitals(faults: &[&str]) -> Vitals {
        let vitals = Vitals::default();
        let cells = [
            ("database", &vitals.database.answers),
            ("stream", &vitals.stream),
            ("children", &vitals.children),
            ("leader", &vitals.leader),
        ];
        for (name, cell) in cells {
            let at = UnixSeconds(NOW - 5).to_utc();
            if faults.contains(&name) { cell.fails("", at) } else { cell.succeeds("", at) }
        }
        vitals
    }

    fn readiness(vitals: &Vitals, newest: Option<&Publication>) -> Readiness {
        Readiness::of(vitals, newest, Duration::from_secs(600), UnixSeconds(NOW).to_utc())
    }

    fn body(vitals: &Vitals, newest: Option<&Publication>) -> Value {
        readiness(vitals, newest).body()
    }

    /// Returns true if the daemon is ready, and its status.
    fn status(vitals: &Vitals, newest: Option<&Publication>) -> (bool, &'static str) {
        let readiness = readiness(vitals, newest);
        (readiness.is_ready, readiness.status)
    }

    #[test]
    fn fails_only_without_a_fresh_publication_and_while_draining() {
        assert_eq!(status(&vitals(&[]), None), (false, "failing"));
        assert_eq!(status(&vitals(&[]), Some(&publication(600))), (true, "ok"));
        assert_eq!(status(&vitals(&[]), Some(&publication(601))), (false, "failing"));
        let draining = vitals(&[]);
        draining.begin_draining();
        assert_eq!(status(&draining, Some(&publication(0))), (false, "failing"));
        assert!(readiness(&draining, Some(&publication(0))).is_degraded());
    }

    #[test]
    fn a_database_that_answers_and_stores_no_trade_is_a_fault_of_the_leader() {
        let check = |vitals: &Vitals| body(vitals, Some(&publication(0)))["checks"]["database"].clone();
        let report = |cell, detail| HealthCell::fails(cell, detail, UnixSeconds(NOW - 9).to_utc());
        let (leading, following) = (vitals(&[]), vitals(&["leader"]));
        for vitals in [&leading, &following] {
            report(&vitals.database.unwritable_history, "writes of history fail");
        }
        assert_eq!(check(&leading), json!({"ok": false, "detail": "writes of history fail", "age_s": 9}));
        for vitals in [&leading, &following] {
            report(&vitals.database.unwritable_stream, "writes of the stream fail");
        }
        assert_eq!(check(&leading)["detail"], "writes of the stream fail", "the larger fault");
        assert_eq!(check(&following)["ok"], true, "it writes none");
    }

    #[test]
    fn a_database_that_answers_and_cannot_be_read_is_a_fault_of_every_replica() {
        for vitals in [vitals(&[]), vitals(&["leader"])] {
            vitals.database.unreadable.fails("reads fail", UnixSeconds(NOW - 9).to_utc());
            assert_eq!(status(&vitals, Some(&publication(1))), (true, "degraded"));
            // The lease keeper still hears answers.
            vitals.database.answers.succeeds("answers", UnixSeconds(NOW).to_utc());
            let check = || body(&vitals, None)["checks"]["database"].clone();
            assert_eq!(check(), json!({"ok": false, "detail": "reads fail", "age_s": 9}));
            vitals.database.answers.fails("does not answer", UnixSeconds(NOW).to_utc());
            assert_eq!(check()["detail"], "does not answer", "the larger fault");
        }
    }

    #[test]
    fn a_refused_renewal_of_the_lease_hides_no_more_exact_fault() {
        let vitals = vitals(&[]);
        let check = || body(&vitals, Some(&publication(0)))["checks"]["database"].clone();
        let report = |cell, detail| HealthCell::fails(cell, detail, UnixSeconds(NOW - 9).to_utc());
        report(&vitals.database.unwritable_history, "writes of history fail");
        report(&vitals.database.unleased, "refuses to renew the lease (SQLSTATE 42501)");
        let renewal =
            json!({"ok": false, "detail": "refuses to renew the lease (SQLSTATE 42501)", "age_s": 9});
        assert_eq!(check(), renewal, "without a lease no history is written either");
        report(&vitals.database.unwritable_stream, "writes of the stream fail");
        assert_eq!(check()["detail"], "writes of the stream fail");
        report(&vitals.database.unreadable, "reads fail");
        assert_eq!(check()["detail"], "reads fail");
    }

    #[test]
    fn a_lost_database_stream_or_child_degrades_and_a_follower_is_ready() {
        for fault in ["database", "stream", "children"] {
            assert_eq!(status(&vitals(&[fault]), Some(&publication(1))), (true, "degraded"), "{fault}");
        }
        assert_eq!(status(&vitals(&["leader"]), Some(&publication(1))), (true, "ok"));
        assert_eq!(status(&vitals(&["leader", "stream"]), Some(&publication(1))), (true, "ok"));
    }

    fn answering() -> HorizonState {
        HorizonState { url: "https://h".into(), outage: None, was_answered: true }
    }

    fn check(ok: bool, age_s: i64) -> Health {
        Health { ok, detail: "x".into(), at: UnixSeconds(NOW - age_s).to_utc() }
    }

    #[test]
    fn every_part_that_fails_for_long_degrades_and_names_itself() {
        let newest = publication(1);
        let checks = |vitals: &Vitals| {
            let readiness = readiness(vitals, Some(&newest));
            assert!(readiness.is_ready, "{readiness:?}");
            readiness.body()
        };
        for (part, age_s, degraded) in [
            (Part::of_replica("nginx"), 0, true),
            (Part::of_replica("audit").with_grace(), 29, false),
            (Part::of_replica("audit").with_grace(), 30, true),
            (Part::of_leader("history"), 29, false),
            (Part::of_leader("history"), 30, true),
        ] {
            let vitals = vitals(&[]);
            vitals.parts.store(Arc::new(vec![(part, check(false, age_s))]));
            let (body, name) = (checks(&vitals), part.name);
            assert_eq!(body["checks"][name]["ok"], !degraded, "{name} {age_s}");
            assert_eq!(body["status"], if degraded { "degraded" } else { "ok" }, "{name} {age_s}");
        }
        let vitals = vitals(&[]);
        let since = UnixSeconds(NOW - 10).to_utc();
        let state = HorizonState { outage: Some((since, "refused".into())), ..answering() };
        vitals.horizon.store(Some(Arc::new(state)));
        let body = checks(&vitals);
        assert_eq!((&body["status"], &body["checks"]["horizon"]["ok"]), (&json!("degraded"), &json!(false)));
        let detail = body["checks"]["horizon"]["detail"].as_str().unwrap();
        assert_eq!(detail, "https://h cannot be reached since 2027-01-15T07:59:50Z: refused");
        vitals.horizon.store(Some(Arc::new(answering())));
        let since = UnixSeconds(NOW - 30).to_utc();
        vitals.budget_fault.store(Some(Arc::new(BudgetFault { since, detail: "used up".into() })));
        let body = checks(&vitals);
        assert_eq!((&body["status"], &body["checks"]["budget"]["ok"]), (&json!("degraded"), &json!(false)));
    }

    #[test]
    fn a_full_disk_degrades() {
        let vitals = vitals(&[]);
        vitals.disk.fails("/data: 9 MiB free", UnixSeconds(NOW - 3).to_utc());
        assert_eq!(status(&vitals, Some(&publication(1))), (true, "degraded"));
        let body = body(&vitals, Some(&publication(1)));
        assert_eq!(body["checks"]["disk"], json!({"ok": false, "detail": "/data: 9 MiB free", "age_s": 3}));
    }

    #[test]
    fn a_publication_made_on_time_from_stale_data_degrades_and_says_so() {
        let vitals = vitals(&[]);
        vitals.stream.succeeds("", UnixSeconds(NOW - 601).to_utc());
        let newest = Publication { latest: Some((9, UnixSeconds(NOW - 700))), ..publication(1) };
        assert_eq!(status(&vitals, Some(&newest)), (true, "degraded"));
        let body = body(&vitals, Some(&newest));
        let check = &body["checks"]["publication"];
        assert_eq!(
            (&check["ok"], &check["age_s"], &check["data_age_s"]),
            (&json!(false), &json!(1), &json!(601))
        );
        let detail = check["detail"].as_str().unwrap();
        assert_eq!(
            detail,
            "made on time from stale data, nothing was received for 601 s; newest trade 700 s old, in ledger 9"
        );
        // A quiet network is not stale: bytes arrive although nobody trades.
        vitals.stream.succeeds("", UnixSeconds(NOW - 1).to_utc());
        assert_eq!(status(&vitals, Some(&newest)), (true, "ok"));
    }

    #[test]
    fn a_follower_has_no_checks_of_the_leaders_work() {
        let vitals = vitals(&["leader", "stream"]);
        vitals.parts.store(Arc::new(vec![
            (Part::of_replica("files"), check(true, 1)),
            (Part::of_leader("history"), check(false, 99)),
            (Part::of_leader("stellar_toml"), check(false, 99)),
        ]));
        let readiness = readiness(&vitals, Some(&publication(1)));
        let mut names: Vec<&str> = readiness.checks.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        assert_eq!(names, ["children", "database", "files", "leader", "publication"]);
        assert!(!readiness.is_degraded());
        // A check that the replica does not have counts as passed in the metrics.
        let passes = ["history", "files", "leader"].map(|name| readiness.passes(name));
        assert_eq!(passes, [true, true, false]);
    }

    #[test]
    fn every_check_has_a_detail_and_an_age() {
        let vitals = vitals(&[]);
        vitals.horizon.store(Some(Arc::new(answering())));
        vitals.parts.store(Arc::new(vec![(Part::of_replica("files"), check(true, 1))]));
        let checked = body(&vitals, Some(&publication(3)));
        for name in ["database", "stream", "publication", "children", "leader", "horizon", "budget", "files"]
        {
            let check = &checked["checks"][name];
            assert!(
                check["ok"].is_boolean() && check["detail"].is_string() && check["age_s"].is_i64(),
                "{name}: {check}"
            );
        }
        let unknown = body(&Vitals::default(), None);
        assert_eq!(unknown["checks"]["stream"]["age_s"], Value::Null);
    }
}
