//! Trades from a data lake of ledger metadata: the same rows as from Horizon, and nothing that fails its hashes.

mod examined;
mod faults;
mod holes;
mod late;
mod other_network;
mod pages;
mod refusals;
mod rpc;
mod servers;
mod unconfirmed;

use std::time::Duration;

use stellar_ticker::sim::{Burst, FaultPlan, SimConfig, SimServer};
use tokio_postgres::Client;

use crate::support::{
    FAST_FIRST_PUBLICATION, SHORT_LEASE, by_hand,
    daemon::{Daemon, run, run_in},
    figure,
    network::{PASSPHRASE, block_on, horizon},
    oracle::{compare_at_least, compare_published, compare_with_emitted, complete_range},
    postgres::fresh_database,
    progress::{number, wait_for_trades, wait_until_history_is_complete},
    recomputation,
};

/// In a daemon's environment: new trades are read from Horizon after three seconds without the lake instead of 30.
const IMPATIENT: [(&str, &str); 1] = [("TICKER_CHAOS_LAKE_LATE_MS", "3000")];
/// The same, so that history is read from Horizon after five seconds without the lake instead of five minutes.
const IMPATIENT_FOR_HISTORY: [(&str, &str); 2] =
    [("TICKER_CHAOS", "1"), ("TICKER_CHAOS_LAKE_LATE_MS", "500")];
/// In a daemon's environment: Horizon is asked again for the hash of a ledger that it lacked after two seconds at
/// most instead of 30, and after four seconds without an answer instead of 60.
const SHORT_HASH_WAIT: (&str, &str) = ("TICKER_CHAOS_LAKE_HASH_MS", "4000");
/// Rows of unconfirmed ledgers.
const UNCONFIRMED: &str = "SELECT count(*) FROM unconfirmed_ranges";
/// Address where nothing listens.
pub(crate) const NOWHERE: &str = "http://127.0.0.1:9";

pub(crate) fn with_lake(
    seed: u64,
    trades_per_second: f64,
    history_hours: u32,
    faults: FaultPlan,
) -> SimServer {
    horizon(lake_config(seed, trades_per_second, history_hours, faults))
}

fn lake_config(seed: u64, trades_per_second: f64, history_hours: u32, faults: FaultPlan) -> SimConfig {
    SimConfig {
        seed,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second,
        history_hours,
        ledger_seconds: 2.0,
        stream_poll: Duration::from_millis(50),
        faults,
        ..SimConfig::default()
    }
}

fn lake_url(sim: &SimServer) -> String {
    format!("{}/lake", sim.url())
}

/// A daemon that reads all trades of these hours from the lake, and assets and books from `horizon`.
pub(crate) async fn reading_lake(sim: &SimServer, horizon: &str, hours: &str) -> Daemon {
    reading_lake_in(&[], sim, horizon, hours).await
}

/// The same with more in its environment.
async fn reading_lake_in(
    environment: &[(&str, &str)],
    sim: &SimServer,
    horizon: &str,
    hours: &str,
) -> Daemon {
    let lake = lake_url(sim);
    let more =
        ["--ledger-source", "lake", "--live-from", "lake", "--lake-url", &lake, "--backfill-hours", hours];
    Daemon::serve_in(environment, horizon, &fresh_database().await, PASSPHRASE, &more)
}

/// Digest of each column of all rows of some ledgers, with assets by name: ids differ between databases.
async fn digests(client: &Client, from: i64, to: i64) -> Vec<(String, String)> {
    let columns = "SELECT column_name::text FROM information_schema.columns WHERE table_name = 'trades' \
                   AND table_schema = current_schema() ORDER BY 1";
    let mut digests = Vec::new();
    for row in client.query(columns, &[]).await.unwrap() {
        let column: String = row.get(0);
        let value = match column.as_str() {
            "base_asset_id" => "b.code || ':' || b.issuer".to_owned(),
            "counter_asset_id" => "c.code || ':' || c.issuer".to_owned(),
            "market_id" => "(SELECT string_agg(code || ':' || issuer, '/' ORDER BY code, issuer) FROM assets a, \
                            markets m WHERE m.id = t.market_id AND a.id IN (m.base_asset_id, m.counter_asset_id))"
                .to_owned(),
            other => format!("t.{other}::text"),
        };
        let sql = format!(
            "SELECT md5(string_agg(coalesce({value}, '-'), ',' ORDER BY t.toid, t.trade_order)) FROM trades t \
             JOIN assets b ON b.id = t.base_asset_id JOIN assets c ON c.id = t.counter_asset_id \
             WHERE t.toid >> 32 BETWEEN $1 AND $2"
        );
        let digest: Option<String> = client.query_one(&sql, &[&from, &to]).await.unwrap().get(0);
        digests.push((column, digest.unwrap_or_default()));
    }
    digests
}

#[test]
fn every_column_of_every_row_is_the_same_from_horizon_and_from_the_lake() {
    assert!(equal_rows(1, 5.0) > 20_000);
}

#[test]
#[ignore = "a day of trades takes 20 minutes in a dev build: ./ticker matrix lake::every_column"]
fn every_column_of_every_row_of_a_day_is_the_same_from_horizon_and_from_the_lake() {
    let hours = u32::try_from(by_hand("TICKER_TEST_LAKE_HOURS", 24)).unwrap();
    let begun = std::time::Instant::now();
    let trades = equal_rows(hours, 17.0);
    figure!(
        "every column of every row is the same from Horizon and from a lake",
        "{hours} h at 17 trades a second, and ledgers of 5,000: {trades} rows, in {} s",
        begun.elapsed().as_secs()
    );
}

/// Reads some hours from Horizon and from the lake, and compares all rows. Returns their number.
fn equal_rows(hours: u32, trades_per_second: f64) -> usize {
    let sim = horizon(SimConfig {
        seed: 71,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second,
        history_hours: hours,
        burst: Some(Burst { every_ledgers: 400, trades: 5_000 }),
        workers: 2,
        ..SimConfig::default()
    });
    block_on(async {
        let (of_horizon, of_lake) = (fresh_database().await, fresh_database().await);
        let (url, lake) = (sim.url(), lake_url(&sim));
        let num_hours = hours.to_string();
        let ingest = |database: &str, more: &[&str]| {
            let common = ["ingest", "trades", "--num-hours", &num_hours, "--database-url", database];
            let network =
                ["--horizon-url", &url, "--network", PASSPHRASE, "--horizon-requests-per-hour", "0"];
            let (code, _, log) = run(&[&common, &network[..], more].concat());
            assert_eq!(code, 0, "{log}");
        };
        ingest(&of_horizon, &[]);
        ingest(&of_lake, &["--ledger-source", "lake", "--lake-url", &lake]);
        let (horizon, lake) =
            (recomputation::connect(&of_horizon).await, recomputation::connect(&of_lake).await);
        let (first, last) = (complete_range(&horizon).await, complete_range(&lake).await);
        let (from, to) = (first.0.max(last.0), first.1.min(last.1));
        assert!(to - from > 500 * i64::from(hours), "{first:?} {last:?}");
        assert!(to / 400 > from / 400, "the large ledger is among them");
        let (left, right) = (digests(&horizon, from, to).await, digests(&lake, from, to).await);
        assert!(left.len() > 10, "{left:?}");
        assert_eq!(left, right);
        assert_eq!(number(&lake, "SELECT count(*) FROM quarantine").await, 0);
        compare_with_emitted(&lake, sim.oracle()).await
    })
}

#[test]
fn history_and_new_trades_come_from_the_lake_alone_and_a_kill_on_the_way_changes_nothing() {
    let sim = with_lake(72, 3.0, 3, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let lake = lake_url(&sim);
        let more =
            ["--ledger-source", "lake", "--live-from", "lake", "--lake-url", &lake, "--backfill-hours", "2"];
        let serve = || Daemon::serve_in(&[SHORT_LEASE], &sim.url(), &database, PASSPHRASE, &more);
        let mut daemon = serve();
        let client = recomputation::connect(&database).await;
        for at_least in [1_000, 4_000, 9_000] {
            wait_for_trades(&client, at_least).await;
            assert_trades_are_not_asked(&daemon);
            daemon.kill();
            daemon = serve();
        }
        wait_until_history_is_complete(&daemon);
        compare_at_least(15_001, &client, sim.oracle()).await;
        compare_published(&daemon, &client).await;
        assert_trades_are_not_asked(&daemon);
    });
}

/// Fails if this daemon has asked Horizon's `/trades` since its start.
fn assert_trades_are_not_asked(daemon: &Daemon) {
    let asked = String::from_utf8(daemon.admin("/metrics").body).unwrap();
    let trades = asked.lines().filter(|line| {
        line.starts_with("ticker_horizon_requests_total")
            && (line.contains("kind=\"trades\"") || line.contains("kind=\"stream\""))
            && !line.ends_with(" 0")
    });
    assert_eq!(trades.collect::<Vec<_>>(), Vec::<&str>::new(), "Horizon's /trades is not asked");
}

#[test]
fn trades_flow_from_the_lake_though_horizon_was_never_there() {
    let sim = with_lake(73, 3.0, 1, FaultPlan::none());
    block_on(async {
        let daemon = reading_lake_in(&[FAST_FIRST_PUBLICATION], &sim, NOWHERE, "1").await;
        let client = recomputation::connect(&daemon.database).await;
        wait_until_history_is_complete(&daemon);
        let before = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, before + 50).await;
        compare_at_least(4_001, &client, sim.oracle()).await;
        daemon.wait_for_publication();
        let stored = number(&client, "SELECT count(*) FROM trades").await;
        crate::support::wait_until("every stored trade is published", || published_trades(&daemon) >= stored);
    });
}

/// Published trades of 24 hours in all markets. Those of assets that nobody has looked up count too.
fn published_trades(daemon: &Daemon) -> i64 {
    let answer = daemon.get("/api/v1/markets?limit=1000&fields=windows");
    if answer.status != 200 {
        return 0;
    }
    let counts = answer.json()["markets"].as_array().unwrap().clone().into_iter();
    counts.map(|market| market["windows"]["24h"]["trade_count"].as_i64().unwrap()).sum()
}

#[test]
fn with_horizons_stream_the_tail_and_history_are_read_from_a_directory() {
    let sim = with_lake(74, 3.0, 1, FaultPlan::none());
    let directory = tempfile::tempdir().unwrap();
    let head = sim.oracle().head();
    let path = directory.path().join("lake");
    sim.lake().write_to(&path, head.elder, head.latest).unwrap();
    block_on(async {
        let database = fresh_database().await;
        let lake = format!("file://{}", path.display());
        let more = ["--ledger-source", "lake", "--lake-url", &lake, "--backfill-hours", "1"];
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &more);
        let client = recomputation::connect(&database).await;
        wait_until_history_is_complete(&daemon);
        let latest = sim.oracle().head().latest;
        sim.lake().write_to(&path, head.latest, latest).unwrap();
        let held = format!("SELECT count(*) FROM coverage WHERE to_ledger >= {latest}");
        let begun = std::time::Instant::now();
        while number(&client, &held).await == 0 {
            assert!(begun.elapsed() < crate::support::DEADLINE, "the tail is not read");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        compare_at_least(4_001, &client, sim.oracle()).await;
    });
}
