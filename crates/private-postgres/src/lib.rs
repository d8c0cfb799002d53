//! The private PostgreSQL: a server of our own under the data directory, for whoever has none to offer.
//!
//! ```text
//! <data>/pg          the cluster, or a symlink to it (see `place`)
//! <data>/pg.lock     held by the process that runs the server, for as long as it lives
//! <data>/pg.log      what the server and initdb print
//! <data>/pg-socket/  the Unix socket, mode 0700; the server listens on no TCP port
//! ```
//!
//! The lock tells the three situations apart that a `postmaster.pid` alone cannot: nobody runs a server, a living
//! process runs one (join it), or a server outlived the process that ran it (stop it, then start afresh).

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
use place::Place;
use postmaster::Launch;

/// Role and database of the daemon.
const NAME: &str = "ticker";
/// The cluster's superuser, reachable only through the same 0700 socket.
const SUPERUSER: &str = "postgres";

/// What the caller may choose. The default is right for `serve`, but for `if_running`.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory of `postgres` and `initdb` (`TICKER_PG_BIN_DIR`). None: they are searched for.
    pub bin_dir: Option<PathBuf>,
    /// False only for tests: a power loss may then cost the whole cluster.
    pub fsync: bool,
    /// Connections that the server takes.
    pub max_connections: u16,
    /// What to do when another living process runs the server of this data directory.
    pub if_running: IfRunning,
}

impl Default for Options {
    fn default() -> Self {
        Self { bin_dir: None, fsync: true, max_connections: MAX_CONNECTIONS, if_running: IfRunning::Join }
    }
}

/// A daemon's pool has 16; the rest is for commands beside it and for people.
const MAX_CONNECTIONS: u16 = 50;

/// What to do when another living process runs the server of this data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfRunning {
    /// Use it. It goes away when that process does: right for a command that is soon done.
    Join,
    /// Wait until that process is gone: right for the daemon, which must not lose its database when a short
    /// command that came first ends.
    WaitUntilGone,
    /// Use it, and start none where there is none: right for a command that looks at what a daemon does.
    JoinOnly,
}

/// A running private server, ours or joined. Dropping it stops the server if it is ours.
#[derive(Debug)]
pub struct PrivatePostgres {
    socket_dir: PathBuf,
    port: u16,
    psql: PathBuf,
    note: Option<String>,
    /// None when the server was joined: it is not ours to stop.
    owned: Option<Owned>,
}

/// What the process holds that runs the server.
#[derive(Debug)]
struct Owned {
    child: Child,
    /// Released after the server has gone, so that the next process in line finds a quiet directory.
    _lock: Flock<File>,
}

impl PrivatePostgres {
    /// Starts the server of `data_dir` (which is made, and a cluster with role and database `ticker` in it, when
    /// missing), or joins the one that another living process runs. Blocks for one to five seconds, and at most
    /// for about `deadline`.
    ///
    /// Call it from a thread that lives as long as the server shall, such as the main thread or that of a
    /// [`KeptPostgres`], and never one of tokio's blocking threads: on Linux the kernel stops the server when the THREAD that spawned it ends, and that is
    /// what makes the server die with a daemon that was killed by `kill -9`.
    ///
    /// # Errors
    /// See [`PrivatePostgresError`]; each text says what to do.
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
        let place = Place::choose(&data_dir, &account)?;
        let major = cluster::major_version(&place.cluster)?;
        let binaries = Binaries::find(options.bin_dir.as_deref(), &data_dir, major.as_deref())?;
        let lock = match wait_for_lock_or_server(&place, options.if_running, &deadline)? {
            Access::Lock(_) if join_only => return Err(not_running()),
            Access::Lock(lock) => lock,
            Access::Server(running) => {
                return Ok(Self::running(running.socket_dir, running.port, &binaries, place.note, None));
            }
        };
        postmaster::stop_survivor(&place.cluster, &deadline)?;
        let log = ServerLog::open(&place.log)?;
        // Asked again: another process may have made the cluster while this one waited for the lock.
        if cluster::major_version(&place.cluster)?.is_none() {
            cluster::create(&place, &binaries, &account, options.fsync, &log, &deadline)?;
        }
        let socket_dir = place.make_socket_dir(&account)?;
        let launch = Launch {
            cluster: &place.cluster,
            socket_dir: &socket_dir,
            binaries: &binaries,
            account: &account,
            fsync: options.fsync,
            max_connections: options.max_connections,
            log: &log,
        };
        let owned = Owned { child: postmaster::start(launch, &deadline)?, _lock: lock };
        Ok(Self::running(socket_dir, postmaster::PORT, &binaries, place.note, Some(owned)))
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

    /// How the daemon connects, in the keyword form: role and database `ticker` through the Unix socket.
    pub fn connection_string(&self) -> String {
        self.connection_string_for(NAME, NAME)
    }

    /// The same for the cluster's superuser and its maintenance database, where databases can be created.
    pub fn superuser_connection_string(&self) -> String {
        self.connection_string_for(SUPERUSER, "postgres")
    }

    fn connection_string_for(&self, user: &str, database: &str) -> String {
        let host = self.socket_dir.to_string_lossy().replace('\\', r"\\").replace('\'', r"\'");
        format!("host='{host}' port={} user={user} dbname={database}", self.port)
    }

    /// The shell command that opens the database, for the log line at start.
    pub fn psql_command(&self) -> String {
        let psql = command::shell_quoted(&self.psql);
        let host = command::shell_quoted(&self.socket_dir);
        format!("{psql} -h {host} -p {} -U {NAME} {NAME}", self.port)
    }

    /// What the operator should know about where the data lie, if anything: a sentence for the log.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// True when another process runs the server: `stop` then leaves it alone.
    pub fn is_joined(&self) -> bool {
        self.owned.is_none()
    }

    /// Process id of the server, when it is ours.
    pub fn server_pid(&self) -> Option<u32> {
        self.owned.as_ref().map(|owned| owned.child.id())
    }

    /// False once a server of ours has ended by itself or by another hand. To have one again, drop this and call
    /// [`start`](Self::start). For a joined server always true: its own process looks after it.
    pub fn is_running(&mut self) -> bool {
        self.owned.as_mut().is_none_or(|owned| !postmaster::has_ended(&mut owned.child))
    }

    /// Stops the server if it is ours, and waits for it: SIGINT (sessions are cut, all is written), after
    /// 20 s SIGQUIT (the next start replays the log), after another 10 s SIGKILL. Blocks as long.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        if let Some(mut owned) = self.owned.take() {
            postmaster::stop_child(&mut owned.child);
            // Empty after a clean stop, and under /tmp nobody else would clear it away.
            let _removed = std::fs::remove_dir(&self.socket_dir);
        }
    }
}

/// What there is to be had in a data directory.
enum Access {
    Lock(Flock<File>),
    Server(postmaster::Running),
}

fn wait_for_lock_or_server(
    place: &Place,
    if_running: IfRunning,
    deadline: &Deadline,
) -> Result<Access, PrivatePostgresError> {
    let mut told = false;
    loop {
        if let Some(lock) = place.try_lock()? {
            return Ok(Access::Lock(lock));
        }
        if if_running != IfRunning::WaitUntilGone
            && let Some(running) = postmaster::ready_server(&place.cluster)
        {
            tracing::info!(pid = running.pid, "joining the private PostgreSQL of another process");
            return Ok(Access::Server(running));
        }
        let in_use = || PrivatePostgresError::InUse {
            data_dir: place.data_dir().to_owned(),
            pid: place.lock_holder(),
        };
        // A joining command waits for the server of the other process to be ready, which is nothing to report.
        if if_running == IfRunning::WaitUntilGone && !std::mem::replace(&mut told, true) {
            tracing::warn!(patience_s = deadline.left().as_secs(), "{}; waiting for it to end", in_use());
        }
        deadline.pause_or_else(in_use)?;
    }
}
