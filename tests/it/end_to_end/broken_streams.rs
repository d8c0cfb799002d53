//! Streams that break again and again, or that send something and no trade.

use chrono::Utc;
use stellar_ticker::sim::{Endpoint, Fault};

use super::{forgetting::metric, *};
use crate::support::{
    reached,
    scripted::{LEDGER, scripted_since, trade},
};

/// Number of streams that were opened.
pub(super) fn streams_opened(daemon: &Daemon) -> f64 {
    let streams = r#"ticker_horizon_requests_total{kind="stream",outcome="ok"}"#;
    metric(daemon, streams).unwrap_or(0.0)
}

#[test]
fn a_stream_that_breaks_every_second_leaves_most_of_the_public_budget_to_others() {
    let plan = FaultPlan::none();
    plan.always(Endpoint::Stream, Fault::CutLater { after: Duration::from_secs(1) });
    let sim = horizon(SimConfig {
        seed: 55,
        network_passphrase: PASSPHRASE.into(),
        ledger_seconds: 1.0,
        history_hours: 1,
        stream_poll: Duration::from_millis(50),
        rate_limit: Some(3_600),
        rate_burst: Some(100),
        faults: plan,
        ..SimConfig::default()
    });
    block_on(async {
        let database = fresh_database().await;
        let daemon =
            Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--horizon-requests-per-hour", "3600"]);
        let client = recomputation::connect(&database).await;
        wait_until("the first stream", || streams_opened(&daemon) >= 1.0);
        let begun = Instant::now();
        wait_until("the third", || streams_opened(&daemon) >= 3.0);
        // They are 5 and 10 seconds apart. The first may have been seen late.
        assert!(begun.elapsed() >= Duration::from_secs(8), "{:?}", begun.elapsed());
        assert!(
            number(&client, "SELECT count(token) FROM ingest_cursor").await > 0,
            "each of them brings trades"
        );
        wait_for_pairs(&daemon);
    });
}

#[test]
fn a_stream_that_sends_only_greetings_while_pages_have_trades_is_replaced() {
    let plan = FaultPlan::none();
    let greeting =
        Fault::Heartbeat { event: "event: open\ndata: \"hello\"", every: Duration::from_millis(300) };
    plan.push(Endpoint::Stream, greeting);
    let (sim, source) = scripted_since(LEDGER - 10, plan);
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        wait_until("the stream is open", || streams_opened(&daemon) >= 1.0);
        let silent = r#"ticker_stream_sessions_total{end="silent"}"#;
        let mut ledger = LEDGER;
        reached("the stream is given up", async || {
            ledger += 1;
            source.push_trade(trade(ledger, 0, Utc::now())).unwrap();
            metric(&daemon, silent) >= Some(1.0)
        })
        .await;
        reached("another brings trades", async || {
            ledger += 1;
            source.push_trade(trade(ledger, 0, Utc::now())).unwrap();
            number(&client, "SELECT count(token) FROM ingest_cursor").await > 0
        })
        .await;
    });
}
