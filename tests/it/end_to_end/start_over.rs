//! `start-over` on databases of other kinds than a shared one with a ticker in it.

use super::*;
use crate::support::daemon::run_in;

#[test]
fn a_database_that_holds_no_ticker_is_left_alone() {
    block_on(async {
        let database = fresh_database().await;
        let client = recomputation::connect(&database).await;
        client.batch_execute("CREATE TABLE trades (id int); INSERT INTO trades VALUES (1)").await.unwrap();
        let (code, _, log) = run(&["start-over", "--yes", "--database-url", &database]);
        assert!(code == 78 && log.contains("no ticker tables"), "{code}: {log}");
        assert_eq!(number(&client, "SELECT count(*) FROM trades").await, 1);
    });
}

#[test]
fn start_over_names_the_database_and_the_network_that_it_sets_aside() {
    block_on(async {
        let database = fresh_database().await;
        let name = database.rsplit_once("dbname=").unwrap().1;
        assert_eq!(run(&["migrate", "--database-url", &database]).0, 0);
        let client = recomputation::connect(&database).await;
        client.batch_execute("INSERT INTO network (passphrase) VALUES ('The Old Network')").await.unwrap();
        // A flag that seems to choose a private PostgreSQL.
        let data = crate::support::postgres::open_tempdir();
        let data_dir = data.path().to_str().unwrap();
        let by_data_dir = |command: &[&str]| {
            let (code, _, log) =
                run_in(&[command, &["--data-dir", data_dir]].concat(), &[("DATABASE_URL", &database)]);
            assert_eq!(code, 0, "{log}");
            log
        };
        let log = by_data_dir(&["start-over", "--yes"]);
        let last = log.lines().last().unwrap();
        assert!(last.contains("The Old Network") && last.contains(&format!("/{name}\"")), "{log}");
        let warns = |log: &str| log.contains("\"WARN\"") && log.contains("\"DATABASE_URL\"");
        assert!(warns(&log), "{log}");
        assert!(warns(&by_data_dir(&["migrate"])));
        let (code, _, log) = run(&["migrate", "--data-dir", data_dir, "--database-url", &database]);
        assert!(code == 0 && !warns(&log), "the database is given by a flag: {log}");
        let (code, _, log) = run_in(&["migrate"], &[("DATABASE_URL", &database)]);
        assert!(code == 0 && !warns(&log), "no data directory is given: {log}");
    });
}

#[test]
fn on_the_private_postgres_start_over_sets_the_trades_aside_and_a_daemon_begins_again() {
    let sim = network(84, FaultPlan::none());
    let data = crate::support::postgres::open_tempdir();
    let data_dir = data.path().join("data").to_str().unwrap().to_owned();
    let (url, gateway) = (sim.url(), format!("{}/_toml", sim.url()));
    let serve = |horizon: &str, passphrase: &str| {
        Daemon::start(&[
            "serve",
            "--horizon-url",
            horizon,
            "--toml-gateway",
            &gateway,
            "--network",
            passphrase,
            "--horizon-requests-per-hour",
            "0",
            "--data-dir",
            &data_dir,
        ])
    };
    let identity = |daemon: &Daemon| daemon.get("/api/v1/board/figures").json()["database"].clone();
    let start_over = || run(&["start-over", "--yes", "--data-dir", &data_dir]);
    block_on(async {
        let database = format!("host='{data_dir}/pg-socket' user=ticker dbname=ticker");
        let mut daemon = serve(&url, PASSPHRASE);
        wait_for_pairs(&daemon);
        let first = identity(&daemon);
        // It joins the server of the running daemon, and stops neither.
        let (code, _, log) = start_over();
        assert!(code == 69 && log.contains("a daemon leads"), "{code}: {log}");
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 200).await;
        drop(client);
        assert!(daemon.terminate().success());
        let (code, _, log) = start_over();
        assert_eq!(code, 0, "{log}");

        // The name of the network was set aside too, so that another one is accepted.
        let other = horizon(SimConfig {
            seed: 85,
            network_passphrase: "Another Network".into(),
            history_hours: 0,
            stream_poll: Duration::from_millis(50),
            ..SimConfig::default()
        });
        let daemon = serve(&other.url(), "Another Network");
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 20).await;
        compare_with_emitted(&client, other.oracle()).await;
        wait_for_pairs(&daemon);
        let second = identity(&daemon);
        assert!(
            first.is_string() && second.is_string() && first != second,
            "numbers begin again: {first} {second}"
        );
        let aside = "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'ticker_2%'";
        let aside: String = client.query_one(aside, &[]).await.unwrap().get(0);
        assert!(log.contains(&aside), "{log}");
        assert!(number(&client, &format!("SELECT count(*) FROM {aside}.trades")).await >= 200);
    });
}
