//! Real actors that panic: each is back at once, its neighbours do not notice, and no trade is lost.

use super::*;

/// Each actor, and a type of message that it is sure to get soon.
const FALLS: [(&str, &str); 13] = [
    ("lease_keeper", "Ping"),
    ("stream_ingester", "Ping"),
    ("backfiller", "Ping"),
    ("asset_poller", "Ping"),
    ("toml_checker", "Ping"),
    ("toml_checker", "AssetsLookedUp"),
    ("orderbook_poller", "Ping"),
    ("cleaner", "Ping"),
    ("aggregator", "Ping"),
    ("aggregator", "TradesCommitted"),
    ("auditor", "Ping"),
    ("json_writer", "Ping"),
    ("json_writer", "PublicationReady"),
];

fn actor(daemon: &Daemon, name: &str) -> Value {
    let all = daemon.admin("/actors.json").json();
    all["actors"].as_array().unwrap().iter().find(|actor| actor["name"] == name).unwrap().clone()
}

fn restarts(daemon: &Daemon) -> Vec<(String, u64)> {
    let all = daemon.admin("/actors.json").json();
    let one =
        |actor: &Value| (actor["name"].as_str().unwrap().to_owned(), actor["restarts"].as_u64().unwrap());
    all["actors"].as_array().unwrap().iter().map(one).collect()
}

#[test]
fn each_actor_that_panics_is_back_and_nobody_else_notices_and_nothing_is_lost() {
    let sim = network(31, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        let client = recomputation::connect(&database).await;
        let mut expected = restarts(&daemon);
        for (name, message) in FALLS {
            daemon.provoke(name, message);
            let fallen = expected.iter_mut().find(|(actor, _)| actor == name).unwrap();
            fallen.1 += 1;
            wait_until("the actor fell and is back", || {
                let actor = actor(&daemon, name);
                actor["restarts"] == fallen.1 && actor["state"] != "backoff" && actor["state"] != "stopped"
            });
            assert_eq!(restarts(&daemon), expected, "nobody else notices");
            let exit = actor(&daemon, name)["last_exit"]["reason"].as_str().unwrap().to_owned();
            assert_eq!(exit, format!("panicked: provoked while handling {message}"));
            assert_eq!((daemon.get("/livez").status, daemon.get("/markets.json").status), (200, 200));
        }
        let before = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, before + 200).await;
        compare_published(&daemon, &client).await;
        compare_with_what_was_emitted(&client, sim.oracle()).await;
    });
}
