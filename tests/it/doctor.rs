//! `doctor`: each of its checks on a set-up that is broken in just that way.

mod broken_database;
mod broken_machine;
mod broken_upstream;
mod canned;
mod complete;
mod running;

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf};

use serde_json::Value;
use stellar_ticker::sim::FaultPlan;
use tempfile::TempDir;

use crate::support::{
    daemon::{Daemon, run, run_in},
    network::{PASSPHRASE, block_on, network},
    nginx::free_address,
    postgres::{fresh_database, open_tempdir},
    wait_until,
};
use canned::Canned;

/// A set-up in which every check passes until a test breaks it.
struct Setup {
    horizon: String,
    gateway: String,
    network: String,
    database: String,
    bind: SocketAddr,
    admin: SocketAddr,
    data_dir: PathBuf,
    output_dir: PathBuf,
    more: Vec<String>,
    environment: Vec<(&'static str, String)>,
    _directory: TempDir,
    _horizon: Canned,
}

/// Result of a run.
pub(crate) struct Found {
    code: i32,
    report: Value,
}

impl Setup {
    /// A new machine with a migrated database, and no daemon.
    async fn new() -> Self {
        let database = fresh_database().await;
        let (code, _, log) = run(&["migrate", "--database-url", &database]);
        assert_eq!(code, 0, "{log}");
        let (directory, horizon) = (open_tempdir(), Canned::horizon(PASSPHRASE));
        Self {
            gateway: horizon.url(),
            horizon: horizon.url(),
            network: PASSPHRASE.into(),
            database,
            bind: free_address(),
            admin: free_address(),
            data_dir: directory.path().join("data"),
            output_dir: directory.path().join("www"),
            more: Vec::new(),
            environment: Vec::new(),
            _directory: directory,
            _horizon: horizon,
        }
    }

    fn run(&self) -> Found {
        Found::read(self.command(&["doctor", "--json"]))
    }

    /// Runs a command in this set-up to its end: exit code, stdout, stderr.
    fn command(&self, command: &[&str]) -> (i32, String, String) {
        let (bind, admin) = (self.bind.to_string(), self.admin.to_string());
        let mut arguments = [command, &["--horizon-url", &self.horizon, "--network", &self.network]].concat();
        arguments.extend(["--toml-gateway", &self.gateway]);
        if !self.database.is_empty() {
            arguments.extend(["--database-url", &self.database]);
        }
        arguments.extend(["--bind", &bind, "--admin-bind", &admin]);
        let (data, output) = (self.data_dir.to_str().unwrap(), self.output_dir.to_str().unwrap());
        arguments.extend(["--data-dir", data, "--output-dir", output]);
        arguments.extend(self.more.iter().map(String::as_str));
        let environment: Vec<(&str, &str)> =
            self.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        run_in(&arguments, &environment)
    }
}

impl Found {
    /// Reads what `doctor --json` returned: exit code, stdout, stderr.
    pub(crate) fn read((code, out, log): (i32, String, String)) -> Self {
        let report = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}\n{log}"));
        Self { code, report }
    }

    fn checks(&self) -> &Vec<Value> {
        self.report["checks"].as_array().unwrap()
    }

    pub(crate) fn check(&self, name: &str) -> &Value {
        let found = self.checks().iter().find(|check| check["name"] == name);
        found.unwrap_or_else(|| panic!("no check {name}: {:#}", self.report))
    }

    /// Asserts the status of a check, words of its detail, that there is a remedy, and the exit code.
    pub(crate) fn assert(&self, name: &str, status: &str, words: &str) {
        let check = self.check(name);
        assert_eq!(check["status"], status, "{:#}", self.report);
        assert!(check["detail"].as_str().unwrap().contains(words), "{words}: {check}");
        assert!(check["remedy"].as_str().is_some_and(|remedy| !remedy.is_empty()), "{check}");
        let others = |status: &str| self.checks().iter().any(|check| check["status"] == status);
        let code = if others("failure") { 2 } else { i32::from(others("warning")) };
        assert_eq!(self.code, code, "{:#}", self.report);
        assert!(code > 0);
    }
}

#[test]
fn a_sound_machine_without_a_daemon_has_nothing_to_do() {
    block_on(async {
        let found = Setup::new().await.run();
        for check in found.checks() {
            let status = check["status"].as_str().unwrap();
            // The time zone is that of the machine which runs the tests.
            assert!(["ok", "skipped"].contains(&status) || check["name"] == "database_timezone", "{check}");
        }
        assert!(found.code < 2, "{:#}", found.report);
    });
}

#[test]
fn beside_a_running_daemon_all_checks_have_a_verdict() {
    let sim = network(521, FaultPlan::none());
    block_on(async {
        let mut setup = Setup::new().await;
        let more = ["--horizon-requests-per-hour", "3600"];
        let daemon = Daemon::serve(&sim.url(), &setup.database, PASSPHRASE, &more);
        daemon.wait_for_publication();
        wait_until("it is ready", || daemon.get("/readyz").json()["status"] == "ok");
        wait_until("files are written", || daemon.output("markets.json").exists());
        daemon.wait_for_audit();
        (setup.horizon, setup.gateway) = (sim.url(), format!("{}/_toml", sim.url()));
        (setup.bind, setup.admin) = (daemon.public, daemon.admin);
        setup.data_dir = daemon.directory.path().join("data");
        setup.output_dir = daemon.directory.path().join("data/www");
        let found = setup.run();
        let names: BTreeSet<&str> =
            found.checks().iter().map(|check| check["name"].as_str().unwrap()).collect();
        assert!(names.len() >= 20 && names.len() == found.checks().len(), "{names:?}");
        for check in found.checks() {
            let is_bad = check["status"] == "failure";
            assert!(!is_bad, "{check}");
            assert_eq!(check["remedy"].is_string(), check["status"] == "warning", "{check}");
        }
        for name in
            ["public_port", "daemon", "readiness", "data_age", "replicas", "audit_verdict", "actors", "files"]
        {
            assert_eq!(found.check(name)["status"], "ok", "{}", found.check(name));
        }
    });
}

#[test]
fn people_get_a_line_for_each_check_and_the_remedy() {
    let (code, out, _) = run(&["doctor", "--retention-days", "3"]);
    assert_eq!(code, 2);
    assert!(out.starts_with("failure  configuration"), "{out}");
    assert!(out.contains("-> correct it") && out.contains("1 checks: 1 failed"), "{out}");
    let (code, help, _) = run(&["doctor", "--help"]);
    assert_eq!(code, 0);
    assert!(help.contains("0 nothing to do; 1 warnings only; 2 at least one failure"), "{help}");
}
