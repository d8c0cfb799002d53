//! Debian's PgBouncer in transaction mode, in front of the tests' PostgreSQL.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use stellar_ticker::process::bound_to_this_thread;
use tempfile::TempDir;

use super::{nginx::free_address, postgres::open_tempdir, wait_until};

/// The program, or what to do.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into(), "/opt/homebrew/bin".into()])
        .map(|directory: PathBuf| directory.join("pgbouncer"))
        .find(|program| program.is_file())
        .expect("pgbouncer is missing: on Debian apt-get install pgbouncer, or let ./ticker test do it")
}

/// A pooler that can be stopped and started at the same address.
pub(crate) struct PgBouncer {
    child: Option<Child>,
    directory: TempDir,
    /// Owner of its socket, who must run it.
    account: (u32, u32),
    address: SocketAddr,
    database: String,
}

impl PgBouncer {
    /// Starts it in front of a database of the tests' server, and waits until it listens.
    pub(crate) fn start(direct: &str) -> Self {
        Self::with_connections(direct, 10)
    }

    /// Starts it with this number of connections to the server.
    pub(crate) fn with_connections(direct: &str, connections: u32) -> Self {
        let value = |key: &str| {
            let (_, rest) = direct.split_once(&format!("{key}=")).unwrap();
            rest.split(' ').next().unwrap().trim_matches('\'').to_owned()
        };
        let (host, database) = (value("host"), value("dbname"));
        let owner = fs::metadata(&host).unwrap();
        let address = free_address();
        let directory = open_tempdir();
        let ini = format!(
            "[databases]\n{database} = host={host} port={} dbname={database} user={}\n\
             [pgbouncer]\nlisten_addr = {}\nlisten_port = {}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = {connections}\nmax_client_conn = 200\nserver_login_retry = 1\n",
            value("port"),
            value("user"),
            address.ip(),
            address.port()
        );
        fs::write(directory.path().join("pgbouncer.ini"), ini).unwrap();
        let account = (owner.uid(), owner.gid());
        let mut pooler = Self { child: None, directory, account, address, database };
        pooler.start_again();
        pooler
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://ticker@{}/{}?sslmode=disable", self.address, self.database)
    }

    pub(crate) fn start_again(&mut self) {
        let mut command = bound_to_this_thread(&program(), "TERM");
        if nix::unistd::Uid::effective().is_root() {
            // It refuses to run as root, and only the server's own user may open the socket.
            command.uid(self.account.0).gid(self.account.1);
        }
        command.arg("-q").arg(self.ini()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        wait_until("pgbouncer listens", || {
            assert!(child.try_wait().unwrap().is_none(), "pgbouncer ended");
            TcpStream::connect(self.address).is_ok()
        });
        self.child = Some(child);
    }

    /// Kills it, which cuts all connections through it.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn ini(&self) -> PathBuf {
        Path::new(self.directory.path()).join("pgbouncer.ini")
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.kill();
    }
}
