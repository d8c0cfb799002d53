//! Debian's Patroni with etcd: two PostgreSQL servers, of which one is promoted when the other fails.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::unistd::{Uid, User, chown};
use stellar_ticker::process::bound_to_this_thread;
use tempfile::TempDir;

use super::{daemon::request, nginx::free_address, postgres::open_tempdir, wait_until};

/// Number of nodes.
pub(crate) struct Patroni {
    directory: TempDir,
    etcd: Child,
    nodes: [Node; 2],
}

struct Node {
    child: Option<Child>,
    /// Its REST address, PostgreSQL's port and directory.
    rest: std::net::SocketAddr,
    postgres: std::net::SocketAddr,
    data: PathBuf,
    conf: PathBuf,
}

impl Patroni {
    /// Starts the pair. If a program is missing, prints that and returns `None`.
    pub(crate) fn start() -> Option<Self> {
        let (Some(etcd), Some(_), Some(bin)) = (found("etcd"), found("patroni"), server_programs()) else {
            super::not_tested("on Debian apt-get install patroni etcd-server python3-etcd python3-psycopg2");
            return None;
        };
        let directory = open_tempdir();
        let user = account();
        chown(directory.path(), Some(user.uid), Some(user.gid)).unwrap();
        let (client, peer) = (free_address(), free_address());
        let mut command = as_account(&etcd);
        command.arg("--data-dir").arg(directory.path().join("etcd"));
        for (flag, address) in [("client", client), ("peer", peer)] {
            command.arg(format!("--listen-{flag}-urls=http://{address}"));
        }
        command.arg(format!("--advertise-client-urls=http://{client}"));
        command.arg(format!("--initial-advertise-peer-urls=http://{peer}"));
        command.arg(format!("--initial-cluster=default=http://{peer}"));
        let etcd = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_until("etcd answers", || {
            request(client, "GET", "/health", "").is_ok_and(|answer| answer.status == 200)
        });
        let nodes = ["one", "two"].map(|name| Node::new(directory.path(), name, client, &bin));
        let mut patroni = Self { directory, etcd, nodes };
        patroni.start_node(0);
        wait_until("a primary", || patroni.primary() == Some(0));
        patroni.start_node(1);
        wait_until("a standby", || patroni.nodes[1].is("/replica"));
        Some(patroni)
    }

    pub(crate) fn start_node(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        let log = fs::File::create(self.directory.path().join(format!("{place}.log"))).unwrap();
        let mut command = as_account(&found("patroni").unwrap());
        command.arg(&node.conf).stdout(Stdio::null()).stderr(log);
        node.child = Some(command.spawn().unwrap());
    }

    /// The server that accepts writes.
    pub(crate) fn primary(&self) -> Option<usize> {
        self.nodes.iter().position(|node| node.is("/primary"))
    }

    pub(crate) fn is_standby(&self, place: usize) -> bool {
        self.nodes[place].is("/replica")
    }

    /// Kills Patroni and its PostgreSQL together, as if the machine were gone.
    pub(crate) fn kill_node(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        let pid = fs::read_to_string(node.data.join("postmaster.pid")).unwrap();
        let pid: i32 = pid.lines().next().unwrap().parse().unwrap();
        if let Some(mut child) = node.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }

    /// Both addresses. A client takes the one that accepts writes.
    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        let [one, two] = [0, 1].map(|place: usize| self.nodes[place].postgres);
        format!(
            "host={},{} port={},{} user={user} dbname={database} target_session_attrs=read-write sslmode=disable",
            one.ip(),
            two.ip(),
            one.port(),
            two.port()
        )
    }
}

impl Drop for Patroni {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut child) = node.child.take() {
                // It stops its PostgreSQL.
                let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
                let _ = child.wait();
            }
        }
        let _ = self.etcd.kill();
        let _ = self.etcd.wait();
    }
}

impl Node {
    fn new(directory: &Path, name: &str, etcd: std::net::SocketAddr, bin: &Path) -> Self {
        let (rest, postgres) = (free_address(), free_address());
        let (data, conf) = (directory.join(name), directory.join(format!("{name}.yml")));
        let text = format!(
            "scope: ticker
name: {name}
restapi: {{listen: '{rest}', connect_address: '{rest}'}}
etcd3: {{hosts: '{etcd}'}}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 2
    retry_timeout: 5
    postgresql: {{use_pg_rewind: true, parameters: {{wal_log_hints: 'on', max_connections: 100}}}}
  initdb: [{{encoding: UTF8}}, {{locale: C}}, {{auth: trust}}]
postgresql:
  listen: '{postgres}'
  connect_address: '{postgres}'
  data_dir: {data}
  bin_dir: {bin}
  pgpass: {data}.pgpass
  authentication:
    superuser: {{username: postgres, password: of-no-secret}}
    replication: {{username: replicator, password: of-no-secret}}
  pg_hba: ['local all all trust', 'host all all 127.0.0.0/8 trust', 'host replication all 127.0.0.0/8 trust']
  parameters: {{unix_socket_directories: ''}}
",
            data = data.display(),
            bin = bin.display()
        );
        fs::write(&conf, text).unwrap();
        Self { child: None, rest, postgres, data, conf }
    }

    fn is(&self, role: &str) -> bool {
        request(self.rest, "GET", role, "").is_ok_and(|answer| answer.status == 200)
    }
}

/// Neither PostgreSQL nor Patroni runs as root.
fn account() -> User {
    let uid = Uid::effective();
    let user = if uid.is_root() { User::from_name("postgres") } else { User::from_uid(uid) };
    user.unwrap().expect("a user for PostgreSQL")
}

fn as_account(program: &Path) -> Command {
    let mut command = bound_to_this_thread(program, "TERM");
    if Uid::effective().is_root() {
        let user = account();
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command.env("LC_ALL", "C.UTF-8");
    command
}

fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|program| program.is_file())
}

/// Those of Debian: pg_rewind and pg_basebackup lie beside the server.
fn server_programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    versions.map(|version| version.path().join("bin")).find(|bin| bin.join("pg_rewind").is_file())
}
