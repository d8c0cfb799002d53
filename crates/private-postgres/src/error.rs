//! Errors of the private PostgreSQL. Each text says what to do.

use std::io;
use std::path::PathBuf;

/// Error of starting or joining the private PostgreSQL.
#[derive(Debug, thiserror::Error)]
pub enum PrivatePostgresError {
    /// No `postgres` and `initdb` were found. The text says how to install them.
    #[error("{0}")]
    NotFound(String),
    /// No process runs a server for this data directory, and the caller wanted none to be started.
    #[error(
        "no running daemon keeps a private PostgreSQL in {data_dir}: give the --data-dir or the --database-url of the daemon"
    )]
    NotRunning {
        /// The data directory.
        data_dir: PathBuf,
    },
    /// No installed server has the major version of the cluster.
    #[error(
        "the data in {cluster} are of PostgreSQL {found}, and the installed server is {installed}: install PostgreSQL {found}, or dump with it and load into a new data directory"
    )]
    OtherMajorVersion {
        /// The cluster's directory.
        cluster: PathBuf,
        /// Major version in its `PG_VERSION`.
        found: String,
        /// Major versions of the servers found, separated by commas.
        installed: String,
    },
    /// A cluster of a major version that the daemon does not support, so that no daemon stored anything in it.
    #[error(
        "the data in {cluster} are of PostgreSQL {found}, and this program needs {wanted} or later: move the directory away (nothing was stored in it), and install PostgreSQL {wanted} or later"
    )]
    OldCluster {
        /// The cluster's directory.
        cluster: PathBuf,
        /// Major version in its `PG_VERSION`.
        found: String,
        /// Oldest supported major version.
        wanted: u32,
    },
    /// The cluster belongs to another user than the one that would run the server.
    #[error(
        "{path} belongs to {owner}, but the program runs as {user}: it was probably started as another user before (as root, the server runs as an unprivileged one). Run it as that user again, give {path} to {user} (chown -R), or choose another data directory"
    )]
    WrongOwner {
        /// File or directory with the wrong owner.
        path: PathBuf,
        /// Its owner.
        owner: String,
        /// The required owner.
        user: String,
    },
    /// The server's unprivileged user may not enter the directory of an existing cluster.
    #[error(
        "the private PostgreSQL runs as {user}, which may not enter {path}: allow it (chmod o+x on the directory and its parents), or choose another data directory"
    )]
    Unreachable {
        /// The directory.
        path: PathBuf,
        /// The unprivileged user.
        user: String,
    },
    /// The program runs as root, and neither a user `postgres` nor `nobody` exists to run the server.
    #[error(
        "PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody: create one of them"
    )]
    NoAccount,
    /// The user has no name, as in a container with an arbitrary uid, and `initdb` needs one.
    #[error(
        "initdb needs a user with a name, and uid {uid} has none in /etc/passwd: run as a user with a name, add the line `ticker:x:{uid}:{gid}::/:/bin/false` to /etc/passwd, or use another PostgreSQL with --database-url"
    )]
    NoName {
        /// Number of the user.
        uid: u32,
        /// Number of its group.
        gid: u32,
    },
    /// initdb, or the server itself, ended with an error.
    #[error("{what} ended with {status}: {output}")]
    Failed {
        /// Name of the program.
        what: &'static str,
        /// Exit status or signal.
        status: String,
        /// Last lines of its output.
        output: String,
    },
    /// Another living process runs the server of this data directory.
    #[error(
        "the data directory {data_dir} is in use by {}: stop that one, or choose another with --data-dir",
        holder(*.pid)
    )]
    InUse {
        /// The data directory.
        data_dir: PathBuf,
        /// Id of the other process, if its lock file has it.
        pid: Option<u32>,
    },
    /// A step did not finish in time. More time may help, since the recovery after a crash can take minutes.
    #[error("gave up after {waited_s} s of waiting for {what}: give more time with --startup-timeout")]
    DeadlineExceeded {
        /// Step that was waited for.
        what: String,
        /// Time limit of the whole start, in seconds.
        waited_s: u64,
    },
    /// The data directory cannot be made, entered or locked.
    #[error("cannot use the data directory {data_dir} (--data-dir chooses another): {source}")]
    DataDir {
        /// The data directory.
        data_dir: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The operating system returned an error.
    #[error("cannot {doing}: {source}")]
    Io {
        /// Attempted operation, as an infinitive.
        doing: String,
        /// Error of the operating system.
        source: io::Error,
    },
}

/// Returns the process that uses a data directory, for messages.
fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("the process {pid}"))
}

impl PrivatePostgresError {
    /// Returns true if the same call may succeed later without any change by the operator.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::DeadlineExceeded { .. } | Self::InUse { .. } => true,
            Self::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory
            ),
            _ => false,
        }
    }

    /// Returns a function for `map_err` that adds the attempted operation to an I/O error.
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
