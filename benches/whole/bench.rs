//! Shared tools of the subjects: a runtime, a private PostgreSQL with databases, and the CPU time and memory of
//! processes.

use std::{
    cell::Cell,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use actix_rt::{System, SystemRunner};
use private_postgres::{Options, PrivatePostgres};
use stellar_ticker::db::{Database, DatabaseSettings};
use tokio::runtime::Handle;
use tokio_postgres::{Client, NoTls};

/// Deadline of starting a cluster, which takes seconds.
const DEADLINE: Duration = Duration::from_secs(60);
/// Connections of a pool, as in the daemon.
const CONNECTIONS_MAX: usize = 16;
/// Unit of CPU time in the kernel, the same on all supported machines.
const TICKS_A_SECOND: f64 = 100.0;

/// A run of benches.
pub(crate) struct Bench {
    /// True for ten million trades, false for one million.
    pub(crate) is_full: bool,
    system: SystemRunner,
    server: PrivatePostgres,
    databases: Cell<u32>,
    _directory: tempfile::TempDir,
}

/// A migrated database for one subject.
pub(crate) struct Store {
    /// Pool, as in the daemon.
    pub(crate) database: Database,
    /// Connection outside of the pool.
    pub(crate) client: Client,
    /// Connection string.
    pub(crate) url: String,
}

impl Bench {
    /// Starts the server as the daemon would, with fsync and all other defaults of PostgreSQL.
    pub(crate) fn start(is_full: bool) -> Self {
        let directory = tempfile::Builder::new().prefix("stellar-ticker-bench-").tempdir().unwrap();
        // The user that runs the server must be able to enter.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let bin_dir = std::env::var_os("TICKER_PG_BIN_DIR").map(PathBuf::from);
        let options = Options { bin_dir, ..Options::default() };
        let server =
            PrivatePostgres::start(directory.path(), options, DEADLINE).expect("a PostgreSQL server");
        let system = System::with_tokio_rt(|| {
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
        });
        Self { is_full, system, server, databases: Cell::default(), _directory: directory }
    }

    /// Returns the size for a quick run or for a full run.
    pub(crate) const fn sized<T: Copy>(&self, quick: T, full: T) -> T {
        if self.is_full { full } else { quick }
    }

    /// Runs a future on this thread.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.system.block_on(work)
    }

    /// Creates a database with the schema.
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

    /// Returns the CPU time of all processes of the server so far, in seconds.
    pub(crate) fn postgres_cpu_s(&self) -> f64 {
        let postmaster = self.server.server_pid().expect("the server's process");
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let served = numbers.filter_map(Times::of).filter(|times| times.parent == postmaster);
        let ended = Times::of(postmaster).expect("the server's process");
        ended.own_s + ended.children_s + served.map(|times| times.own_s).sum::<f64>()
    }

    /// Returns the version of the server, for the head of the table.
    pub(crate) fn postgres_version(&self) -> String {
        self.block_on(async {
            let client = connect(&self.server.superuser_connection_string()).await;
            client.query_one("SHOW server_version", &[]).await.unwrap().get(0)
        })
    }
}

impl Store {
    /// Drops the trades, so that the next subject has the disk and the cache for itself.
    pub(crate) async fn close(self) {
        self.database.close();
        self.client.batch_execute("DROP TABLE trades CASCADE").await.unwrap();
    }
}

/// Opens a connection outside of a pool.
pub(crate) async fn connect(url: &str) -> Client {
    let (client, driver) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(driver);
    client
}

/// Returns the time that a future took, in seconds, and its result.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (f64, T) {
    let begun = Instant::now();
    let made = work.await;
    (begun.elapsed().as_secs_f64(), made)
}

/// Figures of one kind, sorted.
pub(crate) struct Sorted(Vec<f64>);

impl Sorted {
    pub(crate) fn new(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        Self(figures)
    }

    /// Returns the figure at this permille: 500 is the median.
    pub(crate) fn at(&self, permille: usize) -> f64 {
        *self.0.get((self.0.len() * permille / 1_000).min(self.0.len() - 1)).unwrap()
    }
}

/// Returns the resident memory of a process in bytes: the current one and the peak.
pub(crate) fn resident(pid: u32) -> (f64, f64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim_matches(|character: char| !character.is_ascii_digit()).parse::<f64>().unwrap_or(f64::NAN)
    };
    (kilobytes("VmRSS:") * 1024.0, kilobytes("VmHWM:") * 1024.0)
}

/// Sleeps.
#[expect(clippy::disallowed_methods, reason = "runs on threads of the bench with nothing else to do")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// CPU time of a process.
pub(crate) struct Times {
    parent: u32,
    /// CPU time of the process itself, in seconds.
    pub(crate) own_s: f64,
    /// CPU time of its children that have ended, in seconds.
    children_s: f64,
}

impl Times {
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may contain anything. After it come the state, the parent, and at index 11 the times.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let seconds = |place: usize| Some(fields.get(place)?.parse::<f64>().ok()? / TICKS_A_SECOND);
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own_s: seconds(11)? + seconds(12)?,
            children_s: seconds(13)? + seconds(14)?,
        })
    }
}
