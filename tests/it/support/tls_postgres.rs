//! A PostgreSQL on the network, with passwords and TLS: a certificate for `localhost` and no other name.

use std::{
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use private_postgres::{PrivatePostgres, bound_to_this_thread};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use super::{
    DEADLINE,
    postgres::{execute, open_tempdir, test_options},
    wait_until,
};

/// The server; its role `ticker` owns the database `ticker` and has a password.
pub(crate) struct TlsPostgres {
    child: Child,
    directory: TempDir,
    pub(crate) port: u16,
}

impl TlsPostgres {
    /// Starts it and waits until it answers. With `has_tls` it accepts only TLS connections, otherwise none.
    pub(crate) async fn start(password: &str, has_tls: bool) -> Self {
        let directory = open_tempdir();
        let (bin_dir, cluster) = make_cluster(directory.path(), password).await;
        let owner = fs::metadata(&cluster).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let kind = if has_tls { "hostssl" } else { "host" };
        give(&cluster.join("pg_hba.conf"), &format!("{kind} all all 127.0.0.0/8 scram-sha-256\n"), &owner);
        let mut settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={port}"),
            "unix_socket_directories=".to_owned(),
            "log_statement=all".to_owned(),
            "fsync=off".to_owned(),
        ];
        if has_tls {
            let (ca, certificate, key) = issue("localhost");
            give(&cluster.join("server.crt"), &certificate, &owner);
            give(&cluster.join("server.key"), &key, &owner);
            fs::write(directory.path().join("ca.pem"), ca).unwrap();
            fs::write(directory.path().join("other-ca.pem"), issue("localhost").0).unwrap();
            settings.push("ssl=on".to_owned());
        }
        let mut command = bound_to_this_thread(&bin_dir.join("postgres"), "INT");
        if nix::unistd::Uid::effective().is_root() {
            command.uid(owner.uid()).gid(owner.gid());
        }
        command.arg("-D").arg(&cluster);
        for setting in &settings {
            command.arg("-c").arg(setting);
        }
        let log = fs::File::create(directory.path().join("server.log")).unwrap();
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let server = Self { child, directory, port };
        wait_until("the server takes connections", || server.log().contains("ready to accept connections"));
        server
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// Gives new connections another certificate.
    pub(crate) fn set_certificate(&self, certificate: &str, key: &str) {
        let cluster = self.directory.path().join("pg");
        let owner = fs::metadata(&cluster).unwrap();
        give(&cluster.join("server.crt"), certificate, &owner);
        give(&cluster.join("server.key"), key, &owner);
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGHUP).unwrap();
        wait_until("the server read its certificate", || {
            self.log().contains("reloading configuration files")
        });
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("server.log")).unwrap_or_default()
    }
}

impl Drop for TlsPostgres {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGINT);
        let _ = self.child.wait();
    }
}

/// A stopped cluster with role and database: the directory of the programs, and its own.
async fn make_cluster(directory: &Path, password: &str) -> (PathBuf, PathBuf) {
    // The server ends with the thread that started it, so that thread waits.
    let server = PrivatePostgres::start(directory, test_options(), DEADLINE).unwrap();
    execute(&server.superuser_connection_string(), &format!("ALTER ROLE ticker PASSWORD '{password}'")).await;
    let psql = server.psql_command();
    let psql = psql.split(" -h ").next().unwrap().trim_matches('\'');
    let bin_dir = fs::canonicalize(psql).ok().filter(|path| path.with_file_name("postgres").exists());
    let bin_dir = bin_dir.map_or_else(pg_bin_dir, |path| path.parent().unwrap().to_owned());
    server.stop();
    (bin_dir, directory.join("pg"))
}

/// Directory of the newest server on Debian.
fn pg_bin_dir() -> PathBuf {
    let output =
        Command::new("pg_config").arg("--bindir").output().ok().filter(|output| output.status.success());
    let output =
        output.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim().to_owned()));
    output.unwrap_or_else(|| panic!("no directory with the program postgres"))
}

fn give(path: &Path, text: &str, owner: &fs::Metadata) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    if nix::unistd::Uid::effective().is_root() {
        chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
}

/// A new authority's certificate, and a certificate and key that it made for a name.
pub(crate) fn issue(name: &str) -> (String, String, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    (ca.pem(), certificate.pem(), key.serialize_pem())
}
