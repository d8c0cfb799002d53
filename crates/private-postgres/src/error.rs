//! What can go wrong with the private PostgreSQL, each with what to do about it.

use std::io;
use std::path::PathBuf;

/// Why there is no private PostgreSQL.
#[derive(Debug, thiserror::Error)]
pub enum PrivatePostgresError {
    /// No `postgres` and `initdb` on this machine.
    #[error("{0}")]
    NotFound(String),
    /// No process runs a server for this data directory, and none was to be started.
    #[error(
        "no running daemon keeps a private PostgreSQL in {data_dir}: give the --data-dir or the --database-url of the daemon that is meant"
    )]
    NotRunning {
        /// The data directory.
        data_dir: PathBuf,
    },
    /// The cluster was made by another major version than any server that is installed.
    #[error(
        "the data in {cluster} are of PostgreSQL {found}, and the installed server is {installed}: install PostgreSQL {found}, or dump with it and load into a new data directory"
    )]
    OtherMajorVersion {
        /// The cluster's directory.
        cluster: PathBuf,
        /// Major version in its `PG_VERSION`.
        found: String,
        /// Major versions of the servers found, with commas.
        installed: String,
    },
    /// The cluster belongs to another user than the one that would run the server.
    #[error(
        "{path} belongs to {owner}, but the program runs as {user}: it was probably started as another user before (as root, the server runs as an unprivileged one). Run it as that user again, give {path} to {user} (chown -R), or choose another data directory"
    )]
    WrongOwner {
        /// What has the wrong owner.
        path: PathBuf,
        /// Who owns it.
        owner: String,
        /// Who would have to.
        user: String,
    },
    /// The server's unprivileged user may not enter the directory of an existing cluster.
    #[error(
        "the private PostgreSQL runs as {user}, who may not enter {path}: open the way to it (chmod o+x), or choose another data directory"
    )]
    Unreachable {
        /// The directory.
        path: PathBuf,
        /// The unprivileged user.
        user: String,
    },
    /// Root runs the program, and there is neither a user `postgres` nor `nobody` to run the server.
    #[error(
        "PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody: create one of them"
    )]
    NoAccount,
    /// The user has no name, as in a container with a number of its own, and `initdb` asks for one.
    #[error(
        "PostgreSQL makes no cluster for a user without a name, and uid {uid} has none in /etc/passwd: run as a user that has one, add the line `ticker:x:{uid}:{gid}::/:/bin/false` to /etc/passwd, or use a PostgreSQL elsewhere with --database-url"
    )]
    NoName {
        /// The user.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// initdb, or the server itself, ended with an error.
    #[error("{what} ended with {status}: {output}")]
    Failed {
        /// Which program.
        what: &'static str,
        /// Exit status or signal.
        status: String,
        /// The end of what it printed.
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
        /// The other process, if it has written its number down.
        pid: Option<u32>,
    },
    /// Something did not come in time. More time may help: a big recovery after a crash takes minutes.
    #[error("waited {waited_s} s in vain for {what}")]
    DeadlineExceeded {
        /// What was waited for.
        what: String,
        /// How long the whole start had, in seconds.
        waited_s: u64,
    },
    /// The operating system refused something.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was tried.
        doing: String,
        /// The system's answer.
        source: io::Error,
    },
}

/// The process that uses a data directory, in words.
fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("the process {pid}"))
}

impl PrivatePostgresError {
    /// True when the same call may succeed later with nothing changed by anyone.
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

    /// For `map_err`: an I/O error with what was being done.
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
