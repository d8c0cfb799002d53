//! Beginnings and ends: kills, signals, restarts, and what is refused at the start.

use rand::Rng;

use super::*;
use crate::support::{SHORT_LEASE, figure};

#[test]
fn a_kill_at_any_instant_loses_nothing_doubles_nothing_and_leaves_whole_files() {
    let sim = network(11, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let output = crate::support::postgres::open_tempdir();
        let output_dir = output.path().join("www");
        let files = ["--output-dir", output_dir.to_str().unwrap()];
        std::fs::create_dir(&output_dir).unwrap();
        let left_behind = [".markets.json.aB3xYz", ".assets.json.br.Qw9eRt"];
        for name in left_behind.iter().chain(&[".an-operators-own"]) {
            std::fs::write(output_dir.join(name), "x").unwrap();
        }
        let serve = || Daemon::serve_in(&[SHORT_LEASE], &sim.url(), &database, PASSPHRASE, &files);
        let mut client = None;
        for life in 0..5 {
            let mut daemon = serve();
            let client = client.get_or_insert(recomputation::connect(&database).await);
            let before = number(client, "SELECT count(*) FROM trades").await;
            wait_for_trades(client, before + 30).await;
            let instant = rand::rng().random_range(0..700);
            tokio::time::sleep(Duration::from_millis(instant)).await;
            daemon.kill();
            println!("life {life}: killed {instant} ms after it took trades in");
            if let Ok(raw) = std::fs::read(output_dir.join("markets.json")) {
                let _: Value = serde_json::from_slice(&raw).expect("a whole file");
            }
        }
        let client = client.unwrap();
        let mut daemon = serve();
        let before = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, before + 200).await;
        compare_published(&daemon, &client).await;
        wait_until_history_is_complete(&daemon);
        assert!(daemon.terminate().success());
        let trades = compare_with_emitted(&client, sim.oracle()).await;
        println!("{trades} trades over six lives, none lost, none doubled");
        assert!(
            !left_behind.iter().any(|name| output_dir.join(name).exists()),
            "temporary files of a killed writer are removed"
        );
        assert!(output_dir.join(".an-operators-own").exists());
        let holes = "SELECT count(*) FROM (SELECT seq - lag(seq) OVER (ORDER BY seq) AS step FROM ingest_batches) s WHERE step <> 1";
        assert_eq!(number(&client, holes).await, 0, "batches are numbered without holes");
    });
}

#[test]
fn a_trade_can_be_followed_through_the_log_from_its_batch_to_the_files() {
    let sim = network(18, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let mut daemon = Daemon::serve(
            &sim.url(),
            &database,
            PASSPHRASE,
            &["--log", "stellar_ticker=debug,actor_tree=debug"],
        );
        wait_for_pairs(&daemon);
        let client = recomputation::connect(&database).await;
        let before = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, before + 200).await;
        assert!(daemon.terminate().success());
        let mut steps: std::collections::HashMap<String, Vec<String>> = std::collections::HashMap::new();
        for line in daemon.log().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            if line["fields"]["message"] == "batch received" {
                let span = &line["span"];
                assert!(["stream_ingester", "backfiller"].iter().any(|name| span["from"] == *name), "{line}");
                assert!(span["parent"].is_string() && span["number"].is_u64(), "{line}");
            }
            let trace =
                [&line["fields"]["trace"], &line["span"]["trace"]].into_iter().find_map(Value::as_str);
            if let Some([_, id, _, _]) = trace.map(|trace| trace.split('-').collect::<Vec<_>>()).as_deref() {
                let message = line["fields"]["message"].as_str().unwrap().to_owned();
                steps.entry((*id).to_owned()).or_default().push(message);
            }
        }
        let whole = ["batch committed", "batch received", "published", "files written"];
        assert!(steps.values().any(|steps| steps == &whole), "{steps:?}");
    });
}

#[test]
fn sigterm_under_load_drains_and_exits_0_and_gives_the_lease_back() {
    let sim = network(12, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 100).await;
        wait_until_history_is_complete(&daemon);
        let begun = Instant::now();
        let ended = daemon.terminate();
        println!("drained in {} ms", begun.elapsed().as_millis());
        assert_eq!(ended.code(), Some(0));
        let log = daemon.log();
        let (_, drain) = log.split_once("\"draining\"").expect("it logs that it drains");
        assert!(!drain.contains("\"WARN\""), "a drain that goes well is no reason to warn: {drain}");
        assert_eq!(
            number(&client, "SELECT count(*) FROM ingest_lease WHERE expires_at = '-infinity'").await,
            1
        );
        compare_with_emitted(&client, sim.oracle()).await;
    });
}

#[test]
fn the_last_files_hold_all_that_was_committed_however_seldom_is_published() {
    let sim = network(17, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--publish-interval", "1h"]);
        let client = recomputation::connect(&database).await;
        daemon.wait_for_publication();
        let published = daemon.get("/markets.json").json()["generated_at"].clone();
        let before = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, before + 200).await;
        assert_eq!(daemon.get("/markets.json").json()["generated_at"], published, "none since");
        assert!(daemon.terminate().success());
        let file = std::fs::read(daemon.output("markets.json")).unwrap();
        recomputation::compare(&client, &serde_json::from_slice(&file).unwrap()).await;
    });
}

#[test]
fn the_first_publication_waits_for_no_tick_however_seldom_is_published() {
    let sim = network(18, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_for_pairs(&daemon);
        assert!(daemon.terminate().success());
        // As if all of it had come since the next run began: that run must look the assets up.
        let client = recomputation::connect(&database).await;
        let later = "UPDATE ingest_batches SET committed_at = now() + interval '1 hour'";
        client.batch_execute(later).await.unwrap();
        let url = sim.url();
        drop(sim);
        let daemon = Daemon::serve(&url, &database, PASSPHRASE, &["--publish-interval", "24h"]);
        daemon.wait_for_publication();
        assert!(
            daemon.get("/markets.json").json()["pairs"].as_array().is_some_and(|pairs| !pairs.is_empty())
        );
    });
}

#[test]
fn what_cannot_work_is_refused_with_the_right_exit_code() {
    let sim = network(13, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let ports = ["--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0"];
        let serve = |database: &str, horizon: &str, network: &str| {
            let given = ["serve", "--database-url", database, "--horizon-url", horizon, "--network", network];
            run(&[&given[..], &ports, &["--startup-timeout", "1s"]].concat())
        };
        let (code, _, log) = serve(&database, &sim.url(), "testnet");
        assert_eq!(code, 78, "a wrong network at start: {log}");
        // The database is testnet's by now.
        let (code, _, log) = serve(&database, &sim.url(), PASSPHRASE);
        assert_eq!(code, 78, "a database of another network: {log}");
        assert!(log.contains("Test SDF Network"), "{log}");
        let (code, _, log) = serve("postgres://nobody@127.0.0.1:1/none", &sim.url(), PASSPHRASE);
        assert_eq!(code, 69, "no database: {log}");
    });
}

#[test]
fn without_horizon_it_serves_what_the_database_holds() {
    let sim = network(14, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 100).await;
        wait_for_pairs(&daemon);
        assert!(daemon.terminate().success());
        sim.stop();
        let daemon = Daemon::serve("http://127.0.0.1:1", &database, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        assert!(compare_published(&daemon, &client).await > 0);
        wait_until("it says that the stream is down", || {
            daemon.get("/readyz").json()["status"] == "degraded"
        });
        assert_eq!(daemon.get("/readyz").status, 200);
    });
}

#[test]
fn the_demo_starts_again_after_a_kill_and_its_private_postgres_goes_with_it() {
    let data = crate::support::postgres::open_tempdir();
    let data_dir = data.path().join("data");
    let arguments = ["demo", "--data-dir", data_dir.to_str().unwrap(), "--trades-per-second", "50"];
    let mut demo = Daemon::start(&arguments);
    demo.wait_for_publication();
    let pairs = |demo: &Daemon| demo.get("/markets.json").json()["pairs"].as_array().unwrap().len();
    wait_until("pairs are there", || pairs(&demo) > 0);
    demo.kill();
    let begun = Instant::now();
    let mut demo = Daemon::start(&arguments);
    demo.wait_for_publication();
    let took = begun.elapsed();
    assert!(pairs(&demo) > 0, "what was stored before the kill is there at once");
    assert!(demo.terminate().success());
    let pid_file = data_dir.join("demo/pg/postmaster.pid");
    assert!(!pid_file.exists(), "the private PostgreSQL was stopped");
    assert!(data_dir.join("demo/www/markets.json").exists());
    figure!("second start of a demo until its first publication", "{:.1} s", took.as_secs_f64());
}

/// The allocator requests huge pages, which made up most of a small daemon's memory.
#[test]
fn the_daemon_holds_no_huge_pages_but_those_from_before_its_main_function() {
    let sim = network(27, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_for_pairs(&daemon);
        let of_kernel =
            |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", daemon.pid())).unwrap();
        let status = of_kernel("status");
        let line = status.lines().find(|line| line.starts_with("THP_enabled:")).expect("Linux 5.0 or later");
        assert_eq!(line.split_whitespace().last(), Some("0"));
        let held = of_kernel("smaps_rollup");
        let huge = held.lines().find(|line| line.starts_with("AnonHugePages:")).unwrap();
        let kilobytes: u64 = huge.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(kilobytes <= 4_096, "{huge}");
    });
}
