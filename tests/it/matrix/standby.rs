//! A hot standby: what only reads works on it, and what it says is what the primary says.

use serde_json::Value;

use super::*;
use crate::support::{daemon::run, standby::Standby};

/// What `generate market-data` makes of a database.
fn generated(url: &str) -> Result<Value, String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("markets.json");
    let arguments = ["generate", "market-data", "--database-url", url, "--network", PASSPHRASE, "-o"];
    let (code, _, told) = run(&[&arguments[..], &[file.to_str().unwrap()]].concat());
    if code != 0 {
        return Err(format!("{code}: {told}"));
    }
    Ok(serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap())
}

#[test]
#[ignore = "some 15 s: ./ticker matrix"]
fn a_hot_standby_is_read_and_says_what_the_primary_says() {
    block_on(async {
        let scene = Scene::start(123).await;
        let client = scene.server.client().await;
        wait_for_trades(&client, 500).await;
        let standby = Standby::of(&scene.server);
        let trades = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, trades + 200).await;
        eprintln!("standby generate: {:?}", generated(&standby.url).map(|v| v["pairs"].as_array().unwrap().len()));
        eprintln!("audit: {:?}", run(&["audit", "--database-url", &standby.url, "--network", PASSPHRASE, "--url", &format!("http://{}", scene.daemon.public)]));
        let follower = Daemon::serve(&scene.sim.url(), &standby.url, PASSPHRASE, &[]);
        tokio::time::sleep(Duration::from_secs(20)).await;
        eprintln!("{}", follower.log());
        eprintln!("{}", String::from_utf8_lossy(&follower.get("/readyz").body));
        panic!("look");
    });
}
