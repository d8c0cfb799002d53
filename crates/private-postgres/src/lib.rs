//! The private PostgreSQL: a server under the data directory, for operators without a `DATABASE_URL`.
//!
//! ```text
//! <data>/pg          the cluster, or a symlink to it (see `place`)
//! <data>/pg.lock     locked by the process that runs the server, until it ends
//! <data>/pg.log      output of the server and of initdb
//! <data>/pg-socket/  the Unix socket, mode 0700; the server listens on no TCP port
//! ```
//!
//! The lock distinguishes three situations that `postmaster.pid` alone cannot: no server runs, a living process runs
//! one (join it), or a server outlived its process (stop it, then start a new one).

mod account;
mod binaries;
mod child_process;
mod cluster;
mod command;
mod error;
mod keeper;
mod place;
mod postmaster;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use nix::fcntl::Flock;

use account::Account;
use binaries::Binaries;
pub use child_process::bound_to_this_thread;
use command::{Deadline, ServerLog};
pub use error::PrivatePostgresError;
pub use keeper::KeptPostgres;
use place::ClusterPaths;
use postmaster::{Launch, StopLimits};

/// Name of the daemon's role and of its database.
const NAME: &str = "ticker";
/// Superuser of the cluster, reachable only through the same socket of mode 0700.
const SUPERUSER: &str = "postgres";

/// Options of the server. The defaults suit `serve`, except for `if_running`, which it sets to
/// [`IfRunning::WaitUntilGone`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory of `postgres` and `initdb` (`TICKER_PG_BIN_DIR`). None: search for them.
    pub bin_dir: Option<PathBuf>,
    /// False only in tests: without fsync a power loss may destroy the cluster.
    pub fsync: bool,
    /// Largest number of connections that the server accepts.
    pub max_connections: u16,
    /// Behaviour if another living process runs the server of this data directory.
    pub if_running: IfRunning,
}

impl Default for Options {
    fn default() -> Self {
        Self { bin_dir: None, fsync: true, max_connections: MAX_CONNECTIONS, if_running: IfRunning::Join }
    }
}

/// A daemon has 20 connections: 16 in its pool, 2 for stored candles and 2 for stored order books. The rest is for
/// other commands and for psql.
const MAX_CONNECTIONS: u16 = 50;

/// Behaviour if another living process runs the server of this data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfRunning {
    /// Use that server. It stops with its process, so this suits short commands.
    Join,
    /// Wait until that process ends. This suits the daemon, which must not lose its database when a short command that
    /// came first ends.
    WaitUntilGone,
    /// Use that server, and start none if there is none. This suits commands that inspect a running daemon.
    JoinOnly,
}

/// A running private server, ours or joined. Dropping it stops the server if it is ours.
#[derive(Debug)]
pub struct PrivatePostgres {
    socket_dir: PathBuf,
    port: u16,
    psql: PathBuf,
    note: Option<String>,
    /// None if the server was joined, so that it is not stopped here.
    owned: Option<Owned>,
}

/// Server process and lock, in the process that runs the server.
#[derive(Debug)]
struct Owned {
    child: Child,
    /// Released after the server has ended, so that the next process finds a directory that is not in use.
    _lock: Flock<File>,
}

/// Checks that a server is installed that could serve `data_dir`. Starts no server, but asks each for its version.
/// `bin_dir` is as in [`Options`].
///
/// # Errors
///
/// No server is installed, or none of the cluster's major version.
pub fn check_installed(data_dir: &Path, bin_dir: Option<&Path>) -> Result<(), PrivatePostgresError> {
    let major = cluster::major_version(&data_dir.join("pg"))?;
    Binaries::find(bin_dir, data_dir, major.as_deref()).map(drop)
}

impl PrivatePostgres {
    /// Starts the server of `data_dir`, or joins the one that another living process runs. Creates the directory, and a
    /// cluster with role and database `ticker`, if they are missing. Blocks for one to five seconds, and for at most
    /// about `deadline`.
    ///
    /// Call it from a thread that lives as long as the server should, such as the main thread or that of a
    /// [`KeptPostgres`], and never from one of tokio's blocking threads. On Linux the kernel stops the server when the
    /// THREAD that spawned it ends. That is how the server ends with a daemon that was killed by `kill -9`.
    ///
    /// # Errors
    ///
    /// See [`PrivatePostgresError`]. Each text says what to do.
    pub fn start(
        data_dir: &Path,
        options: Options,
        deadline: Duration,
    ) -> Result<Self, PrivatePostgresError> {
        let deadline = Deadline::after(deadline);
        let join_only = options.if_running == IfRunning::JoinOnly;
        let not_running = || PrivatePostgresError::NotRunning { data_dir: data_dir.to_owned() };
        if join_only && !place::holds_cluster(data_dir) {
            return Err(not_running());
        }
        let data_dir = place::make_data_dir(data_dir)?;
        let account = Account::for_server(&data_dir)?;
        let paths = ClusterPaths::choose(&data_dir, &account)?;
        let major = cluster::major_version(&paths.cluster)?;
        let binaries = Binaries::find(options.bin_dir.as_deref(), &data_dir, major.as_deref())?;
        let lock = match wait_for_lock_or_server(&paths, options.if_running, &deadline)? {
            Access::Lock(_) if join_only => return Err(not_running()),
            Access::Lock(lock) => lock,
            Access::Server(running) => {
                return Ok(Self::running(running.socket_dir, running.port, &binaries, paths.note, None));
            }
        };
        postmaster::stop_survivor(&paths.cluster, &deadline)?;
        let log = ServerLog::open(&paths.log)?;
        // Checked again: another process may have created the cluster while this one waited for the lock.
        if cluster::major_version(&paths.cluster)?.is_none() {
            cluster::create(&paths, &binaries, &account, options.fsync, &log, &deadline)?;
        }
        let socket_dir = paths.make_socket_dir(&account)?;
        let launch = Launch {
            cluster: &paths.cluster,
            socket_dir: &socket_dir,
            binaries: &binaries,
            account: &account,
            fsync: options.fsync,
            max_connections: options.max_connections,
            log: &log,
        };
        let owned = Owned { child: postmaster::start(launch, &deadline)?, _lock: lock };
        Ok(Self::running(socket_dir, postmaster::PORT, &binaries, paths.note, Some(owned)))
    }

    fn running(
        socket_dir: PathBuf,
        port: u16,
        binaries: &Binaries,
        note: Option<String>,
        owned: Option<Owned>,
    ) -> Self {
        Self { socket_dir, port, psql: binaries.psql(), note, owned }
    }

    /// Returns the daemon's connection string, in the keyword form: role and database `ticker`, through the Unix
    /// socket.
    pub fn connection_string(&self) -> String {
        self.connection_string_for(NAME, NAME)
    }

    /// Returns the connection string of the superuser and the database `postgres`, for creating databases.
    pub fn superuser_connection_string(&self) -> String {
        self.connection_string_for(SUPERUSER, "postgres")
    }

    fn connection_string_for(&self, user: &str, database: &str) -> String {
        let host = self.socket_dir.to_string_lossy().replace('\\', r"\\").replace('\'', r"\'");
        format!("host='{host}' port={} user={user} dbname={database}", self.port)
    }

    /// Returns the shell command that opens the database in psql, for the log at start.
    pub fn psql_command(&self) -> String {
        let psql = command::shell_quoted(&self.psql);
        let host = command::shell_quoted(&self.socket_dir);
        format!("{psql} -h {host} -p {} -U {NAME} {NAME}", self.port)
    }

    /// Returns a sentence for the log if the cluster is not in the data directory itself.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Returns true if another process runs the server. `stop` does not stop it then.
    pub fn is_joined(&self) -> bool {
        self.owned.is_none()
    }

    /// Returns the process id of the server, if it is ours.
    pub fn server_pid(&self) -> Option<u32> {
        self.owned.as_ref().map(|owned| owned.child.id())
    }

    /// Returns false once a server of ours has ended for any reason. To start another one, drop this and call
    /// [`start`](Self::start). For a joined server it always returns true, because its own process supervises it.
    pub fn is_running(&mut self) -> bool {
        self.owned.as_mut().is_none_or(|owned| !postmaster::has_ended(&mut owned.child))
    }

    /// Stops the server if it is ours, and waits for its end: SIGINT (closes sessions and writes everything), after 20
    /// s SIGQUIT (the next start replays the log), after another 10 s SIGKILL. Blocks for up to 35 s.
    pub fn stop(self) {
        drop(self);
    }

    /// Stops the server like [`stop`](Self::stop), but blocks for `limit` at most. If it is too short for the first
    /// signal, the next start replays the log.
    pub fn stop_within(mut self, limit: Duration) {
        self.stop_owned(StopLimits::within(limit));
    }

    fn stop_owned(&mut self, limits: StopLimits) {
        if let Some(mut owned) = self.owned.take() {
            postmaster::stop_child(&mut owned.child, limits);
            // Empty after a clean stop. Under /tmp nothing else would remove it.
            let _removed = std::fs::remove_dir(&self.socket_dir);
        }
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        self.stop_owned(StopLimits::PATIENT);
    }
}

/// Way of access to a data directory.
enum Access {
    /// This process has the lock and may start the server.
    Lock(Flock<File>),
    /// Another process runs the server.
    Server(postmaster::Running),
}

fn wait_for_lock_or_server(
    paths: &ClusterPaths,
    if_running: IfRunning,
    deadline: &Deadline,
) -> Result<Access, PrivatePostgresError> {
    let mut is_logged = false;
    loop {
        if let Some(lock) = paths.try_lock()? {
            return Ok(Access::Lock(lock));
        }
        if if_running != IfRunning::WaitUntilGone
            && let Some(running) = postmaster::ready_server(&paths.cluster)
        {
            tracing::info!(pid = running.pid, "joining the private PostgreSQL of another process");
            return Ok(Access::Server(running));
        }
        let in_use = || PrivatePostgresError::InUse {
            data_dir: paths.data_dir().to_owned(),
            pid: paths.lock_holder(),
        };
        // A joining command only waits until the other server is ready, so it logs nothing.
        if if_running == IfRunning::WaitUntilGone && !std::mem::replace(&mut is_logged, true) {
            tracing::warn!(patience_s = deadline.left().as_secs(), "{}; waiting for it to end", in_use());
        }
        deadline.pause_or_else(in_use)?;
    }
}
