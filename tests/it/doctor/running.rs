//! Daemons that run and are not well.

use serde_json::json;

use super::*;
use crate::support::postgres::execute;

fn sound_status() -> Value {
    json!({
        "stale": false, "lag_s": 3, "replica": {"id": "me", "leader": false},
        "audit": {"at": "2026-11-27T00:00:00Z", "differences": 0, "reread": null},
    })
}

fn sound_actors() -> Value {
    json!({"actors": [{"name": "aggregator", "state": "publishing", "restarts": 0, "last_exit": null}]})
}

/// A set-up with a prepared daemon.
async fn beside(ready: Value, status: Value, actors: Value) -> (Setup, Canned) {
    let mut setup = Setup::new().await;
    let daemon = Canned::daemon(&ready, &status, &actors);
    (setup.bind, setup.admin) = (daemon.address(), daemon.address());
    // Both listeners of a canned daemon are one, which a configuration refuses.
    setup.admin.set_ip("127.0.0.2".parse().unwrap());
    (setup, daemon)
}

#[test]
fn a_daemon_whose_supervisor_is_dead() {
    block_on(async {
        let (setup, daemon) = beside(json!({}), json!({}), json!({})).await;
        daemon.set("/livez", 503, "", &json!({"status": 503}));
        let found = setup.run();
        found.assert("daemon", "failure", "answers 503");
        assert_eq!(found.check("actors")["status"], "skipped");
    });
}

#[test]
fn a_daemon_that_is_degraded_or_fails() {
    block_on(async {
        let degraded =
            json!({"status": "degraded", "checks": {"disk": {"ok": false, "detail": "9 MiB free"}}});
        let (setup, daemon) = beside(degraded, sound_status(), sound_actors()).await;
        setup.run().assert("readiness", "warning", "disk: 9 MiB free");
        let failing =
            json!({"status": "failing", "checks": {"publication": {"ok": false, "detail": "none yet"}}});
        daemon.set("/readyz", 503, "", &failing);
        setup.run().assert("readiness", "failure", "publication: none yet");
    });
}

#[test]
fn stale_data_differences_and_missing_files() {
    block_on(async {
        let mut status = sound_status();
        status["stale"] = json!(true);
        status["lag_s"] = json!(4_000);
        status["audit"]["differences"] = json!(7);
        let (setup, _daemon) = beside(json!({"status": "ok"}), status, sound_actors()).await;
        let found = setup.run();
        found.assert("data_age", "failure", "4000 s old");
        found.assert("audit_verdict", "failure", "7 published figures");
        found.assert("files", "failure", "markets.json");
    });
}

#[test]
fn an_old_file() {
    block_on(async {
        let (setup, _daemon) = beside(json!({"status": "ok"}), sound_status(), sound_actors()).await;
        std::fs::create_dir_all(&setup.output_dir).unwrap();
        let file = std::fs::File::create(setup.output_dir.join("markets.json")).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        setup.run().assert("files", "failure", "s old");
    });
}

#[test]
fn a_lease_that_nobody_or_another_holds() {
    block_on(async {
        let mut status = sound_status();
        let (setup, daemon) = beside(json!({"status": "ok"}), status.clone(), sound_actors()).await;
        setup.run().assert("replicas", "failure", "nobody leads");
        let held = async |time: &str| {
            let sql =
                format!("UPDATE ingest_lease SET holder = 'other', expires_at = now() + interval '{time}'");
            execute(&setup.database, &sql).await;
        };
        // So late an end was set by a server whose clock was ahead.
        held("1 hour").await;
        setup.run().assert("replicas", "failure", "nobody leads");
        held("60 seconds").await;
        assert_eq!(setup.run().check("replicas")["detail"], "another replica leads, this one follows");
        status["replica"]["leader"] = json!(true);
        daemon.set("/api/v1/status", 200, "", &status);
        held("60 seconds").await;
        setup.run().assert("replicas", "failure", "believes that it leads");
    });
}

/// The real daemon, since the canned one has a single address.
#[test]
fn actors_that_restarted() {
    let sim = network(522, FaultPlan::none());
    block_on(async {
        let mut setup = Setup::new().await;
        let daemon = Daemon::serve(&sim.url(), &setup.database, PASSPHRASE, &[]);
        daemon.provoke("cleaner", "Ping");
        wait_until("it restarted", || {
            let actors = daemon.admin("/actors.json").json();
            let mut actors = actors["actors"].as_array().unwrap().iter();
            actors.any(|actor| {
                actor["name"] == "cleaner" && actor["restarts"] == 1 && actor["state"] != "backoff"
            })
        });
        (setup.bind, setup.admin) = (daemon.public, daemon.admin);
        setup.run().assert("actors", "warning", "cleaner restarted 1 times");
    });
}
