//! A database that becomes another one while the daemon runs: emptied, replaced, started over, of another network.

use std::collections::BTreeSet;

use nix::sys::signal::{Signal, kill};

use super::*;
use crate::support::{
    SHORT_LEASE,
    postgres::{open_tempdir, superuser},
    private_server, reached,
};

/// In a daemon's environment: its lease ends after three seconds, and a database that is not its own ends it after six.
const LEASE: (&str, &str) = ("TICKER_CHAOS_LEASE_MS", "3000");

/// Waits until the check `database` shows this detail.
fn wait_for_detail(daemon: &mut Daemon, detail: &str) {
    wait_until(detail, || {
        assert!(daemon.is_running(), "it ended before it said so: {}", daemon.log());
        request(daemon.public, "GET", "/readyz", "")
            .is_ok_and(|answer| answer.json()["checks"]["database"]["detail"] == detail)
    });
}

#[test]
fn a_daemon_whose_tables_are_gone_ends_and_its_next_start_makes_them_again() {
    let sim = network(86, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let mut daemon = Daemon::serve_in(&[LEASE], &sim.url(), &database, PASSPHRASE, &[]);
        wait_for_pairs(&daemon);
        let client = recomputation::connect(&database).await;
        // A deadlock with a statement of the daemon may end either.
        let drop = "DROP SCHEMA public CASCADE; CREATE SCHEMA public";
        reached("the tables are gone", async || client.batch_execute(drop).await.is_ok()).await;
        wait_for_detail(&mut daemon, "has no ticker tables");
        assert_eq!(daemon.wait().code(), Some(70));
        wait_until("the log is whole", || daemon.log().contains("the next start creates them"));
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_for_pairs(&daemon);
        compare_published(&daemon, &recomputation::connect(&database).await).await;
    });
}

#[test]
fn a_daemon_whose_private_server_lost_its_directory_ends_and_its_next_start_continues() {
    let sim = network(87, FaultPlan::none());
    let data = open_tempdir();
    let data_dir = data.path().join("data");
    let in_data_dir = ["--data-dir", data_dir.to_str().unwrap()];
    let mut daemon = private_server::serve(&sim, &in_data_dir, &[SHORT_LEASE]);
    wait_for_pairs(&daemon);
    let cluster = std::fs::canonicalize(data_dir.join("pg")).unwrap();
    let postmaster = private_server::postmaster(&cluster).unwrap();
    // Renamed, since the server writes to it until it ends.
    std::fs::rename(&cluster, cluster.with_extension("gone")).unwrap();
    kill(postmaster, Signal::SIGKILL).unwrap();
    assert_eq!(daemon.wait().code(), Some(70));
    let daemon = private_server::serve(&sim, &in_data_dir, &[]);
    wait_for_pairs(&daemon);
}

#[test]
fn a_daemon_that_missed_a_start_over_ends_and_its_next_start_continues() {
    let sim = network(88, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let mut daemon = Daemon::serve_in(&[SHORT_LEASE], &sim.url(), &database, PASSPHRASE, &[]);
        wait_for_pairs(&daemon);
        daemon.signal(Signal::SIGSTOP);
        wait_until("its lease has ended, and the tables are set aside", || {
            run(&["start-over", "--yes", "--database-url", &database]).0 == 0
        });
        let other = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_for_pairs(&other);
        daemon.signal(Signal::SIGCONT);
        assert_eq!(daemon.wait().code(), Some(70));
        wait_until("the log is whole", || daemon.log().contains("the next start continues"));
        assert!(other.leads());
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let identity = |daemon: &Daemon| daemon.get("/api/v1/board/figures").json()["database"].clone();
        wait_for_pairs(&daemon);
        assert_eq!(identity(&daemon), identity(&other));
    });
}

fn name_of(database: &str) -> &str {
    database.rsplit_once("dbname=").unwrap().1
}

/// Gives the name of one database to another, whoever uses the first.
async fn put_in_place(taken: &str, other: &str) -> String {
    let (name, kept) = (name_of(taken), format!("{}_kept", name_of(taken)));
    let client = recomputation::connect(superuser()).await;
    client.batch_execute(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await.unwrap();
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    let rename = format!("ALTER DATABASE {name} RENAME TO {kept}");
    reached("nobody uses the database", async || {
        client.batch_execute(&end).await.unwrap();
        client.batch_execute(&rename).await.is_ok()
    })
    .await;
    let rename = format!("ALTER DATABASE {} RENAME TO {name}", name_of(other));
    client.batch_execute(&rename).await.unwrap();
    client.batch_execute(&format!("ALTER DATABASE {kept} ALLOW_CONNECTIONS true")).await.unwrap();
    taken.replace(&format!("dbname={name}"), &format!("dbname={kept}"))
}

async fn issuers(client: &Client) -> BTreeSet<String> {
    let issuers = "SELECT DISTINCT issuer FROM assets WHERE issuer <> 'native'";
    client.query(issuers, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[test]
fn a_daemon_that_finds_another_network_in_its_database_ends_and_mixes_nothing() {
    const OTHER: &str = "Another Network";
    let (sim, other) = (
        network(89, FaultPlan::none()),
        horizon(SimConfig {
            seed: 90,
            network_passphrase: OTHER.into(),
            history_hours: 0,
            stream_poll: Duration::from_millis(50),
            ..SimConfig::default()
        }),
    );
    block_on(async {
        let (ours, theirs) = (fresh_database().await, fresh_database().await);
        let mut daemon = Daemon::serve(&other.url(), &theirs, OTHER, &[]);
        wait_for_pairs(&daemon);
        assert!(daemon.terminate().success());
        let mut daemon = Daemon::serve_in(&[LEASE], &sim.url(), &ours, PASSPHRASE, &[]);
        wait_for_pairs(&daemon);
        let counts = "SELECT (SELECT count(*) FROM trades) || ' ' || (SELECT count(*) FROM ingest_batches)
                          || ' ' || (SELECT holder || epoch || seq FROM ingest_lease)";
        let before: String =
            recomputation::connect(&theirs).await.query_one(counts, &[]).await.unwrap().get(0);
        let kept = put_in_place(&ours, &theirs).await;
        wait_for_detail(&mut daemon, "holds another network");
        assert_eq!(daemon.wait().code(), Some(78));
        wait_until("the log is whole", || daemon.log().contains("trades of the network \\\"Another Network"));

        let client = recomputation::connect(&ours).await;
        let after: String = client.query_one(counts, &[]).await.unwrap().get(0);
        assert_eq!(after, before, "nothing is written");
        let foreign = issuers(&client).await;
        let own = issuers(&recomputation::connect(&kept).await).await;
        let foreign: Vec<&String> = foreign.difference(&own).collect();
        assert!(!foreign.is_empty());
        let published = std::fs::read_to_string(daemon.output("v1/markets.json")).unwrap();
        assert!(!foreign.iter().any(|issuer| published.contains(*issuer)), "nothing is published");

        let ports = ["--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0"];
        let serve = ["serve", "--horizon-url", &sim.url(), "--database-url", &ours, "--network", PASSPHRASE];
        let (code, _, log) = run(&[&serve[..], &ports].concat());
        assert_eq!(code, 78, "{log}");
    });
}
