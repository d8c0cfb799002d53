//! A leader that cannot reach the source of new trades, while the other replica can.

use std::net::SocketAddr;

use stellar_ticker::sim::lake::MissingAnswer;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::*;
use crate::support::daemon::Daemon;

/// A way to the network that can be cut.
struct Way {
    address: SocketAddr,
    is_cut: watch::Sender<bool>,
}

impl Way {
    async fn to(sim: &SimServer) -> Self {
        let target = sim.url().trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (is_cut, cuts) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (target, mut cuts) = (target.clone(), cuts.clone());
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(target).await else { return };
                    let cut = async move { cuts.wait_for(|is_cut| *is_cut).await.is_ok() };
                    tokio::select! {
                        biased;
                        _ = cut => {}
                        _ = tokio::io::copy_bidirectional(&mut stream, &mut server) => {}
                    }
                });
            }
        });
        Self { address, is_cut }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

fn requests_for_the_root(daemon: &Daemon) -> f64 {
    let metrics = String::from_utf8(daemon.admin("/metrics").body).unwrap();
    let lines =
        metrics.lines().filter(|line| line.starts_with(r#"ticker_horizon_requests_total{kind="root""#));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[test]
fn the_other_replica_takes_over_from_a_leader_that_cannot_reach_horizon() {
    block_on(async {
        let sim = network(69, FaultPlan::none());
        let ways = [Way::to(&sim).await, Way::to(&sim).await];
        // Long enough that a busy machine does not let it run out.
        let environment = [("TICKER_CHAOS_LEASE_MS", "10000"), ("TICKER_CHAOS_BLIND_MS", "1000")];
        let horizons = [ways[0].url(), ways[1].url()];
        let replicas = Replicas::start_at(horizons, Default::default(), sim, &environment).await;
        wait_for_trades(&replicas.client, 200).await;
        let goes_on = async || {
            let trades = number(&replicas.client, "SELECT count(*) FROM trades").await;
            wait_for_trades(&replicas.client, trades + 200).await;
        };
        let old = replicas.leader();
        let begun = Instant::now();
        ways[old].cut();
        let took = replicas.taken_over(old, begun).await;
        goes_on().await;
        wait_until("the old leader follows", || !replicas.both[old].leads());

        // Without Horizon for both, nothing changes hands.
        let epoch = async || number(&replicas.client, "SELECT epoch FROM ingest_lease").await;
        let before = epoch().await;
        ways[1 - old].cut();
        let blind = "SELECT count(*) FROM ingest_lease WHERE holder LIKE '%+blind'";
        reached("the leader is marked", async || number(&replicas.client, blind).await == 1).await;
        let looks = || requests_for_the_root(&replicas.both[old]);
        let looked = looks();
        wait_until("the follower has looked twice", || looks() >= looked + 2.0);
        assert_eq!(epoch().await, before);
        assert!(replicas.both[1 - old].leads());

        // Horizon answers the follower first.
        let begun = Instant::now();
        ways[old].mend();
        replicas.taken_over(1 - old, begun).await;
        goes_on().await;
        ways[1 - old].mend();
        let trades = replicas.finish().await;
        figure!(
            "if only the leader cannot reach Horizon for T, the other replica ingests within T + 30 s",
            "T = 1 s: {:.2} s; {trades} trades, none lost, none doubled",
            took.as_secs_f64()
        );
    });
}

/// Only a listing says which ledger of a lake is the newest one, and few buckets have one for everybody.
#[test]
fn the_other_replica_takes_over_from_a_leader_that_cannot_reach_a_lake_without_a_listing() {
    block_on(async {
        let sim = network_of_ledgers(70, 1.0);
        sim.lake().answer_missing_with(MissingAnswer::Forbidden);
        let ways = [Way::to(&sim).await, Way::to(&sim).await];
        let environment = [
            ("TICKER_CHAOS_LEASE_MS", "10000"),
            ("TICKER_CHAOS_BLIND_MS", "1000"),
            ("TICKER_CHAOS_LAKE_LATE_MS", "3000"),
        ];
        let arguments = |way: &Way| {
            let lake = format!("{}/lake", way.url());
            let source = ["--ledger-source", "lake", "--live-from", "lake", "--lake-url", &lake];
            [&source[..], &["--backfill-hours", "0"]]
                .concat()
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let more = [arguments(&ways[0]), arguments(&ways[1])];
        let replicas = Replicas::start_at([sim.url(), sim.url()], more, sim, &environment).await;
        wait_for_trades(&replicas.client, 200).await;
        let old = replicas.leader();
        let begun = Instant::now();
        ways[old].cut();
        let took = replicas.taken_over(old, begun).await;
        wait_until("the old leader follows", || !replicas.both[old].leads());
        let trades = number(&replicas.client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&replicas.client, trades + 200).await;
        ways[old].mend();
        replicas.finish().await;
        println!("taken over after {:.2} s", took.as_secs_f64());
    });
}
