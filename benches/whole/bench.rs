//! What the subjects share: a runtime, a private PostgreSQL, databases in it, and how much a process has used.

use std::{
    cell::Cell,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use actix_rt::{System, SystemRunner};
use stellar_ticker::db::{
    Database, DatabaseSettings,
    private_postgres::{Options, PrivatePostgres},
};
use tokio::runtime::Handle;
use tokio_postgres::{Client, NoTls};

/// Starting a cluster takes seconds.
const DEADLINE: Duration = Duration::from_secs(60);
/// Connections of a pool, as the daemon has them.
const CONNECTIONS_MAX: usize = 16;

/// A run of benches.
pub(crate) struct Bench {
    /// Ten million trades, or one.
    pub(crate) is_full: bool,
    system: SystemRunner,
    server: PrivatePostgres,
    databases: Cell<u32>,
    _directory: tempfile::TempDir,
}

/// A migrated database of its own.
pub(crate) struct Store {
    /// The pool, as the daemon has it.
    pub(crate) database: Database,
    /// A connection beside the pool.
    pub(crate) client: Client,
    /// How to connect.
    pub(crate) url: String,
}

impl Bench {
    /// Starts the server, as the daemon would: with fsync and everything else as PostgreSQL has it.
    pub(crate) fn start(is_full: bool) -> Self {
        let directory = tempfile::Builder::new().prefix("stellar-ticker-bench-").tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap(); // the server's user must get in
        let bin_dir = std::env::var_os("TICKER_PG_BIN_DIR").map(PathBuf::from);
        let options = Options { bin_dir, ..Options::default() };
        let server =
            PrivatePostgres::start(directory.path(), options, DEADLINE).expect("a PostgreSQL server");
        let system = System::with_tokio_rt(|| {
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
        });
        Self { is_full, system, server, databases: Cell::default(), _directory: directory }
    }

    /// One of two sizes.
    pub(crate) const fn sized<T: Copy>(&self, quick: T, full: T) -> T {
        if self.is_full { full } else { quick }
    }

    /// Runs to its end, on this thread.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.system.block_on(work)
    }

    /// A new database with the schema in it.
    pub(crate) async fn store(&self) -> Store {
        let number = self.databases.replace(self.databases.get() + 1);
        let name = format!("bench_{number}");
        let superuser = self.server.superuser_connection_string();
        connect(&superuser)
            .await
            .batch_execute(&format!("CREATE DATABASE {name} OWNER ticker"))
            .await
            .unwrap();
        let url = superuser.replace("user=postgres dbname=postgres", &format!("user=ticker dbname={name}"));
        let settings = DatabaseSettings { url: url.clone(), ca_file: None, max_connections: CONNECTIONS_MAX };
        let database = Database::new(&settings, Handle::current()).unwrap();
        database.migrate().await.unwrap();
        Store { database, client: connect(&url).await, url }
    }

    /// The server's version, for the table's head.
    pub(crate) fn postgres_version(&self) -> String {
        self.block_on(async {
            let client = connect(&self.server.superuser_connection_string()).await;
            client.query_one("SHOW server_version", &[]).await.unwrap().get(0)
        })
    }
}

impl Store {
    /// Gone for good, so that the next subject has the disk and the cache for itself.
    pub(crate) async fn close(self) {
        self.database.close();
        self.client.batch_execute("DROP TABLE trades CASCADE").await.unwrap();
    }
}

/// A connection of its own.
pub(crate) async fn connect(url: &str) -> Client {
    let (client, driver) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(driver);
    client
}

/// How long it took, in seconds, and what came of it.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (f64, T) {
    let begun = Instant::now();
    let made = work.await;
    (begun.elapsed().as_secs_f64(), made)
}

/// Resident memory of a process, in bytes: now, and at most so far.
pub(crate) fn resident(pid: u32) -> (f64, f64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim_matches(|character: char| !character.is_ascii_digit()).parse::<f64>().unwrap_or(f64::NAN)
    };
    (kilobytes("VmRSS:") * 1024.0, kilobytes("VmHWM:") * 1024.0)
}
