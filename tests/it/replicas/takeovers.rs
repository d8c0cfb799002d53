//! Random take-overs of the lease, many in a row.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::support::by_hand;

/// A lease that ends soon, so that many take-overs fit into a test.
const SHORT_LEASE: [(&str, &str); 1] = [("TICKER_CHAOS_LEASE_MS", "1200")];

/// Makes the leader lose its lease in one of several ways. Returns the name of the way.
async fn depose(replicas: &mut Replicas, old: usize, random: &mut ChaCha8Rng) -> &'static str {
    let begun = Instant::now();
    match random.random_range(0..10) {
        0 => {
            replicas.both[old].kill();
            replicas.taken_over(old, begun).await;
            replicas.restart(old);
            "killed"
        }
        1 => {
            assert!(replicas.both[old].terminate().success());
            replicas.taken_over(old, begun).await;
            replicas.restart(old);
            "ended"
        }
        2 | 3 => {
            replicas.both[old].signal(Signal::SIGSTOP);
            replicas.taken_over(old, begun).await;
            replicas.both[old].signal(Signal::SIGCONT);
            "stopped and continued"
        }
        _ => {
            // The lease has ended in the database, and the leader has not noticed: its writes are fenced.
            let holder = "SELECT holder FROM ingest_lease";
            let before: String = replicas.client.query_one(holder, &[]).await.unwrap().get(0);
            let steal = format!("UPDATE ingest_lease SET expires_at = '-infinity' WHERE holder = '{before}'");
            reached("the lease changes hands", async || {
                replicas.client.batch_execute(&steal).await.unwrap();
                tokio::time::sleep(Duration::from_millis(random.random_range(20..200))).await;
                let now: String = replicas.client.query_one(holder, &[]).await.unwrap().get(0);
                now != before
            })
            .await;
            replicas.taken_over(old, begun).await;
            "robbed of the lease"
        }
    }
}

#[test]
fn take_overs_at_random_lose_nothing_double_nothing_and_never_go_back() {
    let (count, seed) = (by_hand("TICKER_TEST_TAKEOVERS", 20), by_hand("TICKER_TEST_SEED", 66));
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    block_on(async {
        let mut replicas = Replicas::start(network(seed, FaultPlan::none()), &SHORT_LEASE).await;
        let begun = Instant::now();
        let mut ways: HashMap<&str, u32> = HashMap::new();
        for _ in 0..count {
            let old = replicas.leader();
            *ways.entry(depose(&mut replicas, old, &mut random).await).or_default() += 1;
        }
        let took = begun.elapsed();
        let trades = replicas.finish().await;
        figure!(
            "random take-overs lose nothing, double nothing, and never move the cursor back",
            "{count} take-overs in {} s ({ways:?}), seed {seed}: {trades} trades, none lost, none doubled",
            took.as_secs()
        );
    });
}
