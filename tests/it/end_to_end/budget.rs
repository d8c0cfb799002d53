//! The request budget, with the real program against a Horizon that has the public one's size and limits.

use super::*;
use crate::support::{LOADED, figure};

/// Within this time an idle machine has a first file.
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn from_nothing_to_a_first_correct_file_on_the_public_budget() {
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
        wait_for_pairs(&daemon);
        let waited = begun.elapsed();
        figure!(
            "the first file with pairs is published within a minute of a start on an empty database, on the public budget",
            "{:.0} s",
            waited.as_secs_f64()
        );
        assert!(waited <= MINUTE * LOADED, "{waited:?}");
        let client = recomputation::connect(&database).await;
        assert!(compare_published(&daemon, &client).await > 0);
        let metrics = String::from_utf8(daemon.admin("/metrics").body).unwrap();
        let refused: Vec<&str> =
            metrics.lines().filter(|line| line.contains("rate_limited") && !line.ends_with(" 0")).collect();
        assert!(refused.is_empty(), "no request was refused: {refused:?}");
        assert!(metrics.contains("ticker_horizon_budget_tokens"));
        let requests = daemon.status()["budget"]["requests"].clone();
        let asked = |class: &str| requests[class].as_u64().unwrap();
        assert!(asked("first_assets") + asked("assets") > 0 && asked("live") > 0, "{requests}");
    });
}
