//! The cluster on disk: its version and its creation.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::account::Account;
use super::binaries::Binaries;
use super::command::{Deadline, ServerLog, command_as, run};
use super::error::PrivatePostgresError;
use super::place::{ClusterPaths, make_private_dir};
use super::{NAME, SUPERUSER};

/// Returns the major version of a cluster, or None if it does not exist.
pub(super) fn major_version(cluster: &Path) -> Result<Option<String>, PrivatePostgresError> {
    let file = cluster.join("PG_VERSION");
    match fs::read_to_string(&file) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PrivatePostgresError::io(format!("read {}", file.display()))(error)),
    }
}

/// Creates the cluster with role and database `ticker`.
///
/// It is created as `pg.new` and renamed at the end. If the process is killed in between, the next start finds no
/// incomplete cluster.
pub(super) fn create(
    paths: &ClusterPaths,
    binaries: &Binaries,
    account: &Account,
    fsync: bool,
    log: &ServerLog,
    deadline: &Deadline,
) -> Result<(), PrivatePostgresError> {
    account.must_have_a_name()?;
    tracing::info!(directory = %paths.cluster.display(), "creating a private PostgreSQL cluster for {}", account.name());
    let unfinished = paths.cluster.with_extension("new");
    remove_unfinished(&unfinished, deadline)?;
    make_private_dir(&unfinished, account)?;

    let mut initdb = command_as(account, &binaries.initdb(), "KILL");
    initdb.args(["-E", "UTF8", "--locale=C", "--auth=trust", "-U", SUPERUSER, "-D"]).arg(&unfinished);
    if !fsync {
        initdb.arg("-N");
    }
    run("initdb", initdb, "", log, deadline)?;

    // Single-user mode needs no client program and no second start. With -j an empty line ends a statement.
    let mut single = command_as(account, &binaries.postgres(), "KILL");
    single.args(["--single", "-j", "-c", "exit_on_error=on", "-D"]).arg(&unfinished).arg("postgres");
    let sql = format!("CREATE ROLE {NAME} LOGIN;\n\nCREATE DATABASE {NAME} OWNER {NAME};\n\n");
    run("postgres in single-user mode", single, &sql, log, deadline)?;

    fs::rename(&unfinished, &paths.cluster)
        .map_err(PrivatePostgresError::io(format!("rename {}", unfinished.display())))
}

/// Removes an incomplete cluster. Retries, because an initdb that was just killed may still write files.
fn remove_unfinished(unfinished: &Path, deadline: &Deadline) -> Result<(), PrivatePostgresError> {
    loop {
        match fs::remove_dir_all(unfinished) {
            Ok(()) => tracing::info!("removed an incomplete PostgreSQL cluster of an earlier start"),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                deadline.pause_or("the removal of an incomplete PostgreSQL cluster")?;
            }
            Err(error) => {
                return Err(PrivatePostgresError::io(format!("remove {}", unfinished.display()))(error));
            }
        }
    }
}
