//! Requirements on the database, and the recovery of a daemon whose rows were deleted.

use super::*;
use crate::support::postgres::{execute, superuser};

#[test]
fn a_database_of_another_encoding_is_refused_at_start_with_the_remedy_and_stays_empty() {
    let sim = network(81, FaultPlan::none());
    block_on(async {
        for encoding in ["LATIN1", "SQL_ASCII"] {
            let name = format!("test_{}", encoding.to_lowercase());
            let make = format!(
                "CREATE DATABASE {name} OWNER ticker TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
            );
            execute(superuser(), &make).await;
            let url =
                superuser().replace("user=postgres dbname=postgres", &format!("user=ticker dbname={name}"));
            let ports = ["--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0"];
            let serve =
                ["serve", "--database-url", &url, "--horizon-url", &sim.url(), "--network", PASSPHRASE];
            for command in [[&serve[..], &ports].concat(), vec!["migrate", "--database-url", &url]] {
                let (code, _, log) = run(&command);
                assert_eq!(code, 78, "{log}");
                assert!(log.contains(encoding) && log.contains("CREATE DATABASE"), "{log}");
            }
            let client = recomputation::connect(&url).await;
            let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
            assert_eq!(number(&client, tables).await, 0);
        }
    });
}

#[test]
fn a_database_of_another_program_is_refused_with_the_remedy_and_stays_as_it_is() {
    block_on(async {
        let theirs = [
            "CREATE TABLE assets (id int); CREATE TABLE trades (id int)",
            "CREATE TABLE refinery_schema_history (version int4, name varchar, applied_on varchar, checksum varchar);
             INSERT INTO refinery_schema_history VALUES (1, 'create_users', '', '1')",
        ];
        for made in theirs {
            let database = fresh_database().await;
            execute(&database, made).await;
            let client = recomputation::connect(&database).await;
            let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
            let before = number(&client, tables).await;
            let (code, _, log) = run(&["migrate", "--database-url", &database]);
            assert_eq!(code, 78, "{log}");
            assert!(log.contains("of another program") && log.contains("--database-url"), "{log}");
            assert_eq!(number(&client, tables).await, before, "{made}");
        }
    });
}

#[test]
fn a_lease_and_a_cursor_that_are_deleted_are_made_again_and_nothing_is_lost() {
    let sim = network(82, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        // A short lease, so that the leader soon looks.
        let environment = [("TICKER_CHAOS_LEASE_MS", "600")];
        let mut daemon = Daemon::serve_in(&environment, &sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 100).await;
        let goes_on = async || {
            let before = number(&client, "SELECT count(*) FROM trades").await;
            wait_for_trades(&client, before + 100).await;
        };
        let epoch = number(&client, "SELECT epoch FROM ingest_lease").await;
        execute(&database, "DELETE FROM ingest_lease").await;
        goes_on().await;
        assert!(number(&client, "SELECT epoch FROM ingest_lease").await > epoch);
        execute(&database, "DELETE FROM ingest_cursor").await;
        goes_on().await;
        execute(&database, "DELETE FROM ingest_cursor; DELETE FROM ingest_lease; DELETE FROM asset_sweep")
            .await;
        goes_on().await;
        wait_until_history_is_complete(&daemon);
        compare_published(&daemon, &client).await;
        let holes = "SELECT count(*) FROM (SELECT seq - lag(seq) OVER (ORDER BY seq) AS step FROM ingest_batches) s WHERE step <> 1";
        assert_eq!(number(&client, holes).await, 0, "batches are numbered without holes");
        assert!(daemon.terminate().success());
        compare_with_emitted(&client, sim.oracle()).await;
        let log = daemon.log();
        assert!(log.contains("the row of the lease was missing and was created again"));
        assert!(log.contains("the row of the cursor was missing and was created again"));
        assert!(!log.contains("another replica leads"));
        // Each deletion costs a connection or two, not hundreds a second.
        let again = log.matches("reading the cursor again").count();
        assert!(again < 20, "{again} reconnections");
    });
}
