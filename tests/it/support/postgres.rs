//! One private PostgreSQL for the whole test binary, and a new database in it for each test that wants one.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use private_postgres::{Options, PrivatePostgres};
use tokio_postgres::{NoTls, config::Host};

use super::DEADLINE;

const DIR_PREFIX: &str = "stellar-ticker-tests-";

static SHARED_SUPERUSER: OnceLock<String> = OnceLock::new();
static DATABASES_MADE: AtomicU32 = AtomicU32::new(0);

/// Fast and unsafe: what a test stores need not outlive a power loss.
pub(crate) fn test_options() -> Options {
    let bin_dir = std::env::var_os("TICKER_PG_BIN_DIR").map(PathBuf::from);
    Options { bin_dir, fsync: false, ..Options::default() }
}

/// Connection string (role `ticker`, who owns it) of a new empty database that no other test uses.
pub(crate) async fn fresh_database() -> String {
    let superuser = superuser();
    let name = format!("test_{}", DATABASES_MADE.fetch_add(1, Ordering::Relaxed));
    execute(superuser, &format!("CREATE DATABASE {name} OWNER ticker")).await;
    superuser.replace("user=postgres dbname=postgres", &format!("user=ticker dbname={name}"))
}

/// Connection string of the server's superuser.
pub(crate) fn superuser() -> &'static str {
    SHARED_SUPERUSER.get_or_init(start_shared)
}

/// Runs SQL on a connection of its own.
pub(crate) async fn execute(connection_string: &str, sql: &str) {
    let (client, driver) = tokio_postgres::connect(connection_string, NoTls).await.unwrap();
    let driver = tokio::spawn(driver);
    client.batch_execute(sql).await.unwrap();
    drop(client);
    driver.await.unwrap().unwrap();
}

/// Starts the server from a thread that never ends, since the kernel stops the server with the thread that
/// spawned it; when the test binary ends, so does the thread.
///
/// The directory is named after this process. Nothing runs at the end of a test binary that could remove it, so
/// each run removes those of processes that are gone. A whole run leaves gigabytes in a hundred thousand files, and
/// every test waits for this server: so they are removed beside the tests.
fn start_shared() -> String {
    std::thread::Builder::new().name("old-clusters".to_owned()).spawn(remove_dirs_of_dead_processes).unwrap();
    let dir = dir_of(std::process::id());
    let (sender, started) = mpsc::channel();
    std::thread::Builder::new()
        .name("shared-postgres".to_owned())
        .spawn(move || {
            // Every daemon under test has a pool of 16, and there may be two dozen of them at a time.
            let options = Options { max_connections: 500, ..test_options() };
            let server = PrivatePostgres::start(&dir, options, DEADLINE).unwrap();
            sender.send(server.superuser_connection_string()).unwrap();
            loop {
                std::thread::park();
            }
        })
        .unwrap();
    started.recv().expect("the shared PostgreSQL did not start, see above")
}

fn dir_of(pid: u32) -> PathBuf {
    std::env::temp_dir().join(format!("{DIR_PREFIX}{pid}"))
}

fn remove_dirs_of_dead_processes() {
    for entry in fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name();
        let pid =
            name.to_str().and_then(|name| name.strip_prefix(DIR_PREFIX)).and_then(|pid| pid.parse().ok());
        if pid.is_some_and(|pid| !is_alive(pid)) {
            // Another test binary may be removing it as well.
            let _removed = fs::remove_dir_all(entry.path());
        }
    }
}

/// Returns true if a process with this number exists.
pub(crate) fn is_alive(pid: i32) -> bool {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) != Err(nix::errno::Errno::ESRCH)
}

/// A directory that the server's unprivileged user can enter as well.
pub(crate) fn open_tempdir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path());
    dir
}

fn open(dir: &Path) {
    fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
}

/// Socket directory and port of the test's server, and the rest of its connection string.
pub(crate) fn socket_of(url: &str) -> (PathBuf, u16, String) {
    let config: tokio_postgres::Config = url.parse().unwrap();
    let [Host::Unix(directory)] = config.get_hosts() else { panic!("{url}") };
    let rest = format!("user={} dbname={}", config.get_user().unwrap(), config.get_dbname().unwrap());
    (directory.clone(), config.get_ports()[0], rest)
}

/// An address of TCP that leads to the test's server.
pub(crate) async fn over_tcp(directory: PathBuf, port: u16) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let socket = directory.join(format!(".s.PGSQL.{port}"));
            tokio::spawn(async move {
                let mut server = tokio::net::UnixStream::connect(socket).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
            });
        }
    });
    address
}
