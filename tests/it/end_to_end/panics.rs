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

#[test]
fn an_aggregator_that_panics_at_what_it_hears_rarely_is_back_too() {
    let sim = network(32, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let often = ["--orderbooks-schedule", "* * * * * *"];
        // Provoked before it leads: the messages come once, when assets are first looked up.
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &often);
        let client = recomputation::connect(&database).await;
        for (name, message) in [("aggregator", "RankMarkets"), ("aggregator", "AssetsCommitted")] {
            let before = actor(&daemon, name)["restarts"].as_u64().unwrap();
            daemon.provoke(name, message);
            wait_until("the actor fell and is back", || {
                if message == "AssetsCommitted" {
                    // Files that are due again are fetched, and that is told.
                    block_in_place(&client, "UPDATE toml_files SET next_check_at = now(), is_good = false");
                }
                let actor = actor(&daemon, name);
                actor["restarts"] == before + 1 && actor["state"] == "publishing"
            });
        }
        wait_for_trades(&client, 200).await;
        assert!(compare_published(&daemon, &client).await > 0);
        compare_with_what_was_emitted(&client, sim.oracle()).await;
    });
}

/// From the test's own thread, which is no worker of the runtime that drives the connection.
fn block_in_place(client: &Client, sql: &str) {
    let done =
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(client.batch_execute(sql)));
    if let Err(error) = done {
        println!("the checker was writing as well, once more: {error}");
    }
}
