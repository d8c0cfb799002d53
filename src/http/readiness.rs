//! `/readyz`: whether readers should be sent here. Pure.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::published::{Check, Publication, Vitals};

/// `/readyz`, and whether it is a 503.
pub(super) fn readiness(
    vitals: &Vitals,
    newest: Option<&Publication>,
    stale_after: Duration,
    now: DateTime<Utc>,
) -> (bool, Value) {
    let age = |at: DateTime<Utc>| now.signed_duration_since(at).num_seconds().max(0);
    let stale_s = i64::try_from(stale_after.as_secs()).unwrap_or(i64::MAX);
    let (published, publication) = match newest {
        None => (false, json!({"ok": false, "detail": "none yet", "age_s": null})),
        Some(newest) => {
            let age_s = age(newest.as_of.to_utc());
            let ok = age_s <= stale_s;
            (ok, json!({"ok": ok, "detail": if ok { "fresh" } else { "too old" }, "age_s": age_s}))
        }
    };
    let told = |cell: &arc_swap::ArcSwapOption<Check>| match &*cell.load() {
        None => json!({"ok": false, "detail": "not known yet", "age_s": null}),
        Some(check) => json!({"ok": check.ok, "detail": check.detail, "age_s": age(check.at)}),
    };
    let mut checks = Map::new();
    checks.insert("database".into(), told(&vitals.database));
    checks.insert("stream".into(), told(&vitals.stream));
    checks.insert("publication".into(), publication);
    checks.insert("children".into(), told(&vitals.children));
    checks.insert("leader".into(), told(&vitals.leader));
    // A follower has no stream of its own, and that is no fault.
    let follows = vitals.leader.load().as_ref().is_some_and(|leader: &Arc<Check>| !leader.ok);
    let well = |name: &str| checks.get(name).and_then(|check| check.get("ok")) == Some(&Value::Bool(true));
    let failing = !published || vitals.is_draining();
    let all_well = well("database") && (well("stream") || follows) && well("children");
    let status = if failing {
        "failing"
    } else if all_well {
        "ok"
    } else {
        "degraded"
    };
    (failing, json!({"status": status, "checks": checks}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{board::Board, instant::Second},
        published::FileMaker,
    };

    const NOW: i64 = 1_800_000_000;

    fn publication(age_s: i64) -> Publication {
        Publication {
            as_of: Second(NOW - age_s),
            ..Publication::render(1, None, Board::default(), &mut FileMaker::default()).unwrap()
        }
    }

    fn vitals(faults: &[&str]) -> Vitals {
        let vitals = Vitals::default();
        let cells = [
            ("database", &vitals.database),
            ("stream", &vitals.stream),
            ("children", &vitals.children),
            ("leader", &vitals.leader),
        ];
        for (name, cell) in cells {
            Vitals::tell(cell, !faults.contains(&name), "", Second(NOW - 5).to_utc());
        }
        vitals
    }

    fn status(vitals: &Vitals, newest: Option<&Publication>) -> (bool, String) {
        let (failing, body) = readiness(vitals, newest, Duration::from_secs(600), Second(NOW).to_utc());
        (failing, body["status"].as_str().unwrap().to_owned())
    }

    #[test]
    fn fails_only_before_the_first_publication_when_that_is_too_old_and_in_the_drain() {
        assert_eq!(status(&vitals(&[]), None), (true, "failing".into()));
        assert_eq!(status(&vitals(&[]), Some(&publication(600))), (false, "ok".into()));
        assert_eq!(status(&vitals(&[]), Some(&publication(601))), (true, "failing".into()));
        let draining = vitals(&[]);
        draining.begin_draining();
        assert_eq!(status(&draining, Some(&publication(0))), (true, "failing".into()));
    }

    #[test]
    fn a_lost_database_stream_or_child_degrades_and_a_follower_is_ready() {
        for fault in ["database", "stream", "children"] {
            assert_eq!(
                status(&vitals(&[fault]), Some(&publication(1))),
                (false, "degraded".into()),
                "{fault}"
            );
        }
        assert_eq!(status(&vitals(&["leader"]), Some(&publication(1))), (false, "ok".into()));
        assert_eq!(status(&vitals(&["leader", "stream"]), Some(&publication(1))), (false, "ok".into()));
    }

    #[test]
    fn every_check_is_told_with_its_age() {
        let (_, body) =
            readiness(&vitals(&[]), Some(&publication(3)), Duration::from_secs(9), Second(NOW).to_utc());
        for name in ["database", "stream", "publication", "children", "leader"] {
            let check = &body["checks"][name];
            assert!(
                check["ok"].is_boolean() && check["detail"].is_string() && check["age_s"].is_i64(),
                "{name}: {check}"
            );
        }
        let (_, unknown) = readiness(&Vitals::default(), None, Duration::from_secs(9), Second(NOW).to_utc());
        assert_eq!(unknown["checks"]["stream"]["age_s"], Value::Null);
    }
}
