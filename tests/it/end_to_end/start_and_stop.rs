//! Addresses and directories that are taken at a start, and the effect of signals.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Command, Stdio},
};

use nix::{
    sys::{
        signal::{Signal, kill, killpg},
        stat::Mode,
    },
    unistd::{Pid, mkfifo},
};

use super::*;
use crate::support::{
    bound::{Running, bound, bound_by},
    daemon::spawn,
    figure,
    postgres::open_tempdir,
    private_server,
    processes::{children, handles},
    surroundings::clean,
};

const BINARY: &str = env!("CARGO_BIN_EXE_stellar-ticker");

/// Reads the log of a child until a line holds `words`; what was read.
fn read_until(child: &mut Running, words: &str) -> String {
    let mut log = String::new();
    let mut lines = BufReader::new(child.stderr.as_mut().unwrap()).lines();
    while !log.contains(words) {
        match lines.next() {
            Some(Ok(line)) => log = log + &line + "\n",
            _ => panic!("the log ended without {words:?}:\n{log}"),
        }
    }
    log
}

/// The rest of the log and the exit code.
fn ended(mut child: Running, mut log: String) -> (Option<i32>, String) {
    let rest = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    rest.for_each(|line| log = format!("{log}{line}\n"));
    (child.wait().unwrap().code(), log)
}

/// `serve` with the given addresses and a directory of its own.
fn serve(sim: &SimServer, directory: &std::path::Path, more: &[&str]) -> Running {
    let data_dir = directory.join("data");
    let url = sim.url();
    let arguments = [
        &["serve", "--horizon-url", &url, "--network", PASSPHRASE, "--log-format", "json"] as &[&str],
        &["--data-dir", data_dir.to_str().unwrap()],
        more,
    ]
    .concat();
    spawn(&arguments)
}

#[test]
fn a_taken_address_is_logged_once_and_nothing_is_written_before_exit_69() {
    let sim = network(31, FaultPlan::none());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    block_on(async {
        for (flag, other) in [("--bind", "--admin-bind"), ("--admin-bind", "--bind")] {
            let (database, directory) = (fresh_database().await, open_tempdir());
            let more = [
                flag,
                &address,
                other,
                "127.0.0.1:0",
                "--database-url",
                &database,
                "--startup-timeout",
                "3s",
            ];
            let (code, log) = ended(serve(&sim, directory.path(), &more), String::new());
            assert_eq!(code, Some(69), "{log}");
            let logged: Vec<&str> =
                log.lines().filter(|line| line.contains("is in use by another program")).collect();
            let [at_once, at_last] = logged.as_slice() else {
                panic!("once at the start and once at the end: {log}")
            };
            assert!(at_once.contains("WARN") && at_last.contains("ERROR"), "{log}");
            assert!(at_once.contains(&address) && at_once.contains(flag), "{at_once}");
            assert!(!log.contains("this replica leads"), "{log}");
            let client = recomputation::connect(&database).await;
            let led = "SELECT count(*) FROM ingest_lease WHERE epoch > 0";
            let tables =
                number(&client, "SELECT count(*) FROM pg_tables WHERE tablename = 'ingest_lease'").await;
            assert!(tables == 0 || number(&client, led).await == 0, "no replica led");
        }
    });
}

#[test]
fn an_address_that_becomes_free_is_taken() {
    let sim = network(32, FaultPlan::none());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    block_on(async {
        let (database, directory) = (fresh_database().await, open_tempdir());
        let more = ["--bind", &address, "--admin-bind", "127.0.0.1:0", "--database-url", &database];
        let mut child = serve(&sim, directory.path(), &more);
        let log = read_until(&mut child, "is in use by another program");
        drop(taken);
        let log = log + &read_until(&mut child, "\"listening\"");
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
        let (code, log) = ended(child, log);
        assert_eq!(code, Some(0), "{log}");
    });
}

#[test]
fn a_data_directory_in_use_is_refused_with_the_process_that_holds_it() {
    let sim = network(33, FaultPlan::none());
    let directory = open_tempdir();
    let data_dir = directory.path().join("data");
    let arguments = ["serve", "--horizon-url", &sim.url(), "--network", PASSPHRASE];
    let first = Daemon::start(&[&arguments[..], &["--data-dir", data_dir.to_str().unwrap()]].concat());
    let mut second = serve(&sim, directory.path(), &["--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0"]);
    let log = read_until(&mut second, "is in use by the process");
    assert!(log.contains(&format!("is in use by the process {}:", first.pid())), "{log}");
    assert!(log.contains("--data-dir"), "{log}");
    // It waits, and a signal ends the wait.
    kill(Pid::from_raw(i32::try_from(second.id()).unwrap()), Signal::SIGTERM).unwrap();
    let (code, log) = ended(second, log);
    assert!(code == Some(0) && log.contains("stopping before the start was complete"), "{code:?} {log}");
    let mut third = serve(
        &sim,
        directory.path(),
        &["--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0", "--startup-timeout", "1s"],
    );
    let log = read_until(&mut third, "is in use by the process");
    let (code, log) = ended(third, log);
    assert_eq!(code, Some(69), "{log}");
    drop(first);
}

#[test]
fn the_data_directory_stays_empty_while_an_address_is_taken() {
    let sim = network(35, FaultPlan::none());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = open_tempdir();
    let more = ["--bind", &address, "--admin-bind", "127.0.0.1:0", "--startup-timeout", "1s"];
    let (code, log) = ended(serve(&sim, directory.path(), &more), String::new());
    assert!(code == Some(69) && log.contains("is in use by another program"), "{code:?} {log}");
    assert!(!directory.path().join("data/pg").exists(), "no cluster was made");
}

#[test]
fn a_file_in_place_of_the_data_directory_is_a_wrong_configuration() {
    let sim = network(36, FaultPlan::none());
    let directory = open_tempdir();
    std::fs::write(directory.path().join("data"), "").unwrap();
    let more = ["--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0"];
    let (code, log) = ended(serve(&sim, directory.path(), &more), String::new());
    assert!(code == Some(78) && log.contains("--data-dir chooses another"), "{code:?} {log}");
}

/// As in a directory of another user, but for any user of the tests.
#[test]
fn a_data_directory_whose_lock_cannot_be_opened_is_a_wrong_configuration() {
    let sim = network(335, FaultPlan::none());
    let directory = open_tempdir();
    std::fs::create_dir_all(directory.path().join("data/pg.lock")).unwrap();
    let more = ["--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0"];
    let (code, log) = ended(serve(&sim, directory.path(), &more), String::new());
    assert!(code == Some(78) && log.contains("--data-dir chooses another"), "{code:?} {log}");
}

#[test]
fn sigterm_ends_each_wait_of_a_start() {
    let sim = network(34, FaultPlan::none());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let nowhere = "postgres://ticker@127.0.0.1:1/ticker";
    let free = ["--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0"];
    for (more, words) in [
        (&["--bind", &address, "--admin-bind", "127.0.0.1:0", "--database-url", nowhere][..], "is in use by"),
        (&[&free[..], &["--database-url", nowhere]].concat(), "waiting for the database"),
    ] {
        let directory = open_tempdir();
        let mut child = serve(&sim, directory.path(), more);
        let log = read_until(&mut child, words);
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
        let (code, log) = ended(child, log);
        assert!(code == Some(0) && log.contains("stopping before the start was complete"), "{code:?} {log}");
    }
}

/// The configuration is read before logs and listeners exist. A pipe that nobody writes to holds the program there.
#[test]
fn a_stop_signal_before_the_configuration_is_read_ends_the_daemon_with_0() {
    let nowhere = "postgres://ticker@127.0.0.1:1/ticker";
    for (command, signal) in [("serve", Signal::SIGTERM), ("demo", Signal::SIGINT)] {
        let directory = open_tempdir();
        let pipe = directory.path().join("pipe");
        mkfifo(&pipe, Mode::S_IRWXU).unwrap();
        let (pipe_name, data_dir) = (pipe.to_str().unwrap(), directory.path().join("data"));
        let mut arguments = vec![command, "--config", pipe_name, "--database-url", nowhere];
        arguments.extend(["--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0"]);
        arguments.extend(["--data-dir", data_dir.to_str().unwrap()]);
        let mut child = spawn(&arguments);
        let pid = i32::try_from(child.id()).unwrap();
        wait_until("the signal has a handler", || handles(pid, signal));
        kill(Pid::from_raw(pid), signal).unwrap();
        wait_until("the process has ended", || child.try_wait().unwrap().is_some());
        let (code, log) = ended(child, String::new());
        assert_eq!(code, Some(0), "{command}: {log}");
    }
}

#[test]
fn a_signal_to_the_process_and_then_to_its_group_is_one_request() {
    let sim = network(35, FaultPlan::none());
    block_on(async {
        let (database, directory) = (fresh_database().await, open_tempdir());
        let mut command = bound(BINARY); // in a group of its own
        command.args(["serve", "--horizon-url", &sim.url(), "--network", PASSPHRASE, "--log-format", "json"]);
        command.args(["--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0", "--database-url", &database]);
        command.arg("--data-dir").arg(directory.path().join("data"));
        clean(&mut command).stderr(Stdio::piped());
        let mut child = Running::start(command);
        let log = read_until(&mut child, "\"listening\"");
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        let log = log + &read_until(&mut child, "\"draining\"");
        killpg(pid, Signal::SIGTERM).unwrap();
        let (code, log) = ended(child, log);
        assert!(code == Some(0) && log.contains("\"drained\""), "{code:?} {log}");
        assert!(!log.contains("second stop signal"), "{log}");
    });
}

#[test]
fn gnu_timeout_ends_the_daemon_drained() {
    let sim = network(36, FaultPlan::none());
    block_on(async {
        let (database, directory) = (fresh_database().await, open_tempdir());
        let mut command = bound_by("TERM", "timeout");
        command.args(["600", BINARY, "serve", "--horizon-url", &sim.url(), "--network", PASSPHRASE]);
        command.args(["--log-format", "json", "--database-url", &database]);
        command.args(["--bind", "127.0.0.1:0", "--admin-bind", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(directory.path().join("data"));
        clean(&mut command).stderr(Stdio::piped());
        let mut child = Running::start(command);
        let log = read_until(&mut child, "\"listening\"");
        // `timeout` treats a signal like its own expiry: it passes the signal on to the process and to its group.
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
        let (_, log) = ended(child, log);
        assert!(log.contains("\"drained\"") && !log.contains("second stop signal"), "{log}");
    });
}

#[test]
fn signals_that_are_no_request_to_stop_are_noted_and_sigquit_drains() {
    let sim = network(37, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        for (signal, words) in [
            (Signal::SIGUSR1, "SIGUSR1"),
            (Signal::SIGUSR2, "SIGUSR2"),
            (Signal::SIGXFSZ, "SIGXFSZ"),
            (Signal::SIGHUP, "SIGHUP ignored"),
        ] {
            daemon.signal(signal);
            wait_until(words, || daemon.log().contains(words));
            assert_eq!(daemon.get("/livez").status, 200, "{words}");
        }
        daemon.signal(Signal::SIGQUIT);
        assert_eq!(daemon.wait().code(), Some(0));
        wait_until("the log is read to its end", || daemon.log().contains("\"drained\""));
    });
}

#[test]
fn a_terminal_that_is_closed_drains_the_daemon() {
    if Command::new("script").arg("--version").output().is_err() {
        crate::support::not_tested("`script` of util-linux is not installed");
        return;
    }
    let sim = network(38, FaultPlan::none());
    block_on(async {
        let (database, directory) = (fresh_database().await, open_tempdir());
        let log = directory.path().join("log");
        let line = format!(
            "exec {BINARY} serve --horizon-url {} --network '{PASSPHRASE}' --log-format json --database-url '{database}' \
             --bind 127.0.0.1:0 --admin-bind 127.0.0.1:0 --data-dir {}/data 2>{}",
            sim.url(),
            directory.path().display(),
            log.display()
        );
        let mut terminal = bound("script");
        terminal.args(["-q", "-e", "-c", &line, "/dev/null"]);
        clean(&mut terminal).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut terminal = Running::start(terminal);
        let logged = |words: &str| std::fs::read_to_string(&log).unwrap_or_default().contains(words);
        wait_until("the daemon listens", || logged("\"listening\""));
        let daemon = children(i32::try_from(terminal.id()).unwrap());
        assert!(!daemon.is_empty());
        terminal.kill().unwrap(); // and with it the terminal goes
        terminal.wait().unwrap();
        wait_until("the daemon is drained", || logged("the terminal was closed") && logged("\"drained\""));
    });
}

/// An idle actor of a leader only pauses, so the drain must end its pauses and its work alike.
#[test]
fn every_actor_drains_in_time() {
    const STOPS: u64 = 4;
    for stop in 0..STOPS {
        let sim = network(320 + stop, FaultPlan::none());
        let database = block_on(fresh_database());
        let mut daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        // Its last task before it is idle.
        wait_until("the cleaner has counted", || daemon.log().contains("accounts behind markets counted"));
        assert_eq!(daemon.terminate().code(), Some(0));
        wait_until("the log is whole", || daemon.log().contains("\"drained\""));
        assert!(!daemon.log().contains("did not drain"), "stop {stop}: {}", daemon.log());
    }
}

#[test]
fn a_private_server_that_hangs_is_killed_at_a_stop_and_loses_nothing() {
    let sim = network(39, FaultPlan::none());
    let data = open_tempdir();
    let data_dir = data.path().join("data");
    let serve = || private_server::serve(&sim, &["--data-dir", data_dir.to_str().unwrap()], &[]);
    let mut daemon = serve();
    wait_for_pairs(&daemon);
    let postmaster = private_server::postmaster(&data_dir.join("pg")).unwrap();
    kill(postmaster, Signal::SIGSTOP).unwrap();
    let begun = Instant::now();
    assert_eq!(daemon.terminate().code(), Some(0));
    let took = begun.elapsed();
    // A stop with the patience of a command sends SIGKILL after 20 s and 10 s on any machine. The whole stop of a
    // daemon has 8 s, so a busy machine has time left.
    assert!(took < Duration::from_secs(30), "{took:?}");
    for signal in ["SIGINT", "SIGQUIT"] {
        wait_until("a signal that a stopped process ignores was given up", || {
            let is_given_up = |line: &str| line.contains("did not stop in time") && line.contains(signal);
            daemon.log().lines().any(is_given_up)
        });
    }
    let daemon = serve();
    wait_for_pairs(&daemon);
    let database =
        format!("host='{}' user=ticker dbname=ticker", data_dir.join("pg-socket").to_str().unwrap());
    block_on(async {
        let client = recomputation::connect(&database).await;
        compare_published(&daemon, &client).await;
        let trades = compare_with_emitted(&client, sim.oracle()).await;
        figure!(
            "a private PostgreSQL that hangs is killed when the daemon stops, and nothing is lost",
            "ended {:.1} s after SIGTERM; {trades} trades",
            took.as_secs_f64()
        );
    });
}
