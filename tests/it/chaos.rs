//! All faults in a random order on two replicas: `./ticker chaos --seconds S --seed N`. The same seed repeats the same
//! faults.

mod acts;
mod memory;

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stellar_ticker::sim::{FaultPlan, SimServer};

use crate::{
    matrix::{assert_kept, fresh_again, seconds},
    support::{
        by_hand,
        daemon::Daemon,
        figure,
        network::{PASSPHRASE, block_on, network},
        own_postgres::OwnPostgres,
        postgres::open_tempdir,
        progress::wait_for_pairs,
        replicas::{NAMES, settle},
    },
};

/// Of all requests to Horizon, how many go wrong.
const HORIZON_FAULTS: f64 = 0.03;

/// Two replicas and their surroundings.
struct Chaos {
    random: ChaCha8Rng,
    sim: SimServer,
    server: OwnPostgres,
    both: [Daemon; 2],
    outputs: [tempfile::TempDir; 2],
    begun: Instant,
    /// Time of the last provoked panic per replica. The supervisor gives up if panics are too frequent.
    panicked: [Option<Instant>; 2],
    longest: Duration,
    /// Time in which both became ready, one after the other.
    start: Duration,
}

impl Chaos {
    fn start(seed: u64, plan: FaultPlan) -> Self {
        let (sim, server) = (network(seed, plan), OwnPostgres::start());
        let outputs = [open_tempdir(), open_tempdir()];
        let begun = Instant::now();
        let both = [0, 1].map(|place: usize| {
            let daemon = serve(place, &sim, &server.url, outputs[place].path());
            wait_for_pairs(&daemon);
            daemon
        });
        let (start, random) = (begun.elapsed(), ChaCha8Rng::seed_from_u64(seed));
        let (panicked, longest) = ([None, None], Duration::ZERO);
        Self { random, sim, server, both, outputs, begun: Instant::now(), panicked, longest, start }
    }

    fn restart(&mut self, place: usize) {
        self.both[place] = serve(place, &self.sim, &self.server.url, self.outputs[place].path());
    }

    fn log(&self, act: &str) {
        println!("chaos {:6.1} s: {act}", self.begun.elapsed().as_secs_f64());
    }

    /// A random time between half a second and `most_s`.
    fn moment(&mut self, most_s: u64) -> Duration {
        Duration::from_millis(self.random.random_range(500..most_s * 1_000))
    }

    /// Both live, and readers get an answer from either.
    fn look(&mut self) {
        for daemon in &mut self.both {
            assert!(daemon.is_running(), "a process ended without an order:\n{}", daemon.log());
            assert_eq!(daemon.get("/livez").status, 200);
            let status = daemon.get("/markets.json").status;
            assert!(status == 200 || status == 503, "{status}"); // not yet, just after its start
        }
    }
}

/// Both read history from the lake. One takes new trades from Horizon's stream, the other from the lake.
fn serve(place: usize, sim: &SimServer, url: &str, output: &std::path::Path) -> Daemon {
    // The lease ends sooner than usual, so that more happens in the time there is.
    let environment = [("TICKER_CHAOS_LEASE_MS", "3000")];
    let output = output.join("www");
    let (lake, live) = (format!("{}/lake", sim.url()), ["horizon", "lake"][place]);
    let files = ["--stream-idle-timeout", "1s", "--output-dir", output.to_str().unwrap()];
    let source = ["--ledger-source", "lake", "--live-from", live, "--lake-url", &lake];
    Daemon::serve_in(&environment, &sim.url(), url, PASSPHRASE, &[&files[..], &source].concat())
}

#[test]
fn all_faults_at_random_lose_nothing_double_nothing_and_readers_are_served() {
    let time = Duration::from_secs(by_hand("TICKER_TEST_CHAOS_SECONDS", 10));
    let seed = by_hand("TICKER_TEST_SEED", 1);
    let plan = FaultPlan::random(seed, HORIZON_FAULTS);
    println!(
        "chaos: {} s, seed {seed}: ./ticker chaos --seconds {} --seed {seed}",
        time.as_secs(),
        time.as_secs()
    );
    let mut chaos = Chaos::start(seed, plan.clone());
    block_on(async {
        let mut acts = 0;
        while chaos.begun.elapsed() < time {
            let before = Instant::now();
            chaos.act().await;
            let outage = before.elapsed();
            let took = fresh_again(&chaos.sim, &chaos.server.url).await;
            assert_kept(took, outage, chaos.start);
            chaos.longest = chaos.longest.max(took);
            chaos.look();
            acts += 1;
            let pause = Duration::from_millis(chaos.random.random_range(0..1_500));
            tokio::time::sleep(pause).await;
        }
        plan.end();
        let client = chaos.server.client().await;
        for output in &chaos.outputs {
            let raw = std::fs::read(output.path().join("www/markets.json")).unwrap();
            let _: serde_json::Value = serde_json::from_slice(&raw).expect("a whole file");
        }
        let [one, other] = &chaos.both;
        let trades = settle(chaos.sim, &client, &[one, other]).await;
        figure!(
            "random faults of all kinds on two replicas lose nothing, double nothing, and readers are served",
            "seed {seed}, {} s, {acts} acts, fresh after at most {}; {trades} trades",
            time.as_secs(),
            seconds(chaos.longest)
        );
    });
}
