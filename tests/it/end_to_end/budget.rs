//! The request budget, with the real program against a Horizon that has the public one's size and limits.

use super::*;

#[test]
fn from_nothing_to_a_first_correct_file_within_a_minute_on_the_public_budget() {
    let sim = horizon(SimConfig {
        seed: 51,
        network_passphrase: PASSPHRASE.into(),
        markets: 26_000,
        history_hours: 24,
        rate_limit: Some(3_600),
        rate_burst: Some(100),
        ..SimConfig::default()
    });
    block_on(async {
        let database = fresh_database().await;
        let begun = Instant::now();
        let daemon =
            Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--horizon-requests-per-hour", "3600"]);
        daemon.wait_for_publication();
        let first: Value = serde_json::from_slice(&daemon.get("/markets.json").body).unwrap();
        assert!(!first["pairs"].as_array().unwrap().is_empty(), "the first file holds pairs");
        println!("the first file that is not empty came after {} s", begun.elapsed().as_secs());
        // Its own clock counts, not that of a loaded machine.
        let log = daemon.log();
        let at = |message: &str| -> chrono::DateTime<chrono::Utc> {
            let line = log.lines().find(|line| line.contains(message)).unwrap();
            let line: Value = serde_json::from_str(line).unwrap();
            line["timestamp"].as_str().unwrap().parse().unwrap()
        };
        let waited = at("the first publication is there") - at("this replica leads");
        assert!(waited.num_seconds() <= 60, "{waited}");
        let client = recomputation::connect(&database).await;
        assert!(compare_published(&daemon, &client).await > 0);
        let metrics = String::from_utf8(daemon.admin("/metrics").body).unwrap();
        let refused: Vec<&str> = metrics.lines().filter(|line| line.contains("rate_limited")).collect();
        assert!(refused.is_empty(), "no request was refused: {refused:?}");
        assert!(metrics.contains("ticker_horizon_budget_tokens"));
        let requests = daemon.status()["budget"]["requests"].clone();
        let asked = |class: &str| requests[class].as_u64().unwrap();
        assert!(asked("first_assets") + asked("assets") > 0 && asked("live") > 0, "{requests}");
    });
}
