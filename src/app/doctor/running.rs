//! Checks of the running daemon, by its own listeners, and of the files that it writes.

use std::{path::Path, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::Finding;
use crate::{
    clock::{Clock as _, SystemClock},
    config::{Config, FileInterval},
    db::examination::LeaseView,
    http::probe::{self, ProbeAnswer},
};

/// Time limit for each answer of the daemon.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest time between two writes of the files with `--file-interval auto`.
const AUTO_INTERVAL_MAX: Duration = Duration::from_secs(15);
/// The checks that need a running daemon.
const OF_DAEMON: [&str; 6] = ["readiness", "data_age", "replicas", "audit_verdict", "actors", "files"];

pub(super) fn check(config: &Config, lease: Option<&LeaseView>) -> Vec<Finding> {
    const NAME: &str = "daemon";
    let not_running = |finding| {
        let skipped = OF_DAEMON.map(|name| Finding::skipped(name, "no daemon answers"));
        [vec![finding], skipped.to_vec()].concat()
    };
    match probe::get(config.bind, "/livez", PATIENCE) {
        Err(_) => not_running(Finding::skipped(NAME, format!("no daemon answers on {}", config.bind))),
        Ok(ProbeAnswer { status: 200, .. }) => {
            let public = |path| json(probe::get(config.bind, path, PATIENCE));
            let (ready, status) = (public("/readyz"), public("/api/v1/status"));
            let actors_shown = json(probe::get(config.admin_bind, "/actors.json", PATIENCE));
            vec![
                Finding::ok(NAME, format!("it answers on {}", config.bind)),
                readiness(&ready),
                data_age(&status),
                replicas(&status, lease),
                audit(&status),
                actors(&actors_shown),
                files(&config.output_dir, config.stale_after, config.file_interval),
            ]
        }
        Ok(answer) => not_running(Finding::failure(
            NAME,
            format!("/livez on {} answers {}", config.bind, answer.status),
            "restart the daemon, if it is one: its supervisor does not tick",
        )),
    }
}

/// Returns null if there is no answer, or none of JSON.
fn json(answer: std::io::Result<ProbeAnswer>) -> Value {
    answer.ok().and_then(|answer| serde_json::from_str(&answer.body).ok()).unwrap_or_default()
}

/// Returns a text inside a value; empty if it is not there.
fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn readiness(ready: &Value) -> Finding {
    const NAME: &str = "readiness";
    let checks = ready["checks"].as_object().into_iter().flatten();
    let failing: Vec<String> = checks
        .filter(|(name, check)| *name != "leader" && check["ok"] != true)
        .map(|(name, check)| format!("{name}: {}", check["detail"].as_str().unwrap_or_default()))
        .collect();
    let remedy = "docs/troubleshoot.md and docs/watch.md say what each check means";
    match ready["status"].as_str() {
        Some("ok") => Finding::ok(NAME, "all checks of /readyz pass"),
        Some("degraded") => Finding::warning(NAME, failing.join("\n"), remedy),
        _ => Finding::failure(NAME, format!("/readyz fails\n{}", failing.join("\n")), remedy),
    }
}

fn data_age(status: &Value) -> Finding {
    const NAME: &str = "data_age";
    let lag = status["lag_s"]
        .as_i64()
        .map_or("it holds no trade yet".to_owned(), |lag| format!("the newest trade is {lag} s old"));
    if status["stale"] == false {
        return Finding::ok(NAME, lag);
    }
    let remedy =
        "check `stream`, `horizon` and `budget` in /readyz: the daemon receives nothing from Horizon";
    Finding::failure(NAME, format!("the data are stale: {lag}"), remedy)
}

/// Compares what the daemon believes about the lease with the lease.
fn replicas(status: &Value, lease: Option<&LeaseView>) -> Finding {
    const NAME: &str = "replicas";
    let Some(lease) = lease else { return Finding::skipped(NAME, "the lease was not read") };
    let (id, leads) =
        (text(status, "/replica/id"), status.pointer("/replica/leader") == Some(&Value::Bool(true)));
    match (leads, lease.is_held, lease.holder == id) {
        (true, true, true) => Finding::ok(NAME, "this replica leads"),
        (false, true, false) => Finding::ok(NAME, "another replica leads, this one follows"),
        (true, _, false) => Finding::failure(
            NAME,
            format!(
                "this replica ({id}) believes that it leads, and the lease belongs to {:?}",
                lease.holder
            ),
            "run again in some seconds. If it stays: two databases or two copies of one are in use",
        ),
        _ => Finding::failure(
            NAME,
            "nobody leads, so nothing is ingested",
            "run again in some seconds. If it stays: look at `leader` and `database` in /readyz",
        ),
    }
}

fn audit(status: &Value) -> Finding {
    const NAME: &str = "audit_verdict";
    let audit = &status["audit"];
    let differences = audit["differences"].as_u64().unwrap_or(0);
    let reread = &audit["reread"];
    let wrong: u64 = ["contradicting", "surplus"].iter().filter_map(|name| reread[name].as_u64()).sum();
    if differences > 0 {
        return Finding::failure(
            NAME,
            format!("{differences} published figures differ from the stored trades"),
            "run `stellar-ticker audit --repair`, and see docs/watch.md, \"The self-audit\"",
        );
    }
    if wrong > 0 {
        return Finding::failure(
            NAME,
            format!("{wrong} stored trades contradicted Horizon since the daemon started"),
            "compare them with /quarantine.json, and delete the wrong ones: docs/watch.md, \"The self-audit\". The count \
             ends with a restart",
        );
    }
    match audit["at"].as_str() {
        Some(at) => Finding::ok(NAME, format!("all markets agreed with their trades at {at}")),
        None => Finding::skipped(NAME, "no pass of the self-audit has ended yet"),
    }
}

fn actors(report: &Value) -> Finding {
    const NAME: &str = "actors";
    let Some(all) = report["actors"].as_array() else {
        return Finding::warning(
            NAME,
            "/actors.json was not read",
            "give the daemon's --admin-bind to this command",
        );
    };
    let name = |actor: &Value| actor["name"].as_str().unwrap_or_default().to_owned();
    let is_down = |actor: &&Value| matches!(actor["state"].as_str(), Some("backoff" | "stopped"));
    let down: Vec<String> = all.iter().filter(is_down).map(name).collect();
    let restarts = |actor: &Value| actor["restarts"].as_u64().unwrap_or(0);
    let restarted = all.iter().filter(|actor| restarts(actor) > 0);
    let restarted: Vec<String> = restarted
        .map(|actor| {
            let reason = text(actor, "/last_exit/reason");
            format!("{} restarted {} times, last: {reason}", name(actor), restarts(actor))
        })
        .collect();
    let remedy = "read the log around `panicked` and `restarting actor`, and report a panic";
    if !down.is_empty() {
        return Finding::failure(NAME, format!("down: {}", down.join(", ")), remedy);
    }
    if !restarted.is_empty() {
        return Finding::warning(NAME, restarted.join("\n"), remedy);
    }
    Finding::ok(NAME, format!("{} running, no restarts", all.len()))
}

fn files(directory: &Path, stale_after: Duration, interval: FileInterval) -> Finding {
    const NAME: &str = "files";
    const REMEDY: &str = "look at `files` and `disk` in /readyz; HTTP serves the newest publication anyway";
    let interval = match interval {
        FileInterval::Auto => AUTO_INTERVAL_MAX,
        FileInterval::Every(interval) => interval,
    };
    let age_max = stale_after.saturating_add(interval);
    let file = directory.join("markets.json");
    let age = std::fs::metadata(&file).and_then(|data| data.modified());
    let age = age.map(|at| (SystemClock.now() - DateTime::<Utc>::from(at)).to_std().unwrap_or_default());
    match age {
        Err(error) => Finding::failure(NAME, format!("{}: {error}", file.display()), REMEDY),
        Ok(age) if age > age_max => {
            Finding::failure(NAME, format!("{} is {} s old", file.display(), age.as_secs()), REMEDY)
        }
        Ok(age) => Finding::ok(NAME, format!("{} is {} s old", file.display(), age.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::doctor::finding::Verdict;

    #[test]
    fn files_that_are_seldom_written_may_be_older_than_the_data() {
        let directory = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(directory.path().join("markets.json")).unwrap();
        file.set_modified((SystemClock.now() - chrono::TimeDelta::seconds(100)).into()).unwrap();
        let verdict =
            |stale_s, interval| files(directory.path(), Duration::from_secs(stale_s), interval).verdict;
        let every = |seconds| FileInterval::Every(Duration::from_secs(seconds));
        assert_eq!(verdict(60, every(1)), Verdict::Failure);
        assert_eq!(verdict(60, every(60)), Verdict::Ok);
        assert_eq!(verdict(60, FileInterval::Auto), Verdict::Failure);
        assert_eq!(verdict(90, FileInterval::Auto), Verdict::Ok, "large files are written every 15 s");
    }
}
