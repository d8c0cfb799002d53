//! The process itself: killed, stopped, and with a thread that is blocked.

use actor_tree::supervision::policy::Policy;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::support::{postgres::fresh_database, recomputation::connect, silence_of};

#[test]
#[ignore = "a minute: ./ticker matrix"]
fn a_process_that_is_killed_over_and_over_loses_nothing_and_its_files_are_whole() {
    let (kills, seed) = (by_hand("TICKER_TEST_KILLS", 20), by_hand("TICKER_TEST_SEED", 131));
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let sim = network(seed, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let output = crate::support::postgres::open_tempdir();
        let output = output.path().join("www");
        // A short lease: what is waited for here is not its end.
        let serve = || {
            let environment = [("TICKER_CHAOS_LEASE_MS", "600")];
            let files = ["--output-dir", output.to_str().unwrap()];
            Daemon::serve_in(&environment, &sim.url(), &database, PASSPHRASE, &files)
        };
        let mut daemon = serve();
        wait_for_pairs(&daemon);
        let client = connect(&database).await;
        let mut whole = 0;
        for _ in 0..kills {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..2_500))).await;
            daemon.kill();
            for name in ["markets.json", "assets.json"] {
                if let Ok(raw) = std::fs::read(output.join(name)) {
                    let _: serde_json::Value = serde_json::from_slice(&raw).expect("a whole file");
                    whole += 1;
                }
            }
            daemon = serve();
        }
        let took = fresh_again(&sim, &database).await;
        let trades = settle(sim, &client, &[&daemon]).await;
        figure!(
            "kill -9 at random instants loses nothing, doubles nothing, and leaves complete files",
            "{kills} kills, seed {seed}, {whole} files read, all complete; fresh after {}; {trades} trades",
            seconds(took)
        );
    });
}

#[test]
#[ignore = "some 30 s: ./ticker matrix"]
fn a_process_that_stood_still_goes_on_without_a_restart() {
    // Longer than the six probes after which a thread counts as blocked, and than the lease.
    let still = Duration::from_secs(by_hand("TICKER_TEST_STILL_SECONDS", 15));
    block_on(async {
        let scene = Scene::start(132).await;
        scene.daemon.signal(Signal::SIGSTOP);
        tokio::time::sleep(still).await;
        scene.daemon.signal(Signal::SIGCONT);
        let took = scene.is_fresh_again().await;
        let actors = scene.daemon.admin("/actors.json").json();
        let restarts: u64 = actors["actors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|actor| actor["restarts"].as_u64().unwrap())
            .sum();
        assert_eq!(restarts, 0, "it was the whole process that slept: {actors}");
        let trades = scene.finish().await;
        figure!(
            "the daemon is suspended (SIGSTOP) and continued",
            "suspended {} s; fresh after {}; {trades} trades",
            still.as_secs(),
            seconds(took)
        );
    });
}

#[test]
#[ignore = "some 30 s: ./ticker matrix"]
fn a_blocked_thread_ends_the_process_and_the_next_one_goes_on() {
    block_on(async {
        let mut scene = Scene::start(133).await;
        let begun = Instant::now();
        scene.daemon.provoke("stream_ingester", "block-Ping");
        let code = scene.daemon.wait().code();
        assert_eq!(code, Some(71), "hung");
        let noticed = begun.elapsed();
        let missed = Policy::default().hung_after_missed;
        assert!(noticed >= silence_of(missed), "fewer than {missed} probes missed in {noticed:?}");
        scene.daemon = Daemon::serve(&scene.sim.url(), &scene.server.url, PASSPHRASE, &[]);
        let took = scene.is_fresh_again().await;
        let trades = scene.finish().await;
        figure!(
            "a permanently blocked thread ends the process (71), and the next process continues",
            "noticed after {}; fresh after {}; {trades} trades",
            seconds(noticed),
            seconds(took)
        );
    });
}
