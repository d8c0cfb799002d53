//! A pair with automatic failover.

use super::*;
use crate::support::{patroni::Patroni, postgres::execute, recomputation::connect};

/// Waits until the standby has replayed everything written so far. Patroni reports a standby before it has caught up.
async fn wait_until_followed(superuser: &str) {
    let client = connect(superuser).await;
    let now: String = client.query_one("SELECT pg_current_wal_lsn()::text", &[]).await.unwrap().get(0);
    let followed = format!("SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= '{now}'");
    let begun = Instant::now();
    while number(&client, &followed).await == 0 {
        assert!(begun.elapsed() < DEADLINE, "the standby does not follow");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
#[ignore = "two minutes, and Patroni with etcd: ./ticker matrix"]
fn two_replicas_live_through_the_fail_overs_of_a_patroni_pair() {
    const FAIL_OVERS: u32 = 3;
    let Some(mut patroni) = Patroni::start() else { return };
    block_on(async {
        let superuser = patroni.url("postgres", "postgres");
        execute(&superuser, "CREATE ROLE ticker LOGIN").await;
        execute(&superuser, "CREATE DATABASE ticker OWNER ticker").await;
        let url = patroni.url("ticker", "ticker");
        let sim = network(181, FaultPlan::none());
        let both = [0, 1].map(|_: u8| {
            let daemon = Daemon::serve(&sim.url(), &url, PASSPHRASE, &[]);
            wait_for_pairs(&daemon);
            daemon
        });
        let mut times = Vec::new();
        for _ in 0..FAIL_OVERS {
            wait_until_followed(&superuser).await;
            let primary = patroni.primary().expect("one takes writes");
            let begun = Instant::now();
            patroni.kill_node(primary);
            wait_until("the standby is promoted", || {
                assert!(
                    both.iter().all(|daemon| daemon.get("/markets.json").status == 200),
                    "readers are served"
                );
                patroni.primary() == Some(1 - primary)
            });
            let promoted = begun.elapsed();
            let took = fresh_again(&sim, &url).await;
            times.push(format!("promoted after {}, fresh {} later", seconds(promoted), seconds(took)));
            patroni.start_node(primary);
            wait_until("the other is a standby now", || patroni.is_standby(primary));
        }
        let client = connect(&url).await;
        let [one, other] = &both;
        let trades = settle(sim, &client, &[one, other]).await;
        figure!(
            "a Patroni pair with etcd fails over under two replicas",
            "{}; {trades} trades",
            times.join("; ")
        );
    });
}
