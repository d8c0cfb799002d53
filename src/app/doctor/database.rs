//! Checks of PostgreSQL.

mod start;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use tokio::runtime::Handle;

use self::start::{PATIENCE, REACH, StartFindings};
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

/// Connections for the checks: two sessions at a time, and one to spare.
const CONNECTIONS_MAX: usize = 3;
/// Difference of the clocks, in seconds, above which leases and windows suffer.
const SKEW_S_MAX: f64 = 2.0;
/// Oldest supported server, as `server_version_num`.
const VERSION_MIN: i32 = 150_000;
/// The checks that need an answer of the database.
const OF_ANSWER: [&str; 10] = [
    "database_version",
    "database_locale",
    "database_timezone",
    "database_clock",
    "database_server",
    "database_schema",
    "database_network",
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
            Ok(facts) => reported(config, &store, &database, &facts).await,
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

async fn reported(
    config: &Config,
    store: &Store,
    database: &Database,
    facts: &DatabaseFacts,
) -> DatabaseFindings {
    let mut findings = vec![answers(config, store)];
    findings.extend([version(facts), locale(facts), timezone(facts), clock(facts.clock_ahead_s)]);
    let direct = match config.database_direct_url {
        Some(_) => connect(config, store.direct_url()),
        None => Ok(database.clone()),
    };
    let StartFindings { findings: of_start, has_schema, direct } =
        start::check(config, direct, database).await;
    findings.extend(of_start);
    findings.push(if has_schema {
        days(database.partition_days().await, SystemClock.now())
    } else {
        Finding::skipped("partitions", "the schema is not complete")
    });
    findings.push(pooler(config, database, direct.as_ref()).await);
    let lease = if has_schema { database.lease_view().await.ok().flatten() } else { None };
    DatabaseFindings { findings, lease }
}

/// Names the database: an exported address wins over `--data-dir`.
fn answers(config: &Config, store: &Store) -> Finding {
    let source = config.overriding_variable.as_ref();
    let source =
        source.map(|variable| format!(", which {variable} names, not --data-dir")).unwrap_or_default();
    Finding::ok("database", format!("{} answers{source}", store.shown()))
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

/// Checks that migrations bypass a pooler in transaction mode. `direct` is the database at their address, if it was
/// reached.
async fn pooler(config: &Config, database: &Database, direct: Option<&Database>) -> Finding {
    const NAME: &str = "pooler";
    let shared = match database.shares_backends().await {
        Ok(shared) => shared,
        Err(error) => return Finding::failure(NAME, error.to_string(), REACH),
    };
    if !shared {
        return Finding::ok(NAME, "connections are direct, or the pooler is in session mode");
    }
    if config.database_direct_url.is_none() {
        return Finding::warning(
            NAME,
            "connections go through a pooler in transaction mode",
            "give the server's own address as --database-direct-url: migrations need it",
        );
    }
    let Some(direct) = direct else {
        return Finding::skipped(NAME, "database_server failed");
    };
    match direct.shares_backends().await {
        Ok(false) => Finding::ok(NAME, "pooler in transaction mode; --database-direct-url bypasses it"),
        Ok(true) => Finding::failure(
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
