//! A PostgreSQL that refuses single transactions, as busy ones do.

use super::*;

/// States that pass: serialization failure, deadlock, lock timeout, out of memory, cancelled, idle too long.
const PASSING: [&str; 6] = ["40001", "40P01", "55P03", "53200", "57014", "25P03"];
/// Times that each is met.
const TIMES: usize = 5;

#[test]
#[ignore = "some 20 s: ./ticker matrix"]
fn transactions_that_are_refused_for_a_passing_reason_are_tried_again() {
    block_on(async {
        let scene = Scene::start(111).await;
        for state in PASSING {
            let before = scene.log_length();
            let refuse = format!(
                "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                     IF random() < 0.5 THEN RAISE EXCEPTION 'refused' USING ERRCODE = '{state}'; END IF;
                     RETURN NULL; END $$;
                 DROP TRIGGER IF EXISTS refuse ON ingest_batches;
                 CREATE TRIGGER refuse AFTER INSERT ON ingest_batches FOR EACH ROW EXECUTE FUNCTION refuse();"
            );
            scene.server.command(&refuse).await;
            let words = format!("refused ({state})");
            wait_until(&words, || scene.daemon.log()[before..].matches(&words).count() >= TIMES);
        }
        scene.server.command("DROP TRIGGER refuse ON ingest_batches").await;
        let took = scene.is_fresh_again().await;
        let trades = scene.finish().await;
        figure!(
            "transactions fail: serialization, deadlock, lock timeout, memory, cancelled, idle",
            "{TIMES} times each of {}; fresh after {}; {trades} trades",
            PASSING.join(", "),
            seconds(took)
        );
    });
}

#[test]
#[ignore = "some 15 s: ./ticker matrix"]
fn the_daemon_waits_for_a_locked_table() {
    block_on(async {
        let scene = Scene::start(112).await;
        let before = scene.log_length();
        let client = scene.server.client().await;
        client.batch_execute("BEGIN; LOCK TABLE trades IN ACCESS EXCLUSIVE MODE").await.unwrap();
        scene.wait_for_words(before, "(55P03)");
        client.batch_execute("ROLLBACK").await.unwrap();
        let took = scene.is_fresh_again().await;
        let trades = scene.finish().await;
        figure!(
            "a table is locked beyond the lock timeout",
            "fresh after {}; {trades} trades",
            seconds(took)
        );
    });
}

#[test]
#[ignore = "some 15 s: ./ticker matrix"]
fn a_real_deadlock_with_a_stranger_is_overcome() {
    block_on(async {
        let scene = Scene::start(113).await;
        let before = scene.log_length();
        let stranger = crate::support::recomputation::connect(
            &scene.server.superuser.replace("dbname=postgres", "dbname=ticker"),
        )
        .await;
        let begun = Instant::now();
        // The stranger waits patiently, so that PostgreSQL ends the ticker's transaction and not the stranger's.
        stranger.batch_execute("SET deadlock_timeout = '20s'; SET lock_timeout = '10s'").await.unwrap();
        while !scene.daemon.log()[before..].contains("(40P01)") {
            assert!(begun.elapsed() < DEADLINE, "no deadlock came about");
            stranger.batch_execute("BEGIN; SELECT 1 FROM ingest_lease FOR UPDATE").await.unwrap();
            wait_until_blocked(&scene).await;
            let _ =
                stranger.batch_execute("UPDATE ingest_cursor SET token = token WHERE name = 'live'").await;
            stranger.batch_execute("ROLLBACK").await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let took = scene.is_fresh_again().await;
        let trades = scene.finish().await;
        figure!("a real deadlock is survived", "fresh after {}; {trades} trades", seconds(took));
    });
}

/// The ticker has moved its cursor and waits for the lease's row.
async fn wait_until_blocked(scene: &Scene) {
    let client: Client = scene.server.client().await;
    let blocked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'stellar-ticker'
                   AND wait_event_type = 'Lock' AND query LIKE '%ingest_batches%'";
    let begun = Instant::now();
    while number(&client, blocked).await == 0 {
        assert!(begun.elapsed() < DEADLINE, "no session waits");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
