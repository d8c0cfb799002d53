//! Several replicas on one database, and the record that the database keeps of their writes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use stellar_ticker::sim::SimServer;
use tokio_postgres::Client;

use super::{
    DEADLINE,
    daemon::{Daemon, run},
    postgres::{execute, fresh_database},
    recomputation::connect,
    wait_until,
};
use super::{
    network::PASSPHRASE,
    oracle::{compare_published, compare_with_emitted, complete_range},
    progress::{number, wait_for_pairs},
};

/// Notes each write and each step of the cursor, in the transaction that does it.
const RECORD: &str = "
    CREATE TABLE written (seq bigint, replica text, at timestamptz);
    CREATE FUNCTION note_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO written VALUES (NEW.seq, current_setting('test.replica', true), clock_timestamp());
        RETURN NULL; END $$;
    CREATE TRIGGER note_write AFTER INSERT ON ingest_batches FOR EACH ROW EXECUTE FUNCTION note_write();
    CREATE TABLE cursor_steps (step bigint GENERATED ALWAYS AS IDENTITY, token text);
    CREATE FUNCTION note_step() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO cursor_steps (token) VALUES (NEW.token);
        RETURN NULL; END $$;
    CREATE TRIGGER note_step AFTER UPDATE ON ingest_cursor FOR EACH ROW EXECUTE FUNCTION note_step();";

/// Names of the replicas in that record.
pub(crate) const NAMES: [&str; 2] = ["a", "b"];

/// Two replicas, a network, and a client beside them.
pub(crate) struct Replicas {
    sim: Option<SimServer>,
    /// URL of Horizon for each.
    horizons: [String; 2],
    /// More arguments for each.
    more: [Vec<String>; 2],
    pub(crate) database: String,
    pub(crate) client: Client,
    pub(crate) both: [Daemon; 2],
    environment: Vec<(&'static str, &'static str)>,
}

impl Replicas {
    /// Starts both on a database of their own, and waits until one of them leads and both publish.
    pub(crate) async fn start(sim: SimServer, environment: &[(&'static str, &'static str)]) -> Self {
        let horizons = [sim.url(), sim.url()];
        Self::start_at(horizons, Default::default(), sim, environment).await
    }

    /// The same with an address of Horizon and more arguments for each.
    pub(crate) async fn start_at(
        horizons: [String; 2],
        more: [Vec<String>; 2],
        sim: SimServer,
        environment: &[(&'static str, &'static str)],
    ) -> Self {
        let database = fresh_database().await;
        assert_eq!(run(&["migrate", "--database-url", &database]).0, 0);
        execute(&database, RECORD).await;
        let client = connect(&database).await;
        // One after the other: a follower that begins on an empty database waits for a minute before it publishes.
        let both = [0, 1].map(|place| {
            let daemon = serve(&horizons[place], &database, NAMES[place], environment, &more[place]);
            wait_for_pairs(&daemon);
            daemon
        });
        let environment = environment.to_vec();
        let replicas = Self { sim: Some(sim), horizons, more, database, client, both, environment };
        replicas.leader();
        replicas
    }

    /// The network that both read.
    pub(crate) fn sim(&self) -> &SimServer {
        self.sim.as_ref().unwrap()
    }

    /// A new process in place of one.
    pub(crate) fn restart(&mut self, place: usize) {
        let (horizon, more) = (&self.horizons[place], &self.more[place]);
        self.both[place] = serve(horizon, &self.database, NAMES[place], &self.environment, more);
    }

    /// Waits until exactly one replica leads, and returns its place.
    pub(crate) fn leader(&self) -> usize {
        let mut leading = Vec::new();
        wait_until("one replica leads", || {
            leading = (0..2).filter(|place| self.both[*place].leads()).collect();
            leading.len() == 1
        });
        leading[0]
    }

    /// Waits until a replica other than `old` has written. Returns the time since `since`.
    pub(crate) async fn taken_over(&self, old: usize, since: Instant) -> Duration {
        let newest = "SELECT coalesce((SELECT replica FROM written ORDER BY seq DESC LIMIT 1), '')";
        loop {
            let writer: String = self.client.query_one(newest, &[]).await.unwrap().get(0);
            if writer == NAMES[1 - old] {
                return since.elapsed();
            }
            assert!(since.elapsed() < DEADLINE, "no replica took over from {}", NAMES[old]);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends a test: see [`settle`].
    pub(crate) async fn finish(mut self) -> usize {
        self.leader();
        let [one, other] = &self.both;
        let trades = settle(self.sim.take().unwrap(), &self.client, &[one, other]).await;
        self.assert_in_order().await;
        trades
    }

    /// Batches are numbered without holes, the cursor never went back, and each number was written by one replica.
    pub(crate) async fn assert_in_order(&self) {
        let holes =
            "SELECT count(*) FROM (SELECT seq - lag(seq) OVER (ORDER BY seq) AS step FROM ingest_batches) s
                     WHERE step <> 1";
        assert_eq!(number(&self.client, holes).await, 0, "batches without holes");
        let twice = "SELECT count(*) FROM (SELECT seq FROM written GROUP BY seq HAVING count(*) > 1) s";
        assert_eq!(number(&self.client, twice).await, 0, "one writer a batch");
        let steps = self.client.query("SELECT token FROM cursor_steps ORDER BY step", &[]).await.unwrap();
        let place = |row: &tokio_postgres::Row| {
            let token: String = row.get(0);
            let (toid, order) = token.split_once('-').unwrap();
            (toid.parse::<i64>().unwrap(), order.parse::<i64>().unwrap())
        };
        let places: Vec<_> = steps.iter().map(place).collect();
        assert!(places.is_sorted(), "the cursor never goes back");
    }
}

/// Waits until each emitted trade is stored once, stops the network, and waits until every daemon publishes the figures
/// of the stored rows. Returns the number of trades.
pub(crate) async fn settle(sim: SimServer, client: &Client, daemons: &[&Daemon]) -> usize {
    let oracle = Arc::clone(sim.oracle());
    let emitted = i64::from(oracle.head().latest);
    let begun = Instant::now();
    while complete_range(client).await.1 < emitted {
        assert!(begun.elapsed() < DEADLINE, "what was emitted is never held whole");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    sim.stop(); // nothing is committed any more
    let trades = compare_with_emitted(client, &oracle).await;
    for daemon in daemons {
        wait_for_pairs(daemon);
        assert!(compare_published(daemon, client).await > 0);
    }
    println!("{trades} trades, none lost, none doubled");
    trades
}

/// A replica whose connections carry its name.
fn serve(horizon: &str, database: &str, name: &str, environment: &[(&str, &str)], more: &[String]) -> Daemon {
    let url = format!("{database} options='-c test.replica={name}'");
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    Daemon::serve_in(environment, horizon, &url, PASSPHRASE, &more)
}
