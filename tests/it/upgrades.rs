//! Expand, then contract (`docs/upgrades.md`): each program works on the schema before and after its own, and says so
//! where it cannot.

use std::{path::Path, time::Instant};

use refinery::Migration;
use stellar_ticker::{
    db::{Database, DbError},
    sim::FaultPlan,
};

use crate::{
    database::open,
    support::{
        DEADLINE,
        daemon::{Daemon, run},
        network::{PASSPHRASE, block_on, network},
        oracle::compare_published,
        postgres::{execute, fresh_database},
        progress::{number, wait_for_pairs, wait_for_trades},
        recomputation, wait_until,
    },
};

/// Additions of a later program, which this one ignores.
const EXPANDS: &str = "ALTER TABLE trades ADD COLUMN memo text; ALTER TABLE assets ADD COLUMN logo text NOT NULL DEFAULT '';
                       CREATE TABLE candles (market_id int); CREATE INDEX ON trades (market_id, ledger_close_time)";

/// The migrations of this program, by name, as they lie on disk.
fn migrations() -> Vec<Migration> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let migration = |(at, file): (usize, &std::path::PathBuf)| {
        let name = file.file_stem().unwrap().to_str().unwrap().split_once('_').unwrap().1.to_owned();
        Migration::unapplied(&format!("V{}__{name}", at + 1), &std::fs::read_to_string(file).unwrap())
            .unwrap()
    };
    files.iter().enumerate().map(migration).collect()
}

/// Applies migrations of another version, as that version would at its start.
async fn apply(database: &str, migrations: &[Migration]) {
    let database = open(database);
    database.patiently(DEADLINE, async |database: &Database| database.apply(migrations).await).await.unwrap();
    database.close();
}

/// The migrations of a later program.
fn later_migrations() -> Vec<Migration> {
    let mut later = migrations();
    later.push(Migration::unapplied("V99__expand", EXPANDS).unwrap());
    later
}

/// The state that an earlier program left, before there were functions for days: its own DDL, and rows.
const OF_THE_PROGRAM_BEFORE: &str = "
    DO $$
    DECLARE
        name text := 'trades_p' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD');
        today date := (now() AT TIME ZONE 'UTC')::date;
    BEGIN
        EXECUTE format('CREATE TABLE %I (LIKE trades INCLUDING ALL)', name);
        EXECUTE format('ALTER TABLE trades ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name,
                       today || ' 00:00:00+00', (today + 1) || ' 00:00:00+00');
        CREATE TABLE trades_p20200101 (LIKE trades INCLUDING ALL);
        ALTER TABLE trades ATTACH PARTITION trades_p20200101
            FOR VALUES FROM ('2020-01-01 00:00:00+00') TO ('2020-01-02 00:00:00+00');
    END
    $$;
    INSERT INTO assets (code, issuer, type) VALUES ('OLD', 'GDGU5OAPHNPU5UCLE5RDJHG7PXZFQYWKCFOEXSXNMR6KRQRI5T6XXCD7', 'credit_alphanum4');
    INSERT INTO markets (base_asset_id, counter_asset_id) SELECT 1, id FROM assets WHERE code = 'OLD';
    INSERT INTO trades SELECT 4097 + n, 0, date_trunc('second', now()), m.id, m.base_asset_id, m.counter_asset_id, 10, 20, 2, 1, true, NULL, NULL, NULL
    FROM markets m, generate_series(1, 100) n;
    INSERT INTO ingest_batches (seq, kind, trades) VALUES (1, 'backfill', 100);
    UPDATE ingest_lease SET seq = 1;";

#[test]
fn the_schema_before_with_its_rows_is_taken_over() {
    let sim = network(551, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let all = migrations();
        for count in 1..all.len() {
            apply(&database, &all[..count]).await;
        }
        execute(&database, OF_THE_PROGRAM_BEFORE).await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--clean-schedule", "* * * * * *"]);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 300).await;
        wait_for_pairs(&daemon);
        let pairs = compare_published(&daemon, &client).await;
        let kept =
            "SELECT count(*) FROM trades t JOIN assets a ON a.id = t.counter_asset_id WHERE a.code = 'OLD'";
        assert_eq!(number(&client, kept).await, 100);
        let dropped = "SELECT count(*) FROM pg_class WHERE relname = 'trades_p20200101'";
        wait_until("a day that the program before made is dropped", || {
            tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(number(&client, dropped))
            }) == 0
        });
        // The previous program continues beside it while it owns the tables: it creates the
        // day after the existing ones.
        let beside = "CREATE TABLE trades_p20400101 (LIKE trades INCLUDING ALL);
                      ALTER TABLE trades ATTACH PARTITION trades_p20400101 FOR VALUES FROM ('2040-01-01 00:00:00+00') TO ('2040-01-02 00:00:00+00')";
        execute(&database, beside).await;
        execute(&database, "DROP TABLE trades_p20400101").await;
        println!("{} migrations applied one by one, 100 trades taken over, {pairs} pairs right", all.len());
    });
}

#[test]
fn a_schema_that_a_later_program_has_added_to_serves_this_one() {
    let sim = network(552, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_for_pairs(&daemon);
        // The later program comes while this one runs.
        apply(&database, &later_migrations()).await;
        let client = recomputation::connect(&database).await;
        let stored = number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, stored + 100).await;
        compare_published(&daemon, &client).await;
        for actor in daemon.admin("/actors.json").json()["actors"].as_array().unwrap() {
            assert_eq!(actor["restarts"], 0, "{actor}");
        }
        drop(daemon);
        // And this one is started again on it.
        assert_eq!(run(&["migrate", "--database-url", &database]).0, 0);
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_for_pairs(&daemon);
        compare_published(&daemon, &client).await;
    });
}

/// While a migration waits for a table, every later reader waits behind it. So it waits for a
/// short time only, and is tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_gives_way_to_readers_and_is_tried_again() {
    let url = fresh_database().await;
    let database = open(&url);
    database.migrate().await.unwrap();
    let (reader, observer) = (recomputation::connect(&url).await, recomputation::connect(&url).await);
    let later = later_migrations();

    reader.batch_execute("BEGIN; SELECT FROM assets").await.unwrap();
    let refused = database.apply(&later).await;
    assert!(
        matches!(&refused, Err(DbError::MigrationInterrupted(text)) if text.contains("V99__expand") && text.contains("55P03")),
        "{refused:?}"
    );
    let added = "SELECT count(*) FROM information_schema.columns WHERE column_name = 'memo'";
    assert_eq!(number(&observer, added).await, 0, "nothing is half done");

    // The migration has locked the trades by now. Asking for them as well makes a deadlock, which PostgreSQL ends by
    // cancelling either.
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'assets'::regclass";
    let provoke = async {
        let begun = Instant::now();
        while number(&observer, waiting).await == 0 {
            assert!(begun.elapsed() < DEADLINE, "the migration waits for no table");
            tokio::task::yield_now().await;
        }
        let _ = reader.batch_execute("SELECT FROM trades").await;
        reader.batch_execute("ROLLBACK").await.unwrap();
    };
    tokio::join!(apply(&url, &later), provoke);
    assert_eq!(number(&observer, added).await, 1);
}

/// The code says that waiting helps.
#[test]
fn a_migration_that_gets_no_table_in_time_ends_with_69() {
    block_on(async {
        let database = fresh_database().await;
        let all = migrations();
        // This migration adds columns to a table. Another session is writing that table.
        let adding = all.iter().position(|migration| migration.name() == "add_best_prices").unwrap();
        apply(&database, &all[..adding]).await;
        let writer = recomputation::connect(&database).await;
        writer.batch_execute("BEGIN; LOCK TABLE orderbook_stats IN ROW EXCLUSIVE MODE").await.unwrap();
        let arguments = ["migrate", "--database-url", &database, "--startup-timeout", "1s"];
        let (code, _, log) = run(&arguments);
        assert_eq!(code, 69, "{log}");
        assert!(log.contains("a migration was interrupted"), "{log}");
        writer.batch_execute("COMMIT").await.unwrap();
        assert_eq!(run(&arguments).0, 0);
    });
}

#[test]
fn a_schema_that_asks_for_a_later_program_is_refused_with_what_to_do() {
    block_on(async {
        let database = fresh_database().await;
        assert_eq!(run(&["migrate", "--database-url", &database]).0, 0);
        execute(&database, "UPDATE schema_needs SET migration = 99").await;
        for command in ["migrate", "serve"] {
            let (code, _, log) = run(&[
                command,
                "--database-url",
                &database,
                "--horizon-url",
                "http://127.0.0.1:1",
                "--network",
                PASSPHRASE,
            ]);
            assert_eq!(code, 78, "{command}: {log}");
            assert!(log.contains("it needs migration 99"), "{log}");
        }
    });
}

#[test]
fn a_migration_that_was_changed_after_its_release_is_reported() {
    block_on(async {
        let database = fresh_database().await;
        assert_eq!(run(&["migrate", "--database-url", &database]).0, 0);
        execute(&database, "DELETE FROM refinery_schema_history WHERE version = 3; UPDATE refinery_schema_history SET checksum = '1' WHERE version = 1").await;
        let (code, _, log) = run(&["migrate", "--database-url", &database]);
        assert_ne!(code, 0);
        assert!(log.contains("create_tables") && log.contains("different"), "{log}");
    });
}
