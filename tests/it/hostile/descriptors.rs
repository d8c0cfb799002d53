//! A process that may open few files.

use std::net::TcpStream;

use stellar_ticker::sim::FaultPlan;

use crate::support::{
    daemon::{Daemon, OPEN_FILES, run_in},
    figure,
    network::{PASSPHRASE, block_on, network},
    oracle::compare_published,
    postgres::fresh_database,
    progress::{wait_for_pairs, wait_for_trades},
    recomputation::connect,
};

/// Idle connections, more than the process may open files.
const HELD: usize = 400;

#[test]
fn a_process_that_may_open_too_few_files_says_so_and_ends() {
    for limit in ["64", "128", "199"] {
        let serve = ["serve", "--database-url", "postgres://127.0.0.1:1/x", "--bind", "127.0.0.1:0"];
        let (code, _, log) = run_in(&serve, &[(OPEN_FILES, limit)]);
        assert_eq!(code, 69, "{log}");
        assert!(log.contains(&format!("may open {limit} files")) && log.contains("ulimit -n"), "{log}");
    }
}

#[test]
fn a_process_that_may_open_few_files_answers_and_ingests_while_connections_are_held() {
    let sim = network(541, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve_in(&[(OPEN_FILES, "256")], &sim.url(), &database, PASSPHRASE, &[]);
        assert!(daemon.log().contains("low limit on open files"));
        wait_for_pairs(&daemon);
        let held: Vec<_> = (0..HELD).map(|_| TcpStream::connect(daemon.public).unwrap()).collect();
        let client = connect(&database).await;
        let before = crate::support::progress::number(&client, "SELECT count(*) FROM trades").await;
        wait_for_trades(&client, before + 500).await;
        let files = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
        drop(held);
        for path in ["/livez", "/markets.json", "/assets.json"] {
            assert_eq!(daemon.get(path).status, 200);
        }
        compare_published(&daemon, &client).await;
        assert!(!daemon.log().contains("Too many open files"), "{}", daemon.log());
        figure!(
            "with a low limit of open files the daemon ingests and answers, or says why it ends",
            "256, with {HELD} connections held: {files} open, no failure; below 200: exit 69 with the reason"
        );
    });
}
