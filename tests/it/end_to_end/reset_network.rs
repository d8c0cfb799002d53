//! Reset of a network under the same passphrase, as testnet does each quarter.

use super::*;

#[test]
fn a_network_reset_is_reported_and_start_over_sets_the_old_trades_aside() {
    let old = horizon(SimConfig {
        seed: 81,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 0.22,
        history_hours: 1,
        stream_poll: Duration::from_millis(50),
        ..SimConfig::default()
    });
    let address = old.addr();
    block_on(async {
        let database = fresh_database().await;
        let mut daemon = Daemon::serve(&old.url(), &database, PASSPHRASE, &["--stream-idle-timeout", "1s"]);
        let client = recomputation::connect(&database).await;
        wait_until_history_is_complete(&daemon);
        wait_for_pairs(&daemon);
        let stream = |daemon: &Daemon| daemon.get("/readyz").json()["checks"]["stream"].clone();
        old.stop();
        wait_until("the stream is down", || stream(&daemon)["ok"] == false);
        let new = SimConfig {
            seed: 82,
            network_passphrase: PASSPHRASE.into(),
            trades_per_second: 100.0,
            history_hours: 0,
            ledger_seconds: 0.2,
            anchor_ledger: 2,
            anchor_time: chrono::Utc::now(),
            stream_poll: Duration::from_millis(50),
            ..SimConfig::default()
        };
        let new = horizon_at(address, new);
        wait_until("it is reported", || {
            stream(&daemon)["detail"].as_str().unwrap().contains("the network was reset")
        });
        let detail = stream(&daemon)["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("stellar-ticker start-over --yes"), "{detail}");
        assert!(daemon.log().contains("the network was reset: Horizon's newest ledger is"));
        let latest = new.oracle().head().latest;
        wait_until("more ledgers have closed", || new.oracle().head().latest > latest + 10);
        // The old network's ledgers have far higher numbers. Its last trades may still be stored meanwhile.
        let of_new =
            format!("SELECT count(*) FROM trades WHERE toid >> 32 <= {}", new.oracle().head().latest);
        assert_eq!(number(&client, &of_new).await, 0, "nothing is mixed");
        assert_eq!(daemon.get("/markets.json").status, 200, "what is held is served");

        let start_over = ["start-over", "--yes", "--database-url", &database];
        let (code, _, log) = run(&start_over);
        assert!(code == 69 && log.contains("a daemon leads"), "{code}: {log}");
        assert!(daemon.terminate().success());
        let held = number(&client, "SELECT count(*) FROM trades").await;
        assert_eq!(run(&["start-over", "--database-url", &database]).0, 64, "it wants to be confirmed");
        assert_eq!(number(&client, "SELECT count(*) FROM trades").await, held);
        let (code, _, log) = run(&start_over);
        assert_eq!(code, 0, "{log}");
        assert_eq!(number(&client, "SELECT count(*) FROM trades").await, 0);
        let schemas =
            client.query("SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'ticker_2%'", &[]);
        let schemas: Vec<String> = schemas.await.unwrap().iter().map(|row| row.get(0)).collect();
        let [aside] = schemas.as_slice() else { panic!("{schemas:?}") };
        assert!(log.contains(aside), "{log}");
        for table in ["trades", "coverage", "assets", "markets", "ingest_batches", "network"] {
            let rows = number(&client, &format!("SELECT count(*) FROM {aside}.{table}")).await;
            assert!(rows > 0 && (table != "trades" || rows == held), "{table}: {rows}");
        }

        let daemon = Daemon::serve(&new.url(), &database, PASSPHRASE, &[]);
        wait_for_trades(&client, 300).await;
        wait_until_history_is_complete(&daemon);
        assert_eq!(complete_range(&client).await.0, i64::from(new.oracle().head().elder));
        compare_at_least(201, &client, new.oracle()).await;
        wait_for_pairs(&daemon);
        assert!(compare_published(&daemon, &client).await > 0);
        assert_eq!(number(&client, &format!("SELECT count(*) FROM {aside}.trades")).await, held);
    });
}
