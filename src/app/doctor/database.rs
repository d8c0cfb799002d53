//! Checks of PostgreSQL.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use tokio::runtime::Handle;

use super::Finding;
use crate::{
    app::store::{self, Store},
    clock::{Clock, SystemClock},
    config::Config,
    db::{
        Database, DatabaseSettings, DbError,
        examination::{DatabaseFacts, ENCODING_REMEDY, LeaseView, TIMEZONE_REMEDY},
    },
};
use private_postgres::{IfRunning, PrivatePostgresError};

/// Time limit for each answer of the database.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections for the checks: two sessions at a time, and one to spare.
const CONNECTIONS_MAX: usize = 3;
/// Difference of the clocks, in seconds, above which leases and windows suffer.
const SKEW_S_MAX: f64 = 2.0;
/// Oldest supported server, as `server_version_num`.
const VERSION_MIN: i32 = 150_000;
/// The checks that need an answer of the database.
const OF_ANSWER: [&str; 8] = [
    "database_version",
    "database_locale",
    "database_timezone",
    "database_clock",
    "database_schema",
    "database_rights",
    "partitions",
    "pooler",
];

/// Findings, and the lease for the checks of the running daemon.
pub(super) struct DatabaseFindings {
    pub(super) findings: Vec<Finding>,
    pub(super) lease: Option<LeaseView>,
}

pub(super) async fn check(config: &Config) -> DatabaseFindings {
    let none = |finding| {
        let skipped = OF_ANSWER.map(|name| Finding::skipped(name, "the database was not reached"));
        DatabaseFindings { findings: [vec![finding], skipped.to_vec()].concat(), lease: None }
    };
    // The private server is joined, and none is started for a check.
    let store = match Store::find(config, IfRunning::JoinOnly).await {
        Ok(store) => store,
        Err(error) => return none(not_joined(config, error)),
    };
    let found = match connect(config, store.url()) {
        Ok(database) => match reached(&database).await {
            Ok(facts) => reported(config, &database, &facts).await,
            Err(error) => none(Finding::failure("database", error, REACH)),
        },
        Err(error) => none(Finding::failure("database", error.to_string(), REACH)),
    };
    store.close();
    found
}

/// Reports that no private server was joined. If none runs, that is all right as long as one could be started.
fn not_joined(config: &Config, error: PrivatePostgresError) -> Finding {
    const NAME: &str = "database";
    if error.is_transient() && !matches!(error, PrivatePostgresError::NotRunning { .. }) {
        let remedy = "wait until the daemon that starts it is ready, and run doctor again";
        return Finding::warning(NAME, error.to_string(), remedy);
    }
    let problem = match &error {
        PrivatePostgresError::NotRunning { .. } => {
            let installed = private_postgres::check_installed(&config.data_dir, store::bin_dir().as_deref());
            installed.err().map(|error| error.to_string())
        }
        other => Some(other.to_string()),
    };
    match problem {
        None => Finding::skipped(
            NAME,
            format!("no database is given, and no daemon runs a private one now ({error})"),
        ),
        Some(problem) => Finding::failure(
            NAME,
            problem,
            "correct that, or give a PostgreSQL of your own with --database-url",
        ),
    }
}

const REACH: &str = "check --database-url, pg_hba.conf, and whether PostgreSQL runs and listens";

fn connect(config: &Config, url: &str) -> Result<Database, DbError> {
    let settings = DatabaseSettings {
        url: url.to_owned(),
        ca_file: config.ca_file.clone(),
        max_connections: CONNECTIONS_MAX,
    };
    Database::new(&settings, Handle::current())
}

async fn reached(database: &Database) -> Result<DatabaseFacts, String> {
    match tokio::time::timeout(PATIENCE, database.examine(|| SystemClock.now())).await {
        Ok(found) => found.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

async fn reported(config: &Config, database: &Database, facts: &DatabaseFacts) -> DatabaseFindings {
    let schema = database.missing_migrations().await;
    let has_schema = schema.as_ref().is_ok_and(Vec::is_empty);
    let mut findings = vec![Finding::ok("database", "it answers")];
    findings.extend([
        version(facts),
        locale(facts),
        timezone(facts),
        clock(facts.clock_ahead_s),
        migrations(schema),
    ]);
    if has_schema {
        findings.push(rights(database.check_rights().await));
        findings.push(days(database.partition_days().await, SystemClock.now()));
    } else {
        let skip = |name| Finding::skipped(name, "the schema is not complete");
        findings.extend(["database_rights", "partitions"].map(skip));
    }
    findings.push(pooler(config, database).await);
    let lease = if has_schema { database.lease_view().await.ok().flatten() } else { None };
    DatabaseFindings { findings, lease }
}

fn version(facts: &DatabaseFacts) -> Finding {
    const NAME: &str = "database_version";
    let detail = format!("PostgreSQL {}", facts.version);
    if facts.version_number < VERSION_MIN {
        return Finding::failure(NAME, detail, "upgrade the server to PostgreSQL 15 or later");
    }
    Finding::ok(NAME, detail)
}

fn locale(facts: &DatabaseFacts) -> Finding {
    const NAME: &str = "database_locale";
    let detail = format!("encoding {}, collation {}", facts.encoding, facts.collation);
    if facts.encoding != "UTF8" {
        return Finding::failure(NAME, detail, ENCODING_REMEDY);
    }
    Finding::ok(NAME, detail)
}

fn timezone(facts: &DatabaseFacts) -> Finding {
    const NAME: &str = "database_timezone";
    if ["UTC", "Etc/UTC", "GMT", "Etc/GMT", "Etc/UCT", "UCT", "Zulu", "Etc/Zulu"]
        .contains(&facts.timezone.as_str())
    {
        return Finding::ok(NAME, facts.timezone.clone());
    }
    Finding::warning(
        NAME,
        format!(
            "sessions use {}: psql shows trades in that zone, the published figures stay in UTC",
            facts.timezone
        ),
        TIMEZONE_REMEDY,
    )
}

fn clock(ahead_s: f64) -> Finding {
    const NAME: &str = "database_clock";
    let detail = format!("the server's clock is {ahead_s:.1} s ahead of this machine's");
    if ahead_s.abs() <= SKEW_S_MAX {
        return Finding::ok(NAME, detail);
    }
    Finding::warning(NAME, detail, "synchronise both clocks with NTP")
}

fn migrations(missing: Result<Vec<&'static str>, DbError>) -> Finding {
    const NAME: &str = "database_schema";
    match missing {
        Ok(missing) if missing.is_empty() => Finding::ok(NAME, "all migrations are applied"),
        Ok(missing) => Finding::warning(
            NAME,
            format!("missing migrations: {}", missing.join(", ")),
            "`stellar-ticker migrate` applies them; `serve` does so at start, if its role may",
        ),
        Err(error) => Finding::failure(NAME, error.to_string(), "run the newest version of this program"),
    }
}

fn rights(checked: Result<(), DbError>) -> Finding {
    const NAME: &str = "database_rights";
    match checked {
        Ok(()) => Finding::ok(NAME, "this role may write all tables"),
        Err(error) => Finding::failure(NAME, error.to_string(), "run deploy/roles.sql again as a superuser"),
    }
}

/// Trades of a day need its partition. The leading daemon makes those of today and of the next two days.
fn days(known: Result<Vec<NaiveDate>, DbError>, now: DateTime<Utc>) -> Finding {
    const NAME: &str = "partitions";
    let known = match known {
        Ok(known) => known,
        Err(error) => return Finding::failure(NAME, error.to_string(), "read the log of the database"),
    };
    let Some(newest) = known.last() else {
        return Finding::ok(NAME, "none yet: the daemon that leads makes them");
    };
    // A daemon that has just started to lead may not have made them yet.
    let expected = (now - TimeDelta::hours(1)).date_naive();
    let detail = format!("{} daily partitions, up to {newest}", known.len());
    if *newest >= expected {
        return Finding::ok(NAME, detail);
    }
    Finding::warning(
        NAME,
        format!("{detail}: no leading daemon has made later ones"),
        "start a daemon that ingests, and check `leader` and `stream` in /readyz",
    )
}

async fn pooler(config: &Config, database: &Database) -> Finding {
    const NAME: &str = "pooler";
    let shared = match database.shares_backends().await {
        Ok(shared) => shared,
        Err(error) => return Finding::failure(NAME, error.to_string(), REACH),
    };
    if !shared {
        return Finding::ok(NAME, "connections are direct, or the pooler is in session mode");
    }
    let Some(direct) = &config.database_direct_url else {
        return Finding::warning(
            NAME,
            "connections go through a pooler in transaction mode",
            "give the server's own address as --database-direct-url: migrations need it",
        );
    };
    let is_direct = match connect(config, direct.expose()) {
        Ok(direct) => direct.shares_backends().await.map(|shared| !shared),
        Err(error) => Err(error),
    };
    match is_direct {
        Ok(true) => Finding::ok(NAME, "pooler in transaction mode; --database-direct-url bypasses it"),
        Ok(false) => Finding::failure(
            NAME,
            "--database-direct-url also goes through a pooler in transaction mode",
            "give it the server's own address",
        ),
        Err(error) => Finding::failure(NAME, format!("--database-direct-url: {error}"), REACH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::doctor::finding::Verdict;

    fn facts() -> DatabaseFacts {
        DatabaseFacts {
            version: "17.2".into(),
            version_number: 170_002,
            encoding: "UTF8".into(),
            collation: "C".into(),
            timezone: "Etc/UTC".into(),
            clock_ahead_s: 0.1,
            is_standby: false,
        }
    }

    #[test]
    fn an_old_server_is_found() {
        assert_eq!(version(&facts()).verdict, Verdict::Ok);
        let old = DatabaseFacts { version: "14.9".into(), version_number: 140_009, ..facts() };
        assert_eq!(version(&old).verdict, Verdict::Failure);
    }

    #[test]
    fn clocks_that_differ_are_found() {
        assert_eq!([clock(2.0).verdict, clock(-2.0).verdict], [Verdict::Ok; 2]);
        assert_eq!([clock(2.1).verdict, clock(-2.1).verdict], [Verdict::Warning; 2]);
    }

    #[test]
    fn partitions_that_end_before_today_are_found() {
        let day = |day| NaiveDate::from_ymd_opt(2026, 11, day).unwrap();
        let at = |day: u32, hour: u32| {
            NaiveDate::from_ymd_opt(2026, 11, day).unwrap().and_hms_opt(hour, 5, 0).unwrap().and_utc()
        };
        assert_eq!(days(Ok(vec![]), at(9, 12)).verdict, Verdict::Ok);
        assert_eq!(days(Ok(vec![day(8), day(9)]), at(9, 12)).verdict, Verdict::Ok);
        assert_eq!(days(Ok(vec![day(8)]), at(9, 0)).verdict, Verdict::Ok);
        assert_eq!(days(Ok(vec![day(8)]), at(9, 2)).verdict, Verdict::Warning);
    }
}
