//! The request budget, with the real program against a Horizon that has the public one's size and limits.

use super::*;
use crate::support::{SHORT_GRACE, figure};

/// Within this time a machine that is fast enough has a first file.
const MINUTE: Duration = Duration::from_secs(60);
/// Times that the daemon may take to listen for which a busy machine may work on the file beside.
const LISTENS: u32 = 30;

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
        let listens = begun.elapsed();
        wait_for_pairs(&daemon);
        let waited = begun.elapsed();
        figure!(
            "the first file with pairs is published within a minute of a start on an empty database, on the public budget",
            "{:.0} s",
            waited.as_secs_f64()
        );
        assert!(waited <= MINUTE + listens * LISTENS, "{waited:?}, and {listens:?} until it listened");
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

/// Uses up the budget of an hour, and waits for longer than an actor may be without progress.
/// A refusal may last an hour.
fn no_actor_is_restarted_while_requests_wait(seed: u64, rate_limit: u32, is_begun: impl Fn(&Daemon) -> bool) {
    const STALE_S: i64 = 6;
    let sim = horizon(SimConfig {
        seed,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 17.0,
        history_hours: 24,
        rate_limit: Some(rate_limit),
        ..SimConfig::default()
    });
    block_on(async {
        let environment = [("TICKER_CHAOS_STALE_MS", "6000"), SHORT_GRACE];
        let more = ["--horizon-requests-per-hour", "3600"];
        let database = fresh_database().await;
        let daemon = Daemon::serve_in(&environment, &sim.url(), &database, PASSPHRASE, &more);
        wait_until("the work begins", || is_begun(&daemon));
        wait_until("requests for live trades have waited for long", || {
            let budget = daemon.get("/readyz").json()["checks"]["budget"].clone();
            budget["ok"] == false && budget["age_s"].as_i64() > Some(2 * STALE_S)
        });
        let log = daemon.log();
        let of = |actor: &str| {
            log.lines().filter(|line| line.contains(actor) && line.contains("made no progress")).count()
        };
        assert_eq!((of("stream_ingester"), of("backfiller")), (0, 0), "{log}");
    });
}

#[test]
fn a_stream_that_waits_for_the_budget_to_open_is_not_restarted() {
    no_actor_is_restarted_while_requests_wait(52, 1, |_| true);
}

#[test]
fn history_that_waits_for_the_budget_is_not_restarted() {
    no_actor_is_restarted_while_requests_wait(53, 30, |daemon| {
        let history = daemon.get("/readyz").json()["checks"]["history"].clone();
        history["detail"] == "recent ledgers are read again by pages"
    });
}
