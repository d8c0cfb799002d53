//! Broken set-ups of PostgreSQL.

use super::*;
use crate::support::{
    pgbouncer::PgBouncer,
    postgres::{execute, superuser},
};

fn name_of(database: &str) -> &str {
    database.rsplit_once("dbname=").unwrap().1
}

#[test]
fn a_database_that_cannot_be_reached() {
    block_on(async {
        let mut setup = Setup::new().await;
        setup.database = "postgres://ticker:canary@127.0.0.1:1/ticker".into();
        let found = setup.run();
        found.assert("database", "failure", "127.0.0.1");
        assert_eq!(found.check("database_schema")["status"], "skipped");
        assert!(!found.report.to_string().contains("canary"), "no password: {:#}", found.report);
    });
}

#[test]
fn a_private_postgres_that_cannot_start() {
    block_on(async {
        let mut setup = Setup::new().await;
        setup.database = String::new();
        assert_eq!(setup.run().check("database")["status"], "skipped", "it can be started");
        assert!(!setup.data_dir.exists(), "it makes nothing");
        setup.environment = vec![("TICKER_PG_BIN_DIR", "/nonexistent".into())];
        setup.run().assert("database", "failure", "no PostgreSQL server in /nonexistent");
        setup.environment = vec![("TICKER_PG_BIN_DIR", String::new())];
        assert_eq!(setup.run().check("database")["status"], "skipped", "an empty variable counts as unset");
        setup.environment = Vec::new();
        let cluster = setup.data_dir.join("pg");
        std::fs::create_dir_all(&cluster).unwrap();
        std::fs::write(cluster.join("PG_VERSION"), "9\n").unwrap();
        setup.run().assert("database", "failure", cluster.to_str().unwrap());
    });
}

#[test]
fn a_database_without_schema_in_another_encoding() {
    block_on(async {
        let mut setup = Setup::new().await;
        let name = format!("latin_{}", std::process::id());
        let made =
            format!("CREATE DATABASE {name} OWNER ticker ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'");
        execute(superuser(), &made).await;
        setup.database = setup.database.replace(name_of(&setup.database.clone()), &name);
        let found = setup.run();
        found.assert("database_locale", "failure", "LATIN1");
        found.assert("database_server", "failure", "LATIN1");
        assert_eq!(found.check("database_schema")["status"], "skipped");
        assert_eq!(found.check("partitions")["status"], "skipped");
    });
}

#[test]
fn a_database_without_schema() {
    block_on(async {
        let mut setup = Setup::new().await;
        setup.database = fresh_database().await;
        let found = setup.run();
        found.assert("database_schema", "warning", "V1__create_tables");
        assert_eq!(found.check("database_network")["status"], "ok", "the first start claims it");
        assert_eq!(found.check("partitions")["status"], "skipped");
        // A role that may not make the schema.
        let role = format!("reader_{}", std::process::id());
        execute(superuser(), &format!("CREATE ROLE {role} LOGIN")).await;
        setup.database = setup.database.replace("user=ticker", &format!("user={role}"));
        assert_refused(&setup, 78, "database_schema", "this role may not change it");
    });
}

/// Asserts that the check fails, and that a start ends with this code.
fn assert_refused(setup: &Setup, code: i32, check: &str, words: &str) {
    let found = setup.run();
    found.assert(check, "failure", words);
    assert_eq!(found.code, 2, "{:#}", found.report);
    let (started, _, log) = setup.command(&["serve"]);
    assert_eq!(started, code, "{log}");
}

#[test]
fn a_database_of_another_network() {
    block_on(async {
        let setup = Setup::new().await;
        execute(&setup.database, "INSERT INTO network (passphrase) VALUES ('Another')").await;
        assert_refused(&setup, 78, "database_network", "\"Another\"");
    });
}

#[test]
fn a_direct_address_that_refuses_the_log_in_without_a_pooler() {
    block_on(async {
        let mut setup = Setup::new().await;
        let direct = setup.database.replace("user=ticker", "user=no_such_role");
        setup.more = vec!["--database-direct-url".into(), direct];
        assert_refused(&setup, 69, "database_server", "--database-direct-url: authentication failed");
    });
}

#[test]
fn a_table_of_another_program() {
    block_on(async {
        let mut setup = Setup::new().await;
        setup.database = fresh_database().await;
        execute(&setup.database, "CREATE TABLE trades (id int)").await;
        assert_refused(&setup, 78, "database_schema", "tables (trades) of another program");
    });
}

#[test]
fn a_search_path_without_a_schema() {
    block_on(async {
        let setup = Setup::new().await;
        let path = format!("ALTER DATABASE {} SET search_path = 'nowhere'", name_of(&setup.database));
        execute(superuser(), &path).await;
        assert_refused(&setup, 78, "database_server", "search_path of this role is");
    });
}

#[test]
fn a_session_in_another_time_zone_and_no_partition_since_years() {
    block_on(async {
        let setup = Setup::new().await;
        execute(&setup.database, "SELECT ticker_make_day('2020-01-01')").await;
        let zone = format!("ALTER DATABASE {} SET timezone = 'Asia/Tokyo'", name_of(&setup.database));
        execute(superuser(), &zone).await;
        let found = setup.run();
        found.assert("database_timezone", "warning", "Asia/Tokyo");
        found.assert("partitions", "warning", "up to 2020-01-01");
    });
}

#[test]
fn a_role_without_rights() {
    block_on(async {
        let mut setup = Setup::new().await;
        let role = format!("poor_{}", std::process::id());
        execute(superuser(), &format!("CREATE ROLE {role} LOGIN")).await;
        setup.database = setup.database.replace("user=ticker", &format!("user={role}"));
        // Without any right it does not even see which migrations are applied.
        let grant = format!("GRANT SELECT ON refinery_schema_history, schema_needs TO {role}");
        let owner = setup.database.replace(&format!("user={role}"), "user=ticker");
        execute(&owner, &grant).await;
        setup.run().assert("database_rights", "failure", "lacks the rights");
    });
}

#[test]
fn a_pooler_in_transaction_mode_without_a_direct_address() {
    block_on(async {
        let mut setup = Setup::new().await;
        let direct = setup.database.clone();
        let pooler = PgBouncer::start(&direct);
        setup.database = pooler.url();
        setup.run().assert("pooler", "warning", "transaction mode");
        setup.more = vec!["--database-direct-url".into(), pooler.url()];
        setup.run().assert("pooler", "failure", "also goes through a pooler");
        setup.more = vec!["--database-direct-url".into(), direct];
        assert_eq!(setup.run().check("pooler")["status"], "ok");
    });
}
