//! Ledgers that a single answer of Horizon claims wrongly: a trade far above the newest ledger, and the root of a
//! server that is far behind or ahead, and a record that is no trade far below a page.

use chrono::{TimeDelta, Utc};
use stellar_ticker::sim::{Endpoint, Fault, FixedSource};

use super::{broken_streams::streams_opened, forgetting::metric, *};
use crate::support::{
    reached,
    scripted::{LEDGER, scripted, scripted_since, trade},
};

/// Emits a trade in each of the next ledgers, and waits for each of them.
async fn emit_and_wait(client: &Client, source: &FixedSource, steps: std::ops::RangeInclusive<u32>) {
    for step in steps {
        source.push_trade(trade(LEDGER + step, 0, Utc::now())).unwrap();
        let stored = format!("SELECT count(*) FROM trades WHERE toid >> 32 = {}", LEDGER + step);
        reached("the trade is stored", async || number(client, &stored).await == 1).await;
    }
}

#[test]
fn a_trade_of_a_ledger_that_is_far_above_the_newest_one_holds_up_no_other() {
    for ahead in [TimeDelta::zero(), TimeDelta::hours(1)] {
        let (sim, source) = scripted();
        block_on(async {
            let database = fresh_database().await;
            let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
            let client = recomputation::connect(&database).await;
            emit_and_wait(&client, &source, 1..=5).await;
            wait_until_history_is_complete(&daemon);
            source.push_stray(trade(LEDGER + 500, 0, Utc::now() + ahead)).unwrap();
            let refused = "SELECT count(*) FROM quarantine WHERE reason LIKE '%far beyond%'";
            reached("the trade is refused", async || number(&client, refused).await == 1).await;
            emit_and_wait(&client, &source, 6..=20).await;
            let top = "SELECT coalesce(max(to_ledger), 0) FROM coverage";
            reached("all of them count as complete", async || {
                number(&client, top).await >= i64::from(LEDGER + 20)
            })
            .await;
            assert_eq!(number(&client, top).await, i64::from(LEDGER + 20), "and no later ledger does");
            let cursor =
                "SELECT coalesce(max(split_part(token, '-', 1)::bigint >> 32), 0) FROM ingest_cursor";
            assert!(number(&client, cursor).await <= i64::from(LEDGER + 20), "the stream goes on below it");
            assert_eq!(number(&client, "SELECT count(*) FROM trades").await, 20);
        });
    }
}

#[test]
fn a_root_of_a_server_that_is_far_behind_makes_no_trade_impossible_and_no_cursor_fall() {
    let plan = FaultPlan::none();
    let sim = horizon(SimConfig {
        seed: 75,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 100.0,
        history_hours: 1, // more ledgers than one server is behind
        ledger_seconds: 0.2,
        stream_poll: Duration::from_millis(50),
        stream_duration: Duration::from_secs(3), // so that sessions begin again
        faults: plan.clone(),
        ..SimConfig::default()
    });
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--backfill-hours", "0"]);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 500).await;
        for number in 0..20_000 {
            let current = Fault::Drip { bytes: 1 << 20 }; // no fault
            let behind = Fault::Behind { ledgers: 1_500 };
            plan.push(Endpoint::Root, if number % 2 == 0 { behind } else { current });
        }
        let cursor = "SELECT coalesce(max(split_part(token, '-', 1)::bigint >> 32), 0) FROM ingest_cursor";
        let (mut before, asked) = (number(&client, cursor).await, plan.pending(Endpoint::Root));
        reached("roots of both servers were read", async || {
            let now = number(&client, cursor).await;
            assert!(now >= before, "the cursor fell from {before} to {now}");
            before = now;
            plan.pending(Endpoint::Root) + 20 < asked
        })
        .await;
        assert_eq!(number(&client, "SELECT count(*) FROM quarantine").await, 0);
        let metrics = String::from_utf8(daemon.admin("/metrics").body).unwrap();
        let opened = metrics.lines().find_map(|line| {
            line.strip_prefix(r#"ticker_horizon_requests_total{kind="stream",outcome="ok"} "#)
        });
        let opened: u64 = opened.unwrap().parse().unwrap();
        assert!(opened < 60, "{opened} streams were opened");
        compare_at_least(301, &client, sim.oracle()).await;
    });
}

#[test]
fn a_root_that_names_a_ledger_far_above_the_newest_one_blinds_the_stream_only_for_a_moment() {
    let plan = FaultPlan::none();
    let (sim, source) = scripted_since(LEDGER - 10, plan.clone());
    plan.always(Endpoint::Root, Fault::Ahead { ledgers: 100_000 });
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        wait_until("the stream begins above that ledger", || streams_opened(&daemon) > 0.0);
        plan.clear(Endpoint::Root);
        let mut ledger = LEDGER;
        reached("the stream brings trades", async || {
            ledger += 1;
            source.push_trade(trade(ledger, 0, Utc::now())).unwrap();
            number(&client, "SELECT count(token) FROM ingest_cursor").await > 0
        })
        .await;
        assert!(daemon.log().contains("stream began above the newest ledger"), "{}", daemon.log());
        assert_eq!(number(&client, "SELECT count(*) FROM quarantine").await, 0);
    });
}

#[test]
fn a_real_trade_far_below_the_others_of_a_page_completes_no_ledger_between() {
    const TRADES: u32 = 1_000;
    let plan = FaultPlan::none();
    let (sim, source) = scripted_since(LEDGER - 4_500, plan.clone());
    let now = Utc::now();
    let records =
        (0..TRADES).map(|step| trade(LEDGER - 4 * step, 0, now - TimeDelta::seconds(23 * i64::from(step))));
    source.push_trades(records).unwrap();
    plan.always(Endpoint::Trades, Fault::Stray { ledgers: 3_000 });
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        let lacking = format!(
            "SELECT count(*) FROM generate_series({} - 4 * ({TRADES} - 1), {LEDGER}, 4) ledger
             WHERE EXISTS (SELECT FROM coverage WHERE ledger BETWEEN from_ledger AND to_ledger)
               AND NOT EXISTS (SELECT FROM trades WHERE toid >> 32 = ledger)",
            i64::from(LEDGER)
        );
        let held = "SELECT count(*) FROM coverage";
        reached("such pages were read", async || {
            assert_eq!(number(&client, &lacking).await, 0, "ledgers count as complete without their trades");
            number(&client, held).await > 0 && number(&client, "SELECT count(*) FROM trades").await >= 400
        })
        .await;
        plan.clear(Endpoint::Trades);
        wait_for_trades(&client, i64::from(TRADES)).await;
        wait_until_history_is_complete(&daemon);
        assert_eq!(number(&client, &lacking).await, 0);
        assert_eq!(complete_range(&client).await.0, i64::from(LEDGER - 4_500));
    });
}

#[test]
fn a_false_position_of_a_record_that_is_no_trade_completes_no_ledger_above_it() {
    const TRADES: u32 = 600;
    let plan = FaultPlan::none();
    let (sim, source) = scripted_since(LEDGER - 2_500, plan.clone());
    let now = Utc::now();
    let records =
        (0..TRADES).map(|step| trade(LEDGER - 4 * step, 0, now - TimeDelta::seconds(23 * i64::from(step))));
    source.push_trades(records).unwrap();
    plan.always(Endpoint::Trades, Fault::FalsePosition { ledgers: 1_500 });
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        let pages = r#"ticker_horizon_requests_total{kind="trades",outcome="ok"}"#;
        wait_until("such pages were read", || metric(&daemon, pages) >= Some(20.0));
        let complete = "SELECT coalesce(sum(to_ledger - from_ledger + 1), 0)::bigint FROM coverage";
        let complete = number(&client, complete).await;
        assert!(complete < 200, "{complete} ledgers count as complete without their trades");
        plan.clear(Endpoint::Trades);
        wait_for_trades(&client, i64::from(TRADES)).await;
        wait_until_history_is_complete(&daemon);
        assert_eq!(complete_range(&client).await.0, i64::from(LEDGER - 2_500));
    });
}
