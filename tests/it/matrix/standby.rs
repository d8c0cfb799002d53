//! A hot standby: commands that only read work on it, and their output equals that of the primary.

use serde_json::Value;

use super::*;
use crate::support::{daemon::run, standby::Standby};

/// The file that `generate market-data` makes from a database.
fn generated(url: &str) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("markets.json");
    let arguments = ["generate", "market-data", "--database-url", url, "--network", PASSPHRASE, "-o"];
    let (code, _, output) = run(&[&arguments[..], &[file.to_str().unwrap()]].concat());
    assert_eq!(code, 0, "{output}");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// All figures that a daemon serves are those of the trades in a database.
fn agrees(daemon: &Daemon, database: &str) {
    let url = format!("http://{}", daemon.public);
    let (code, output, log) =
        run(&["audit", "--url", &url, "--database-url", database, "--network", PASSPHRASE]);
    assert_eq!(code, 0, "{output}{log}");
}

#[test]
#[ignore = "some 30 s: ./ticker matrix"]
fn a_hot_standby_is_a_pool_to_read_from_and_leads_when_it_is_promoted() {
    block_on(async {
        let mut scene = Scene::start(123).await;
        let client = scene.server.client().await;
        wait_for_trades(&client, 500).await;
        let standby = Standby::of(&scene.server);
        // Commands that only read, and a whole daemon that only follows.
        assert!(generated(&standby.url)["pairs"].as_array().is_some_and(|pairs| !pairs.is_empty()));
        let follower = Daemon::serve(&scene.sim.url(), &standby.url, PASSPHRASE, &[]);
        wait_for_pairs(&follower);
        let begun = number(&client, "SELECT seq FROM ingest_lease").await;
        wait_until("batches of the primary are published from the standby", || {
            follower.status()["seq"].as_i64() > Some(begun + 50)
        });
        assert!(scene.daemon.leads() && !follower.leads());
        assert_eq!(follower.get("/readyz").status, 200);
        agrees(&follower, &standby.url);
        agrees(&scene.daemon, &standby.url);
        let before = Instant::now();
        scene.daemon.kill();
        scene.server.stop();
        standby.promote().await;
        wait_until("it leads on what was its standby", || follower.leads());
        let led = before.elapsed();
        let client = crate::support::recomputation::connect(&standby.url).await;
        let trades = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, trades + 300).await;
        let trades = settle(scene.sim, &client, &[&follower]).await;
        figure!(
            "a daemon on a hot standby serves the primary's data, and leads once the standby is promoted",
            "leads after {}; {trades} trades, none lost, none doubled",
            seconds(led)
        );
    });
}
