//! The roles of `deploy/roles.sql`: what each may, and that the daemon needs no more.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use stellar_ticker::sim::FaultPlan;

use crate::support::{
    daemon::{Daemon, output_of, run},
    network::{PASSPHRASE, block_on, network},
    postgres::{execute, fresh_database, open_tempdir, socket_of, superuser},
    progress::{number, wait_for_pairs, wait_for_trades},
    recomputation, wait_until,
};

const ROLES: &str = include_str!("../../../deploy/roles.sql");
const BACKUP: &str = include_str!("../../../docs/backup.md");

/// Held while the file runs. Roles belong to the whole server, and two tests at once would create the same ones.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A new database: its name, and how the superuser connects.
async fn new_database() -> (String, String) {
    let database = fresh_database().await;
    let name = database.rsplit_once("dbname=").unwrap().1.to_owned();
    let superuser = superuser().replace("dbname=postgres", &format!("dbname={name}"));
    (name, superuser)
}

/// Runs the file, these statements, and the file again, which changes nothing by itself.
async fn make_roles(superuser: &str, between: &str) {
    let _turn = ONE_AT_A_TIME.lock().await;
    for statements in [ROLES, between, ROLES] {
        execute(superuser, statements).await;
    }
}

/// A new database with the roles in it: how each connects.
async fn with_roles() -> impl Fn(&str) -> String {
    let (_, superuser) = new_database().await;
    make_roles(&superuser, "SELECT 1").await;
    move |role: &str| superuser.replace("user=postgres", &format!("user={role}"))
}

/// Name of the database of a connection string.
fn name_of(url: &str) -> &str {
    url.rsplit_once("dbname=").unwrap().1
}

/// `PATH` with the directory of PostgreSQL's programs first, if the environment names one.
fn path_of_tools() -> OsString {
    let named = std::env::var_os("TICKER_PG_BIN_DIR").filter(|directory| !directory.is_empty());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = named.map(PathBuf::from).into_iter().chain(std::env::split_paths(&path));
    std::env::join_paths(directories).unwrap()
}

fn dump(url: &str, file: &Path) {
    let mut dump = Command::new("pg_dump");
    dump.env("PATH", path_of_tools()).arg("--format=custom").arg("--file").arg(file).arg(url);
    let output = output_of(&mut dump);
    assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs the written steps of a restore on the server of the tests, into a new database of this name.
async fn restore(steps: &str, dump: &Path, into: &str) {
    let (socket, port, _) = socket_of(superuser());
    let script = steps
        .replace("sudo -u postgres ", "")
        .replace("postgres://", "'user=")
        .replace("@localhost/ticker_restored", " dbname=ticker_restored'")
        .replace("ticker_restored", into)
        .replace("ticker.dump", dump.to_str().unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", &script]).current_dir(env!("CARGO_MANIFEST_DIR"));
    shell.env("PATH", path_of_tools()).env("LC_ALL", "C");
    shell.env("PGHOST", socket).env("PGPORT", port.to_string()).env("PGUSER", "postgres");
    let _turn = ONE_AT_A_TIME.lock().await;
    let output = output_of(&mut shell);
    let log = String::from_utf8_lossy(&output.stderr);
    // psql exits with 0 even if a statement of the file fails.
    assert!(output.status.success() && !log.contains("ERROR"), "{script}\n{log}");
}

/// Makes tables that are set aside, and new ones with a row.
async fn fill(owner: &str) {
    assert_eq!(run(&["migrate", "--database-url", owner]).0, 0);
    let (code, _, log) = run(&["start-over", "--yes", "--database-url", owner]);
    assert_eq!(code, 0, "{log}");
    execute(owner, &format!("INSERT INTO network (passphrase) VALUES ('{PASSPHRASE}')")).await;
}

#[test]
fn a_dump_is_restored_by_the_written_steps_for_one_role_and_for_three() {
    let (_, steps) = BACKUP.split_once("\n## Restore\n").unwrap();
    let blocks: Vec<&str> = steps.split("```sh\n").skip(1).collect();
    let commands = |at: usize| blocks[at].split("```").next().unwrap();
    assert_eq!(blocks.len(), 2, "one role, three roles");
    let sim = network(514, FaultPlan::none());
    block_on(async {
        let directory = open_tempdir();
        let file = directory.path().join("ticker.dump");
        let networks = async |url: &str| {
            number(&recomputation::connect(url).await, "SELECT count(*) FROM network").await
        };

        let single = fresh_database().await;
        fill(&single).await;
        dump(&single, &file);
        let into = format!("{}_restored", name_of(&single));
        restore(commands(0), &file, &into).await;
        assert_eq!(networks(&single.replace(name_of(&single), &into)).await, 1);

        let original = with_roles().await;
        let migrate = original("ticker_migrate");
        let grant = format!("GRANT CREATE ON DATABASE {} TO ticker_migrate", name_of(&migrate));
        execute(&original("postgres"), &grant).await;
        fill(&migrate).await;
        dump(&original("ticker_ro"), &file);
        let into = format!("{}_restored", name_of(&migrate));
        restore(commands(1), &file, &into).await;
        let restored = |role: &str| original(role).replace(name_of(&migrate), &into);
        assert_eq!(networks(&restored("ticker_ro")).await, 1);
        // The rights are those of the original: also on the tables that were set aside, which a dump reads.
        dump(&restored("ticker_ro"), &file);
        let rw = recomputation::connect(&restored("ticker_rw")).await;
        for statement in ["DELETE FROM refinery_schema_history", "UPDATE schema_needs SET migration = 99"] {
            assert!(rw.batch_execute(statement).await.is_err(), "ticker_rw may {statement}");
        }
        let _daemon = Daemon::serve(&sim.url(), &restored("ticker_rw"), PASSPHRASE, &[]);
        wait_for_trades(&recomputation::connect(&restored("ticker_migrate")).await, 50).await;
    });
}

/// By the steps at the head of the file. `that_role` owns the database and made the tables.
#[test]
fn a_database_of_one_role_is_given_to_three_by_the_written_steps() {
    let sim = network(513, FaultPlan::none());
    block_on(async {
        let (name, superuser) = new_database().await;
        let url = |role: &str| superuser.replace("user=postgres", &format!("user={role}"));
        let single = format!("single_{name}");
        execute(&superuser, &format!("CREATE ROLE {single} LOGIN; ALTER DATABASE {name} OWNER TO {single}"))
            .await;
        assert_eq!(run(&["migrate", "--database-url", &url(&single)]).0, 0);
        let head = ROLES.lines().map_while(|line| line.strip_prefix("--")).collect::<Vec<_>>().join("");
        let (_, steps) =
            head.split_once("If the tables already belong to one role: run this file, then ").unwrap();
        let (reassign, rest) = steps.split_once(", then ").unwrap();
        assert!(rest.starts_with("this file again"), "{rest}");
        make_roles(&superuser, &reassign.trim_matches('`').replace("that_role", &single)).await;
        let owner = recomputation::connect(&url("ticker_migrate")).await;
        let of_the_old_role = format!(
            "SELECT count(*) FROM pg_class WHERE relowner = '{single}'::regrole AND relkind IN ('r', 'p')"
        );
        assert_eq!(number(&owner, &of_the_old_role).await, 0);
        let _daemon = Daemon::serve(&sim.url(), &url("ticker_rw"), PASSPHRASE, &[]);
        wait_for_trades(&owner, 50).await;
    });
}

#[test]
fn the_daemon_needs_no_more_than_rows() {
    let sim = network(511, FaultPlan::none());
    block_on(async {
        let url = with_roles().await;
        let (migrate, rw) = (url("ticker_migrate"), url("ticker_rw"));
        // Without the schema it prints the remedy.
        let (code, _, log) = run(&["migrate", "--database-url", &rw]);
        assert_eq!(code, 78, "{log}");
        assert!(log.contains("run `stellar-ticker migrate` as its owner"), "{log}");
        assert_eq!(run(&["migrate", "--database-url", &migrate]).0, 0);
        assert_eq!(run(&["migrate", "--database-url", &rw]).0, 0, "nothing to do");
        let daemon = Daemon::serve(&sim.url(), &rw, PASSPHRASE, &["--clean-schedule", "* * * * * *"]);
        let owner = recomputation::connect(&migrate).await;
        wait_for_trades(&owner, 200).await;
        wait_for_pairs(&daemon);
        // An old day, which the cleaner drops, beside the days that it created.
        owner.batch_execute("SELECT ticker_make_day('2020-01-01')").await.unwrap();
        let old = "SELECT count(*) FROM pg_class WHERE relname = 'trades_p20200101'";
        wait_until("the old day is dropped", || block_in_place(number(&owner, old)) == 0);
        let days =
            number(&owner, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'trades'::regclass").await;
        assert!(days >= 3, "{days} days");
        let not_owned = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relowner <> 'ticker_migrate'::regrole";
        assert_eq!(
            number(&owner, not_owned).await,
            0,
            "all that the daemon made belongs to the owner of the schema"
        );
        let actors = daemon.admin("/actors.json").json();
        for actor in actors["actors"].as_array().unwrap() {
            assert_eq!(actor["restarts"], 0, "{actor}");
        }
        for line in daemon.log().lines() {
            assert!(!line.contains("permission denied"), "{line}");
        }
        println!(
            "as ticker_rw: {days} days made and one dropped, {} trades",
            number(&owner, "SELECT count(*) FROM trades").await
        );
    });
}

#[test]
fn the_roles_of_the_daemon_and_of_readers_may_back_up_the_database() {
    block_on(async {
        let url = with_roles().await;
        let sequence = |name: &str| format!("CREATE SEQUENCE {name}");
        let owner = async || recomputation::connect(&url("ticker_migrate")).await;
        // One that was there before the roles were granted their rights, and others since.
        let earlier = format!("{}; ALTER SEQUENCE earlier OWNER TO ticker_migrate", sequence("earlier"));
        make_roles(&url("postgres"), &earlier).await;
        assert_eq!(run(&["migrate", "--database-url", &url("ticker_migrate")]).0, 0);
        owner().await.batch_execute(&sequence("later")).await.unwrap();
        let directory = open_tempdir();
        let may_back_up = || {
            for role in ["ticker_rw", "ticker_ro"] {
                let file = directory.path().join(role);
                dump(&url(role), &file);
                assert!(std::fs::metadata(file).unwrap().len() > 0, "{role}");
            }
        };
        may_back_up();
        // A dump has the tables that were set aside, too, and their trades stay readable.
        let migrate = url("ticker_migrate");
        let grant = format!("GRANT CREATE ON DATABASE {} TO ticker_migrate", name_of(&migrate));
        execute(&url("postgres"), &grant).await;
        assert_eq!(run(&["start-over", "--yes", "--database-url", &migrate]).0, 0);
        may_back_up();
        let aside = "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'ticker_2%'";
        let aside: String = owner().await.query_one(aside, &[]).await.unwrap().get(0);
        let reader = recomputation::connect(&url("ticker_ro")).await;
        assert_eq!(number(&reader, &format!("SELECT count(*) FROM {aside}.trades")).await, 0);
        let may = format!(
            "SELECT count(*) FROM pg_roles WHERE has_schema_privilege(oid, '{aside}', 'CREATE') AND NOT rolsuper AND rolname LIKE 'ticker\\_%'"
        );
        assert_eq!(number(&reader, &may).await, 1, "only its owner may make tables there");
    });
}

#[test]
fn a_right_that_is_lost_meanwhile_is_reported_until_trades_are_stored_again() {
    let sim = network(512, FaultPlan::none());
    block_on(async {
        let url = with_roles().await;
        let (migrate, rw) = (url("ticker_migrate"), url("ticker_rw"));
        assert_eq!(run(&["migrate", "--database-url", &migrate]).0, 0);
        let owner = recomputation::connect(&migrate).await;
        let daemon = Daemon::serve(&sim.url(), &rw, PASSPHRASE, &[]);
        wait_for_trades(&owner, 100).await;
        let check = || daemon.get("/readyz").json()["checks"]["database"].clone();
        owner.batch_execute("REVOKE INSERT ON trades FROM ticker_rw").await.unwrap();
        wait_until("it is reported", || check()["ok"] == false);
        // The lease is renewed and the windows are read meanwhile, which says that the database answers.
        let publications = || daemon.get("/api/v1/status").json()["as_of"].clone();
        for _ in 0..3 {
            let before = publications();
            wait_until("another publication", || publications() != before);
            let check = check();
            assert_eq!(check["ok"], false, "{check}");
            assert!(check["detail"].as_str().unwrap().starts_with("writes of trades fail"), "{check}");
        }
        owner.batch_execute("GRANT INSERT ON trades TO ticker_rw").await.unwrap();
        wait_until("trades are stored again", || check()["ok"] == true);
    });
}

#[test]
fn a_role_without_the_rights_of_a_writer_is_refused_at_start_with_the_missing_ones() {
    block_on(async {
        let url = with_roles().await;
        assert_eq!(run(&["migrate", "--database-url", &url("ticker_migrate")]).0, 0);
        let owner = recomputation::connect(&url("ticker_migrate")).await;
        owner.batch_execute("REVOKE INSERT, DELETE ON coverage FROM ticker_rw").await.unwrap();
        let refused = |role: &str| {
            let ports = ["--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0"];
            let url = url(role);
            let serve =
                ["serve", "--database-url", &url, "--network", "Any", "--horizon-url", "http://127.0.0.1:1"];
            let (code, _, log) = run(&[&serve[..], &ports].concat());
            assert_eq!(code, 78, "{log}");
            log
        };
        // The network is claimed at first use, which is a writer's.
        owner.batch_execute("INSERT INTO network (passphrase) VALUES ('Any')").await.unwrap();
        let log = refused("ticker_rw");
        assert!(log.contains("lacks the rights INSERT, DELETE on coverage: grant them"), "{log}");
        let log = refused("ticker_ro");
        assert!(log.contains("INSERT on trades") && log.contains("deploy/roles.sql"), "{log}");
        // A command that only reads needs no other right.
        let file = open_tempdir();
        let file = file.path().join("markets.json");
        let out = file.to_str().unwrap();
        let (code, _, log) = run(&[
            "generate",
            "market-data",
            "-o",
            out,
            "--database-url",
            &url("ticker_ro"),
            "--network",
            "Any",
        ]);
        assert!(code == 0 && file.is_file(), "{code}: {log}");
    });
}

#[test]
fn start_over_needs_the_owner_with_the_right_to_create_a_schema() {
    block_on(async {
        let url = with_roles().await;
        let (migrate, rw) = (url("ticker_migrate"), url("ticker_rw"));
        assert_eq!(run(&["migrate", "--database-url", &migrate]).0, 0);
        let owner = recomputation::connect(&migrate).await;
        owner.batch_execute("INSERT INTO network (passphrase) VALUES ('Any')").await.unwrap();
        let start_over = |url: &str| run(&["start-over", "--yes", "--database-url", url]);
        for role in [&migrate, &rw] {
            let (code, _, log) = start_over(role);
            assert!(code == 78 && log.contains("GRANT CREATE ON DATABASE"), "{code}: {log}");
            assert_eq!(number(&owner, "SELECT count(*) FROM network").await, 1, "nothing was moved");
        }
        let name = migrate.rsplit_once("dbname=").unwrap().1.split(' ').next().unwrap().to_owned();
        execute(&url("postgres"), &format!("GRANT CREATE ON DATABASE {name} TO ticker_migrate")).await;
        let (code, _, log) = start_over(&migrate);
        assert_eq!(code, 0, "{log}");
        assert_eq!(number(&owner, "SELECT count(*) FROM network").await, 0);
        // The daemon's role has its rights on the new tables, and still needs no more.
        let daemon = recomputation::connect(&rw).await;
        daemon.batch_execute("INSERT INTO network (passphrase) VALUES ('Another')").await.unwrap();
        let (code, _, log) = start_over(&rw);
        assert!(code == 78 && log.contains("GRANT CREATE ON DATABASE"), "{code}: {log}");
    });
}

#[test]
fn no_role_may_do_what_it_need_not() {
    block_on(async {
        let url = with_roles().await;
        assert_eq!(run(&["migrate", "--database-url", &url("ticker_migrate")]).0, 0);
        let owner = recomputation::connect(&url("ticker_migrate")).await;
        owner
            .batch_execute("SELECT ticker_make_day('2026-11-25'); CREATE TABLE trades_p20010101 (a int)")
            .await
            .unwrap();
        let (rw, ro) = (
            recomputation::connect(&url("ticker_rw")).await,
            recomputation::connect(&url("ticker_ro")).await,
        );
        for statement in [
            "CREATE TABLE x (a int)",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE SCHEMA s",
            "CREATE TEMP TABLE trades (a int)",
            "DROP TABLE trades",
            "DROP TABLE trades_p20261125",
            "ALTER TABLE trades ADD COLUMN x int",
            "ALTER TABLE trades DISABLE TRIGGER ALL",
            "TRUNCATE trades",
            "CREATE INDEX ON trades (market_id)",
            "DELETE FROM refinery_schema_history",
            "UPDATE schema_needs SET migration = 99",
            "CREATE OR REPLACE FUNCTION ticker_make_day(day date) RETURNS void LANGUAGE sql AS ''",
            "SET ROLE ticker_migrate",
            "SELECT ticker_make_day('1900-01-01')",
            "SELECT ticker_make_day(NULL)",
            "COPY trades TO '/tmp/x'",
            "COPY trades TO PROGRAM 'true'",
            "SELECT pg_read_file('/etc/passwd')",
        ] {
            assert!(rw.batch_execute(statement).await.is_err(), "ticker_rw may {statement}");
        }
        // A table that only looks like a day stays.
        rw.batch_execute("SELECT ticker_drop_day('2001-01-01')").await.unwrap();
        number(&owner, "SELECT count(*) FROM trades_p20010101").await;
        // A search_path of the caller's leads the functions nowhere else.
        rw.batch_execute("SET search_path = pg_catalog; SELECT public.ticker_make_day('2026-11-27'); SELECT public.ticker_drop_day('2026-11-27')").await.unwrap();
        assert_eq!(number(&ro, "SELECT count(*) FROM trades").await, 0);
        let migrations = "SELECT count(*) FROM refinery_schema_history";
        assert_eq!(number(&ro, migrations).await, number(&owner, migrations).await);
        for statement in [
            "INSERT INTO network (passphrase) VALUES ('x')",
            "SET default_transaction_read_only = off; DELETE FROM trades",
            "SET default_transaction_read_only = off; UPDATE ingest_lease SET epoch = 9",
            "SET default_transaction_read_only = off; SELECT ticker_drop_day('2026-11-25')",
            "SET default_transaction_read_only = off; SELECT nextval('asset_version')",
        ] {
            assert!(ro.batch_execute(statement).await.is_err(), "ticker_ro may {statement}");
        }
        let timeout: String = ro.query_one("SHOW statement_timeout", &[]).await.unwrap().get(0);
        assert_eq!(timeout, "30s");
    });
}

#[test]
fn the_daemon_migrates_by_the_direct_url_of_the_owner() {
    let sim = network(512, FaultPlan::none());
    block_on(async {
        let url = with_roles().await;
        let (migrate, rw) = (url("ticker_migrate"), url("ticker_rw"));
        let daemon = Daemon::serve(&sim.url(), &rw, PASSPHRASE, &["--database-direct-url", &migrate]);
        wait_for_pairs(&daemon);
    });
}

fn block_in_place<F: Future>(future: F) -> F::Output {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
}
