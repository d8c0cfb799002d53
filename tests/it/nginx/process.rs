//! nginx as the daemon's child: start, restart, reload, and its end after the listeners.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Instant,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid},
};
use serde_json::Value;
use stellar_ticker::{
    actors::nginx_process::place::{NginxError, NginxPlace, NginxSettings},
    sim::{FaultPlan, SimServer},
};
use tempfile::TempDir;

use crate::support::{
    daemon::{Daemon, UMASK, request, run},
    network::{PASSPHRASE, block_on, network},
    nginx::{assert_well_formed, conf_file, conf_with, free_address},
    not_tested,
    postgres::{fresh_database, open_tempdir},
    processes::children,
    small_disk::SmallDisk,
    wait_until,
};

/// A daemon that runs nginx.
pub(crate) struct Front {
    pub(crate) daemon: Daemon,
    address: SocketAddr,
    conf: PathBuf,
    _conf_dir: TempDir,
    _sim: SimServer,
}

impl Front {
    pub(crate) fn start(seed: u64, replacements: &[(&str, &str)]) -> Self {
        Self::start_in(&[], seed, replacements)
    }

    fn start_in(environment: &[(&str, &str)], seed: u64, replacements: &[(&str, &str)]) -> Self {
        let sim = network(seed, FaultPlan::none());
        let database = block_on(fresh_database());
        let conf_dir = open_tempdir();
        let conf = conf_dir.path().join("my nginx.conf");
        fs::write(&conf, conf_with(replacements)).unwrap();
        let address = free_address();
        let bind = address.to_string();
        let more = ["--nginx", conf.to_str().unwrap(), "--nginx-bind", &bind];
        let daemon = Daemon::serve_in(environment, &sim.url(), &database, PASSPHRASE, &more);
        let front = Self { daemon, address, conf, _conf_dir: conf_dir, _sim: sim };
        front.wait_until_up();
        front
    }

    pub(crate) fn wait_until_up(&self) {
        wait_until("nginx runs", || self.actor()["state"] == "running" && self.is_up());
    }

    fn is_up(&self) -> bool {
        request(self.address, "GET", "/livez", "").is_ok_and(|answer| answer.status == 200)
    }

    fn actor(&self) -> Value {
        let actors = self.daemon.admin("/actors.json").json();
        let all = actors["actors"].as_array().unwrap();
        all.iter().find(|actor| actor["name"] == "nginx").expect("nginx is an actor").clone()
    }

    /// The master's number, once it is written.
    pub(crate) fn master(&self) -> i32 {
        let file = self.daemon.directory.path().join("data/nginx/nginx.pid");
        let mut pid = None;
        wait_until("nginx has a number", || {
            pid = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
            pid.is_some()
        });
        pid.unwrap()
    }

    /// Waits for the workers of a master.
    fn workers(&self, master: i32) -> Vec<i32> {
        let mut workers = Vec::new();
        wait_until("workers", || {
            workers = children(master);
            !workers.is_empty()
        });
        workers
    }
}

fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

fn wait_until_gone(pids: &[i32]) {
    wait_until("nginx is gone, workers too", || pids.iter().all(|pid| !is_alive(*pid)));
}

#[test]
fn it_comes_with_the_daemon_and_serves_what_the_daemon_has() {
    let front = Front::start(411, &[]);
    front.daemon.wait_for_publication();
    let answer = request(front.address, "GET", "/markets.json", "").unwrap();
    assert_eq!(answer.status, 200);
    assert_well_formed("markets.json", &answer);
    assert!(answer.json()["pairs"].is_array());
    wait_until("all is well, and nginx is counted in", || {
        front.daemon.get("/readyz").json()["checks"]["children"]["ok"] == true
    });
    // The files that it falls back to are those of the output directory.
    let www = front.daemon.directory.path().join("data/nginx/www");
    wait_until("files are there", || www.join("markets.json").exists());
}

#[test]
fn killed_it_comes_back_workers_included_and_that_is_counted() {
    let front = Front::start(412, &[]);
    let master = front.master();
    let workers = front.workers(master);
    signal(master, Signal::SIGKILL);
    wait_until_gone(&workers);
    wait_until("it was restarted", || front.actor()["restarts"] == 1);
    front.wait_until_up();
    assert_ne!(front.master(), master);
    let metrics = String::from_utf8(front.daemon.admin("/metrics").body).unwrap();
    assert!(metrics.contains("ticker_actor_restarts_total{actor=\"nginx\"} 1"), "{metrics}");
    assert!(front.daemon.log().contains("nginx ended unexpectedly"));

    // A second time there is a pause first.
    signal(front.master(), Signal::SIGKILL);
    wait_until("it was restarted again", || front.actor()["restarts"] == 2);
    front.wait_until_up();
}

#[test]
fn one_that_does_not_answer_is_replaced() {
    let front = Front::start(413, &[]);
    let master = front.master();
    for worker in front.workers(master) {
        signal(worker, Signal::SIGSTOP);
    }
    wait_until("/readyz names nginx", || nginx_check(&front)["ok"] == false);
    wait_until("it was restarted", || front.actor()["restarts"] == 1);
    front.wait_until_up();
    assert_ne!(front.master(), master);
    wait_until("its check recovers", || nginx_check(&front)["ok"] == true);
}

fn nginx_check(front: &Front) -> Value {
    front.daemon.get("/readyz").json()["checks"]["nginx"].clone()
}

#[test]
fn when_its_actor_panics_nginx_is_started_again() {
    let front = Front::start(414, &[]);
    let master = front.master();
    front.daemon.provoke("nginx", "Ping");
    wait_until("it was restarted", || front.actor()["restarts"] == 1);
    front.wait_until_up();
    assert_ne!(front.master(), master);
    wait_until_gone(&[master]);
}

#[test]
fn sighup_reloads_it_and_cuts_no_reader_off() {
    let patient = [("client_body_timeout 10s", "client_body_timeout 1h")];
    let front = Front::start(415, &patient);
    let master = front.master();
    let before = front.workers(master);
    let mut stream = TcpStream::connect(front.address).unwrap();
    write!(
        stream,
        "POST /api/v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nConnection: close\r\n\r\nab"
    )
    .unwrap();
    let alive = "location = /-/alive {";
    let marked = format!("{alive} add_header X-Edited yes always;");
    let edited = conf_with(&[patient[0], (alive, &marked)]);
    fs::write(&front.conf, edited).unwrap();
    kill(front.daemon.pid(), Signal::SIGHUP).unwrap();
    wait_until("the new configuration counts", || {
        request(front.address, "GET", "/-/alive", "")
            .is_ok_and(|answer| answer.header("X-Edited") == Some("yes"))
    });
    assert_eq!(front.master(), master, "the same master");
    assert!(
        children(master).iter().any(|worker| before.contains(worker)),
        "a reader that is being served keeps the old worker"
    );
    stream.write_all(b"cd").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");

    // A configuration that nginx rejects changes nothing.
    fs::write(&front.conf, "nonsense;").unwrap();
    kill(front.daemon.pid(), Signal::SIGHUP).unwrap();
    wait_until("nginx refuses", || front.daemon.log().contains("unknown directive \"nonsense\""));
    assert!(front.is_up());
    assert_eq!((front.master(), front.actor()["restarts"].as_u64()), (master, Some(0)));
}

#[test]
fn in_the_drain_it_goes_after_the_listeners() {
    let mut front = Front::start(416, &[]);
    front.daemon.wait_for_publication();
    let master = front.master();
    let workers = front.workers(master);
    assert_eq!(front.daemon.terminate().code(), Some(0));
    assert!(!is_alive(master) && workers.iter().all(|worker| !is_alive(*worker)));
    let mut log = String::new();
    wait_until("the log is whole", || {
        log = front.daemon.log();
        log.contains("\"drained\"")
    });
    let at = |text: &str| log.find(text).unwrap_or_else(|| panic!("{text} is not in the log: {log}"));
    assert!(at("listeners closed") < at("nginx stopped") && at("nginx stopped") < at("\"drained\""));
    assert!(!log.contains("cut off"), "{log}");
}

#[test]
fn it_does_not_outlive_a_daemon_that_was_killed() {
    let mut front = Front::start(417, &[]);
    let master = front.master();
    let mut all = front.workers(master);
    all.push(master);
    front.daemon.kill();
    wait_until_gone(&all);
    wait_until("nobody listens any more", || TcpStream::connect(front.address).is_err());
}

/// Settings of a daemon that ends because its database is missing, if nothing else ends it before.
const NO_DATABASE: [&str; 4] =
    ["--database-url", "postgres://nobody@127.0.0.1:1/x", "--startup-timeout", "1s"];

/// Runs a daemon with nginx until it ends. Returns its exit code and its log.
fn serve(conf: &Path, bind: &str, more: &[&str]) -> (i32, String) {
    let nginx = ["serve", "--nginx", conf.to_str().unwrap(), "--nginx-bind", bind];
    let ports = ["--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0"];
    let (code, _, said) = run(&[&nginx[..], &ports, more].concat());
    (code, said)
}

#[test]
fn a_configuration_that_nginx_rejects_is_reported_in_nginxs_words() {
    let directory = open_tempdir();
    let file = directory.path().join("nginx.conf");
    fs::write(&file, "events {}\nhttp { servr {} }\n").unwrap();
    let data = directory.path().join("data");
    let more = [&NO_DATABASE[..], &["--data-dir", data.to_str().unwrap()]].concat();
    let bind = free_address().to_string();
    let (code, said) = serve(&file, &bind, &more);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("unknown directive") && said.contains("servr") && said.contains(":2"), "{said}");
    let (code, said) = serve(Path::new("/nowhere/nginx.conf"), &bind, &more);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("/nowhere/nginx.conf"), "{said}");
}

#[test]
fn directories_that_nginxs_workers_may_not_enter_are_refused_at_start() {
    if !Uid::effective().is_root() {
        return not_tested("nginx's workers run as another user for root alone");
    }
    let directory = open_tempdir();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (closed, open) = (path("closed"), path("open"));
    fs::DirBuilder::new().mode(0o700).create(&closed).unwrap();
    let (closed_data, closed_www) = (format!("{closed}/data"), format!("{closed}/www"));
    let shipped = conf_file();
    let bind = free_address().to_string();
    let serve_by = |conf: &Path, more: &[&str]| serve(conf, &bind, &[&NO_DATABASE[..], more].concat());
    let serve = |more: &[&str]| serve_by(&shipped, more);
    let (code, said) = serve(&["--data-dir", &closed_data]);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("nobody") && said.contains(&closed) && said.contains("--data-dir"), "{said}");
    let (code, said) = serve(&["--data-dir", &open, "--output-dir", &closed_www]);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("nobody") && said.contains(&closed_www) && said.contains("--output-dir"), "{said}");
    let (code, said) = serve(&["--data-dir", &open]);
    assert_eq!(code, 69, "only the database is missing: {said}");
    // A configuration whose workers are root may use any directory.
    let own = directory.path().join("nginx.conf");
    fs::write(&own, format!("user root;\n{}", crate::support::nginx::conf())).unwrap();
    let (code, said) = serve_by(&own, &["--data-dir", &closed_data]);
    assert_eq!(code, 69, "{said}");
}

#[test]
fn a_taken_address_has_an_exit_code_of_its_own() {
    let taken = TcpListener::bind(free_address()).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let sim = network(418, FaultPlan::none());
    let database = block_on(fresh_database());
    let directory = open_tempdir();
    let horizon = ["--horizon-url", &sim.url(), "--network", PASSPHRASE];
    let database = ["--database-url", &database, "--startup-timeout", "3s"];
    let data = ["--data-dir", directory.path().to_str().unwrap()];
    let (code, said) = serve(&conf_file(), &address, &[&horizon[..], &database, &data].concat());
    assert_eq!(code, 69, "{said}");
    assert!(said.contains(&format!("{address} is in use by another program")), "{said}");
}

#[test]
fn clients_that_hold_all_connections_end_neither_nginx_nor_the_daemon() {
    let few = [
        ("worker_connections 2048", "worker_connections 32"),
        ("client_header_timeout 4s", "client_header_timeout 1h"),
    ];
    let front = Front::start(420, &few);
    let master = front.master();
    let mut held: Vec<TcpStream> = Vec::new();
    let started = Instant::now();
    let mut hold = |more: usize| {
        // nginx has closed the others.
        held.retain(|stream| stream.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
        for _ in 0..more {
            let mut stream = TcpStream::connect(front.address).unwrap();
            stream.set_nonblocking(true).unwrap();
            if stream.write_all(b"GET / HTTP/1.1\r\nHo").is_ok() {
                held.push(stream);
            }
        }
    };
    wait_until("nginx has no connection left", || {
        hold(20);
        nginx_check(&front)["ok"] == false
    });
    // The check keeps the time of its first failure in a row. A silent nginx is killed after five probes, one a second.
    wait_until("nginx had no room for more than five probes", || {
        hold(2);
        assert_eq!(front.actor()["restarts"], 0);
        nginx_check(&front)["age_s"].as_i64() > Some(7)
    });
    held.clear();
    front.wait_until_up();
    wait_until("its check recovers", || nginx_check(&front)["ok"] == true);
    assert_eq!((front.master(), front.actor()["restarts"].as_u64()), (master, Some(0)));
    let log = front.daemon.log();
    let refusals = u64::try_from(log.matches("worker_connections are not enough").count()).unwrap();
    // A burst of 60, and one a second.
    assert!((1..=62 + started.elapsed().as_secs()).contains(&refusals), "{refusals} lines of nginx");
}

#[test]
fn nginx_that_always_ends_never_ends_the_daemon() {
    let front = Front::start(421, &[]);
    fs::write(&front.conf, "nonsense;").unwrap();
    signal(front.master(), Signal::SIGKILL);
    // The sixth restart of another actor would end the daemon.
    wait_until("it ended six times", || front.actor()["restarts"].as_u64() >= Some(6));
    assert_eq!(front.daemon.get("/livez").status, 200);
    assert_eq!(nginx_check(&front)["ok"], false);
}

#[test]
fn a_full_disk_at_start_keeps_the_old_files_and_is_no_fault_of_the_settings() {
    let Some(disk) = SmallDisk::mount("1m") else { return };
    let settings = NginxSettings {
        file: conf_file(),
        listen: free_address(),
        output_dir: disk.path().join("www"),
        data_dir: disk.path().join("data"),
    };
    drop(NginxPlace::prepare(settings.clone()).unwrap());
    let listen_conf = disk.path().join("data/nginx/listen.conf");
    let before = fs::read_to_string(&listen_conf).unwrap();
    disk.fill();
    let full = NginxPlace::prepare(settings).unwrap_err();
    assert!(full.is_transient(), "{full}");
    assert_eq!(fs::read_to_string(&listen_conf).unwrap(), before);
    let data = disk.path().join("data");
    let data = ["--data-dir", data.to_str().unwrap()];
    let bind = free_address().to_string();
    let (code, said) = serve(&conf_file(), &bind, &[&NO_DATABASE[..], &data].concat());
    assert_eq!(code, 69, "{said}");
    assert!(said.contains("No space left"), "{said}");
    assert_eq!(fs::read_to_string(&listen_conf).unwrap(), before);
}

#[test]
fn a_prefix_has_one_daemon() {
    let directory = open_tempdir();
    let settings = NginxSettings {
        file: conf_file(),
        listen: free_address(),
        output_dir: directory.path().join("www"),
        data_dir: directory.path().to_owned(),
    };
    let first = NginxPlace::prepare(settings.clone()).unwrap();
    let second = NginxPlace::prepare(settings.clone()).unwrap_err();
    assert!(matches!(second, NginxError::InUse(_)) && second.is_transient(), "{second}");
    drop(first);
    NginxPlace::prepare(settings).unwrap();
}

#[test]
fn an_actor_that_panics_at_a_reload_is_back_with_nginx_and_the_next_reload_works() {
    let front = Front::start(419, &[]);
    let master = front.master();
    front.daemon.provoke("nginx", "ReloadNginx");
    front.daemon.signal(Signal::SIGHUP);
    wait_until("it panicked", || front.actor()["restarts"] == 1);
    let exit = front.actor()["last_exit"]["reason"].as_str().unwrap().to_owned();
    assert_eq!(exit, "panicked: provoked while handling ReloadNginx");
    front.wait_until_up();
    assert!(!is_alive(master) || front.master() == master, "never two of them");
    let workers = front.workers(front.master());
    front.daemon.signal(Signal::SIGHUP);
    wait_until_gone(&workers);
    front.wait_until_up();
}

#[test]
fn as_root_its_workers_read_the_files_although_the_umask_hides_new_ones() {
    let front = Front::start_in(&[(UMASK, "077")], 420, &[]);
    let file = front.daemon.directory.path().join("data/www/markets.json");
    wait_until("the files are written", || file.exists());
    front.daemon.signal(Signal::SIGSTOP);
    let answer = request(front.address, "GET", "/markets.json", "").unwrap();
    front.daemon.signal(Signal::SIGCONT);
    assert_eq!((answer.status, answer.header("X-Cache")), (200, Some("FILE")), "{}", answer.head);
}

#[test]
fn a_name_that_cannot_be_resolved_yet_is_waited_for() {
    let directory = open_tempdir();
    let conf = directory.path().join("nginx.conf");
    fs::write(&conf, conf_with(&[("error_log stderr error;", "error_log syslog:server=logs.invalid;")]))
        .unwrap();
    let (code, _, said) = run(&[
        "serve",
        "--nginx",
        conf.to_str().unwrap(),
        "--nginx-bind",
        &free_address().to_string(),
        "--startup-timeout",
        "1s",
        "--database-url",
        "postgres://nobody@127.0.0.1:1/x",
        "--data-dir",
        directory.path().join("data").to_str().unwrap(),
    ]);
    // Silent name servers take longer than the test of the configuration may.
    let is_named = said.contains("host not found in") || said.contains("the test does not end");
    assert!(code == 69 && is_named, "{code} {said}");
}
