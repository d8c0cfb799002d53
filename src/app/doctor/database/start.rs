//! Checks of the steps by which a start prepares the database: the first ones over the direct address.

use std::time::Duration;

use crate::{
    app::doctor::Finding,
    config::Config,
    db::{Database, DbError},
};

/// Time limit for each answer of the database.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Advice for a database that cannot be reached.
pub(super) const REACH: &str = "check --database-url, pg_hba.conf, and whether PostgreSQL runs and listens";
/// The checks that need a server that meets the requirements.
const OF_SERVER: [&str; 3] = ["database_schema", "database_network", "database_rights"];

/// Findings about the steps of a start.
pub(super) struct StartFindings {
    pub(super) findings: Vec<Finding>,
    /// True if no migration is missing.
    pub(super) has_schema: bool,
    /// Database at the direct address, if it meets the requirements.
    pub(super) direct: Option<Database>,
}

/// Checks the steps of a start in their order. `direct` is the database at the address for migrations.
pub(super) async fn check(
    config: &Config,
    direct: Result<Database, DbError>,
    database: &Database,
) -> StartFindings {
    let (server, direct) = match suitable(direct).await {
        Ok(direct) => (Finding::ok("database_server", "it meets the requirements of a start"), Some(direct)),
        Err(error) => (refused(config, &error), None),
    };
    // A running daemon does not use the direct address, so the other one tells what such a daemon finds.
    let other = config.database_direct_url.as_ref().map(|_| database);
    let Some(reached) = direct.as_ref().or(other) else {
        let skip = |name| Finding::skipped(name, "database_server failed");
        let findings = [vec![server], OF_SERVER.map(skip).to_vec()].concat();
        return StartFindings { findings, has_schema: false, direct };
    };
    let schema = reached.within(PATIENCE, reached.missing_migrations()).await;
    let has_schema = schema.as_ref().is_ok_and(Vec::is_empty);
    let network = match schema {
        Ok(_) => network(config, database.within(PATIENCE, database.network()).await),
        Err(_) => Finding::skipped("database_network", "database_schema failed"),
    };
    let rights = if has_schema {
        rights(database.within(PATIENCE, database.check_rights()).await)
    } else {
        Finding::skipped("database_rights", "the schema is not complete")
    };
    let findings = vec![server, migrations(schema), network, rights];
    StartFindings { findings, has_schema, direct }
}

/// Returns the database if its server and its role meet the requirements.
async fn suitable(direct: Result<Database, DbError>) -> Result<Database, DbError> {
    let direct = direct?;
    direct.within(PATIENCE, direct.check_server()).await?;
    Ok(direct)
}

fn refused(config: &Config, error: &DbError) -> Finding {
    const NAME: &str = "database_server";
    let (address, reach) = match &config.database_direct_url {
        Some(_) => ("--database-direct-url: ", "check --database-direct-url: every start uses it"),
        None => ("", REACH),
    };
    let remedy = match error {
        DbError::Unsuitable(_) => "correct that in the database, or give the address of another one",
        _ => reach,
    };
    Finding::failure(NAME, format!("{address}{error}"), remedy)
}

fn migrations(missing: Result<Vec<String>, DbError>) -> Finding {
    const NAME: &str = "database_schema";
    match missing {
        Ok(missing) if missing.is_empty() => Finding::ok(NAME, "all migrations are applied"),
        Ok(missing) => Finding::warning(
            NAME,
            format!("missing migrations: {}", missing.join(", ")),
            "`stellar-ticker migrate` applies them; `serve` does so at start",
        ),
        Err(error) => {
            let remedy = match error {
                DbError::SchemaTooNew { .. } => "run the newest version of this program",
                DbError::SchemaNotOurs { .. } => "run `stellar-ticker migrate` as the owner of the schema",
                DbError::SchemaTaken { .. } => "give the ticker a database of its own",
                _ => "read the log of the database, and check the rights of the role",
            };
            Finding::failure(NAME, error.to_string(), remedy)
        }
    }
}

fn network(config: &Config, held: Result<Option<String>, DbError>) -> Finding {
    const NAME: &str = "database_network";
    let wanted = &config.network_passphrase;
    match held {
        Ok(None) => Finding::ok(NAME, format!("none yet; the first start claims it for {wanted:?}")),
        Ok(Some(held)) if held == *wanted => Finding::ok(NAME, format!("it holds trades of {held:?}")),
        Ok(Some(held)) => Finding::failure(
            NAME,
            DbError::OtherNetwork { held, wanted: wanted.clone() }.to_string(),
            "correct --network, or give the database of that network as --database-url",
        ),
        Err(error) => Finding::failure(NAME, error.to_string(), "run deploy/roles.sql again as a superuser"),
    }
}

fn rights(checked: Result<(), DbError>) -> Finding {
    const NAME: &str = "database_rights";
    match checked {
        Ok(()) => Finding::ok(NAME, "this role may write all tables"),
        Err(error) => Finding::failure(NAME, error.to_string(), "run deploy/roles.sql again as a superuser"),
    }
}
