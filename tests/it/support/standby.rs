//! A streaming replica of a test's own PostgreSQL: a hot standby, which may be read and never written.

use std::{
    fs,
    os::unix::{fs::MetadataExt, process::CommandExt},
    process::{Child, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid, chown},
};
use stellar_ticker::process::bound_to_this_thread;
use tempfile::TempDir;

use super::{
    own_postgres::OwnPostgres,
    postgres::{execute, open_tempdir},
    wait_until,
};

/// The standby; ends with it.
pub(crate) struct Standby {
    child: Child,
    _directory: TempDir,
    pub(crate) url: String,
    superuser: String,
}

impl Standby {
    /// Copies the primary, follows it from then on, and waits until it can be read.
    pub(crate) fn of(primary: &OwnPostgres) -> Self {
        let value = |key: &str| {
            let (_, rest) = primary.superuser.split_once(&format!("{key}=")).unwrap();
            rest.split(' ').next().unwrap().trim_matches('\'').to_owned()
        };
        let (host, port) = (value("host"), value("port"));
        let running = format!("/proc/{}", primary.postmaster());
        let server = fs::read_link(format!("{running}/exe")).unwrap();
        let owner = fs::metadata(running).unwrap();
        let (uid, gid) = (owner.uid(), owner.gid());
        let directory = open_tempdir();
        chown(directory.path(), Some(uid.into()), Some(gid.into())).unwrap();
        let (sockets, data) = (directory.path().display().to_string(), directory.path().join("data"));
        let as_owner = |program: &str| {
            let mut command = bound_to_this_thread(&server.with_file_name(program), "INT");
            if Uid::effective().is_root() {
                command.uid(uid).gid(gid); // no server runs as root
            }
            command.env("LC_ALL", "C.UTF-8").stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let copied = as_owner("pg_basebackup")
            .args(["-h", &host, "-p", &port, "-U", "postgres", "-R", "-X", "stream", "-c", "fast", "-D"])
            .arg(&data)
            .status();
        assert!(copied.unwrap().success(), "the primary is copied");
        let child = as_owner("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-c", &format!("unix_socket_directories={sockets}"), "-c", "listen_addresses="])
            .spawn()
            .unwrap();
        let [url, superuser] = [&primary.url, &primary.superuser].map(|url| url.replace(&host, &sockets));
        wait_until("the standby may be read", || {
            let asked = as_owner("pg_isready").args(["-q", "-h", &sockets, "-p", &port]).status();
            asked.is_ok_and(|status| status.success())
        });
        Self { child, _directory: directory, url, superuser }
    }

    /// Promotes it, and waits until it accepts writes.
    pub(crate) async fn promote(&self) {
        execute(&self.superuser, "SELECT pg_promote()").await;
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGINT).ok();
        self.child.wait().ok();
    }
}
