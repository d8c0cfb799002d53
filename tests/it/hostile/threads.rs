//! A process that may make no more threads, and name servers that never answer.

use std::{
    net::{SocketAddr, UdpSocket},
    process::{Command, Stdio},
};

use chrono::Utc;
use nix::unistd::{Pid, Uid};
use serde_json::json;
use stellar_ticker::sim::{FaultPlan, FixedSource};

use crate::support::{
    FAST_FIRST_PUBLICATION,
    bound::{Running, bound},
    daemon::{ADDRESS_SPACE, Daemon, OWN_USER, RESOLV_CONF, run_in},
    figure,
    network::{PASSPHRASE, block_on, network},
    not_tested,
    postgres::{fresh_database, open_tempdir, over_tcp, socket_of},
    progress::wait_for_pairs,
    scripted::{LEDGER, scripted, tea, trade},
    wait_until,
};

/// Users, each of one test alone, so that its limit counts no other threads.
const SMALL_USER: u32 = 54_321;
const CROWDED_USER: u32 = 54_322;
const NAMELESS_USER: u32 = 54_323;
const LONE_USER: u32 = 54_324;
/// Limit of threads that `docs/run.md` sets for a container.
const THREADS_MAX: usize = 256;
const MEMORY_MIB_MAX: u64 = 1_024;

fn is_root() -> bool {
    let is_root = Uid::effective().is_root();
    if !is_root {
        not_tested("limits of threads: only root may start a process as another user");
    }
    is_root
}

fn threads(pid: Pid) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// A new database as another user reaches it: over TCP.
async fn database() -> String {
    let (directory, port, rest) = socket_of(&fresh_database().await);
    let address = over_tcp(directory, port).await;
    format!("host={} port={} {rest}", address.ip(), address.port())
}

/// `as_of` of the newest publication.
fn as_of(daemon: &Daemon) -> i64 {
    daemon.get("/markets.json").json()["generated_at"].as_i64().unwrap()
}

/// No actor restarted, and publications go on for a while longer than an idle thread of tokio lives.
fn goes_on(daemon: &mut Daemon) {
    const MILLISECONDS: i64 = 12_000;
    let before = as_of(daemon);
    wait_until("publications go on", || as_of(daemon) >= before + MILLISECONDS);
    let file = daemon.output("markets.json");
    wait_until("files are written", || {
        let file: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        file["generated_at"].as_i64().unwrap() >= before + MILLISECONDS
    });
    assert!(daemon.is_running());
    for words in ["panic", "spawn worker thread", "is restarted"] {
        assert!(!daemon.log().contains(words), "{words}:\n{}", daemon.log());
    }
}

/// Processes of the user that do nothing: with the daemon's own threads more than the limit allows.
struct Crowd(#[expect(dead_code, reason = "held until it is dropped")] Vec<Running>);

impl Crowd {
    fn gather() -> Self {
        let one = || {
            let mut command = bound("setpriv");
            let user = [format!("--reuid={CROWDED_USER}"), format!("--regid={CROWDED_USER}")];
            // A change of the user clears the death signal that was set before.
            command.args(user).args(["--clear-groups", "--pdeathsig", "KILL", "sleep", "600"]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            Running::start(command)
        };
        Self((0..THREADS_MAX).map(|_| one()).collect())
    }
}

/// A command that ends before it needs a database.
const SERVE: [&str; 5] = ["serve", "--database-url", "postgres://127.0.0.1:1/x", "--bind", "127.0.0.1:0"];

#[test]
fn a_process_that_may_make_too_few_threads_says_so_and_ends() {
    if !is_root() {
        return;
    }
    // Too few for the pool, and too few for the actors beside it.
    for threads in [12, 24, 33, 40] {
        let (code, _, log) = run_in(&SERVE, &[(OWN_USER, &format!("{SMALL_USER}:{threads}"))]);
        assert_eq!(code, 69, "{threads}: {log}");
        assert!(log.contains("cannot start the threads it needs") && log.contains("--pids-limit"), "{log}");
    }
}

#[test]
fn a_command_that_may_make_no_thread_says_so_and_ends() {
    if !is_root() {
        return;
    }
    let database = ["--database-url", "postgres://127.0.0.1:1/x", "--startup-timeout", "1s"];
    for command in [&["migrate"][..], &["generate", "market-data", "-o", "-"]] {
        let arguments = [command, &database].concat();
        let (code, _, log) = run_in(&arguments, &[(OWN_USER, &format!("{LONE_USER}:1"))]);
        assert_eq!(code, 69, "{command:?}: {log}");
        assert!(log.contains("cannot start the threads it needs"), "{log}");
    }
}

#[test]
fn a_process_that_may_reserve_too_little_memory_says_so_and_ends() {
    let (code, _, log) = run_in(&SERVE, &[(ADDRESS_SPACE, "2000000")]);
    assert_eq!(code, 69, "{log}");
    assert!(log.contains("may use 1953 MiB of address space") && log.contains("ulimit -v"), "{log}");
}

#[test]
fn a_demo_that_may_reserve_too_little_memory_says_so_before_it_simulates_anything() {
    let directory = open_tempdir();
    let demo = ["demo", "--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0", "--data-dir"];
    let demo = [&demo[..], &[directory.path().to_str().unwrap()]].concat();
    let (code, _, log) = run_in(&demo, &[(ADDRESS_SPACE, "2000000")]);
    assert_eq!(code, 69, "{log}");
    assert!(log.contains("may use 1953 MiB of address space"), "{log}");
    assert!(!log.contains("demo started") && !log.contains("The demo:"), "{log}");
}

#[test]
fn work_goes_on_where_no_more_threads_can_be_made() {
    if !is_root() {
        return;
    }
    let sim = network(542, FaultPlan::none());
    block_on(async {
        let user = (OWN_USER, &*format!("{CROWDED_USER}:{THREADS_MAX}"));
        let mut daemon = Daemon::serve_in(&[user], &sim.url(), &database().await, PASSPHRASE, &[]);
        wait_for_pairs(&daemon);
        let _crowd = Crowd::gather();
        goes_on(&mut daemon);
        // Whole lists take a thread of their own.
        let pairs = daemon.graphql("{ ticker { tradePair } markets { baseAssetCode } assets { code } }");
        assert!(pairs["errors"].is_null(), "{pairs}");
        assert_eq!(daemon.get("/graphiql").status, 200);
        figure!(
            "if no more threads can be created, the daemon still publishes, writes and answers",
            "{} of {THREADS_MAX} threads, the others in use",
            threads(daemon.pid())
        );
    });
}

/// Assets of as many issuers' domains, each traded once.
fn list_assets(source: &FixedSource, domains: u32) {
    for number in 0..domains {
        let code = format!("T{number}");
        let mut asset = tea(&format!("d{number}-case.net"), "1000.0000000");
        asset["asset_code"] = json!(code);
        asset["asset_type"] = json!(if code.len() <= 4 { "credit_alphanum4" } else { "credit_alphanum12" });
        let token = format!(
            "{code}_{}_{}",
            asset["asset_issuer"].as_str().unwrap(),
            asset["asset_type"].as_str().unwrap()
        );
        asset["paging_token"] = json!(token);
        source.put_asset(asset.clone()).unwrap();
        let mut traded = trade(LEDGER + 1 + number, 0, Utc::now());
        traded["counter_asset_code"] = json!(code);
        traded["counter_asset_type"] = asset["asset_type"].clone();
        source.push_trade(traded).unwrap();
    }
}

/// Number of stellar.toml files that could not be read so far.
fn failed_fetches(daemon: &Daemon) -> u64 {
    let metrics = String::from_utf8(daemon.admin("/metrics").body).unwrap();
    let failed = |line: &&str| line.starts_with("ticker_toml_fetches_total") && !line.contains("\"ok\"");
    metrics.lines().filter(failed).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[test]
fn name_servers_that_never_answer_cost_no_threads_and_no_publication() {
    const DOMAINS: u32 = 500;
    const FAILED: u64 = 300;
    if !is_root()
        || !Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success())
    {
        return not_tested("silent name servers: no mount namespace can be made");
    }
    // Sockets that take questions and say nothing. No question leaves the machine.
    let [.., high, low] = std::process::id().to_be_bytes(); // another run has other addresses
    let servers: Vec<UdpSocket> = (1..=3)
        .map(|last| UdpSocket::bind(SocketAddr::from(([127, 32 | (high >> 3), low, last], 53))).unwrap())
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let resolv_conf = directory.path().join("resolv.conf");
    let lines: String =
        servers.iter().map(|server| format!("nameserver {}\n", server.local_addr().unwrap().ip())).collect();
    std::fs::write(&resolv_conf, lines).unwrap();
    let (sim, source) = scripted();
    list_assets(&source, DOMAINS);
    block_on(async {
        let (url, database) = (sim.url(), database().await);
        let serve = [
            ["serve", "--horizon-url", &url],
            ["--database-url", &database, "--network"],
            [PASSPHRASE, "--horizon-requests-per-hour", "0"],
        ]
        .concat();
        let (user, names) = (format!("{NAMELESS_USER}:{THREADS_MAX}"), resolv_conf.to_str().unwrap());
        let mut daemon =
            Daemon::start_in(&serve, &[FAST_FIRST_PUBLICATION, (OWN_USER, &user), (RESOLV_CONF, names)]);
        let (mut fewest, mut most) = (usize::MAX, 0);
        wait_until("many files could not be read", || {
            let threads = threads(daemon.pid());
            (fewest, most) = (fewest.min(threads), most.max(threads));
            failed_fetches(&daemon) >= FAILED
        });
        daemon.wait_for_publication();
        let mut question = [0; 512];
        assert!(servers[0].recv(&mut question).is_ok(), "the servers of this test were asked");
        assert!(most < fewest + 16, "{fewest} threads became {most}");
        let memory = daemon.memory_mib();
        assert!(memory < MEMORY_MIB_MAX, "{memory} MiB");
        goes_on(&mut daemon);
        figure!(
            "if name servers never answer, threads stay few and publications continue",
            "{FAILED} of {DOMAINS} look-ups failed, 3 silent servers, at most {most} of {THREADS_MAX} threads, {memory} MiB of {MEMORY_MIB_MAX}"
        );
    });
}
