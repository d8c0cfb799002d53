//! The log of the real program: its first line, and its filter at run time.

use serde_json::{Value, json};
use stellar_ticker::sim::FaultPlan;

use crate::support::{
    daemon::{Answer, Daemon, request},
    network::{PASSPHRASE, block_on, network},
    postgres::fresh_database,
    wait_until,
};

fn put(daemon: &Daemon, path: &str) -> Answer {
    request(daemon.admin, "PUT", path, "Content-Length: 0\r\n").unwrap()
}

#[test]
fn the_first_line_says_what_runs_on_what_without_the_password() {
    let sim = network(511, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let log = daemon.log();
        let first: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
        let fields = &first["fields"];
        assert_eq!(fields["message"], "starting");
        assert_eq!(fields["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(fields["network"], PASSPHRASE);
        assert_eq!(fields["horizon"], sim.url());
        let shown = fields["database"].as_str().unwrap();
        let name = shown.rsplit('/').next().unwrap();
        assert!(name.starts_with("test_") && database.contains(name), "{shown}");
        assert!(!shown.contains(['@', '=']), "{shown}");
        assert!(fields["data_dir"].as_str().unwrap().ends_with("/data"), "{fields}");
    });
}

#[test]
fn the_filter_changes_at_run_time_and_a_wrong_one_changes_nothing() {
    let sim = network(512, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        let is_debugged = |log: &str| log.contains("\"level\":\"DEBUG\"");
        assert!(!is_debugged(&daemon.log()));
        for (path, words) in [
            ("/log?filter=stellar_ticker%3Dloudly", "filter"),
            ("/log", "PUT /log?filter="),
            ("/log?level=debug", "PUT /log?filter="),
        ] {
            let refused = put(&daemon, path);
            assert_eq!(
                (refused.status, refused.header("content-type")),
                (400, Some("application/problem+json"))
            );
            assert!(refused.json()["detail"].as_str().unwrap().contains(words), "{path}: {}", refused.json());
        }
        assert!(!is_debugged(&daemon.log()), "a wrong filter changes nothing");
        assert_eq!(
            put(&daemon, "/log?filter=stellar_ticker=debug").json(),
            json!({"filter": "stellar_ticker=debug"})
        );
        wait_until("debug lines come", || is_debugged(&daemon.log()));
        assert_eq!(put(&daemon, "/log?filter=off").status, 200);
        let (before, made) = (daemon.log().len(), daemon.status()["as_of"].clone());
        wait_until("another publication", || daemon.status()["as_of"] != made);
        // Lines that were on their way when the filter changed may follow. None of a later publication does.
        let after = daemon.log()[before..].to_owned();
        assert!(after.matches("\"published\"").count() <= 1, "{after}");
    });
}
