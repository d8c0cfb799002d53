//! The metrics of the real program.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use stellar_ticker::{
    instruments::{Kind, table},
    sim::FaultPlan,
};

use crate::support::{
    daemon::Daemon,
    network::{PASSPHRASE, block_on, network},
    postgres::fresh_database,
    wait_until,
};

fn metrics(daemon: &Daemon) -> String {
    String::from_utf8(daemon.admin("/metrics").body).unwrap()
}

/// Value of a series, written as in the text.
fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// Runs `promtool check metrics`. Returns its messages, or none if it finds nothing.
fn lint(text: &str) -> Option<String> {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool of Debian's package prometheus: ./ticker need promtool");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let messages = [output.stdout, output.stderr].concat();
    let messages = String::from_utf8_lossy(&messages).into_owned();
    (!output.status.success() || !messages.is_empty()).then_some(messages)
}

#[test]
fn every_series_is_there_and_promtool_finds_no_fault() {
    let sim = network(501, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_until("the gauges are polled", || metrics(&daemon).contains("ticker_actor_up{"));
        let text = metrics(&daemon);
        assert_eq!(lint(&text), None, "{text}");
        for metric in table::all() {
            let suffix = if matches!(metric.kind, Kind::Histogram(_)) { "_count" } else { "" };
            let series = format!("\n{}{suffix}", metric.name);
            let is_series = |rest: &str| rest.starts_with([' ', '{']);
            let is_there = text.match_indices(&series).any(|(at, _)| is_series(&text[at + series.len()..]));
            assert!(is_there, "{} has no series:\n{text}", metric.name);
        }
        for actor in daemon.actors() {
            for name in ["ticker_actor_up", "ticker_actor_restarts_total", "ticker_actor_busy_seconds_total"]
            {
                assert!(value(&text, &format!("{name}{{actor=\"{actor}\"}}")).is_some(), "{name} {actor}");
            }
        }
        for path in ["/markets.json", "/readyz", "/graphql", "none"] {
            let series = format!("ticker_http_response_bytes_total{{path=\"{path}\"}}");
            assert!(value(&text, &series).is_some(), "{series}");
        }
        let broken = text.replace("ticker_cleaned_partitions_total", "ticker_cleaned_days_total");
        assert!(lint(&broken).unwrap().contains("ticker_cleaned_days_total"), "the lint is awake");
    });
}

#[test]
fn figures_follow_what_the_daemon_does() {
    let sim = network(502, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        wait_until("all parts work", || {
            let text = metrics(&daemon);
            let is_1 = |name: &str| value(&text, name) == Some(1.0);
            is_1("ticker_leader")
                && is_1("ticker_ready")
                && is_1("ticker_stream_connected")
                && is_1("ticker_horizon_up")
                && is_1("ticker_actor_up{actor=\"aggregator\"}")
        });
        let message = "{actor=\"aggregator\",message=\"TradesCommitted\"}";
        wait_until("messages and requests are measured", || {
            daemon.get("/markets.json");
            let text = metrics(&daemon);
            let is_counted = |name: &str| value(&text, name).is_some_and(|value| value > 0.0);
            is_counted(&format!("ticker_actor_waiting_seconds_count{message}"))
                && is_counted(&format!("ticker_actor_handling_seconds_count{message}"))
                && is_counted("ticker_http_request_seconds_count{path=\"/markets.json\"}")
                && is_counted("ticker_http_response_bytes_total{path=\"/markets.json\"}")
                && is_counted("ticker_actor_busy_seconds_total{actor=\"aggregator\"}")
                && is_counted("process_cpu_seconds_total")
                && is_counted("process_resident_memory_bytes")
                && is_counted("ticker_database_pool_connections")
                && is_counted("ticker_disk_free_bytes{directory=\"data\"}")
        });
        assert_eq!(daemon.get("/graphql?query={").status, 200);
        assert_eq!(daemon.post("/graphql", "Content-Type: application/json\r\n", b"[]").status, 400);
        let refused = "ticker_graphql_refused_total{reason=\"request\"}";
        assert_eq!(value(&metrics(&daemon), refused), Some(1.0));
        // The newest trade is a few seconds old, although the process may be older.
        wait_until("ages are those of the data", || {
            let text = metrics(&daemon);
            ["trade_age", "commit_age"].iter().all(|name| {
                value(&text, &format!("ticker_newest_{name}_seconds")).is_some_and(|age| age < 30.0)
            }) && value(&text, "ticker_files_age_seconds").is_some_and(|age| age < 30.0)
        });
        sim.stop();
        wait_until("the loss of Horizon shows", || {
            let text = metrics(&daemon);
            value(&text, "ticker_stream_connected") == Some(0.0)
                && value(&text, "ticker_horizon_up") == Some(0.0)
                && value(&text, "ticker_readiness_check{check=\"horizon\"}") == Some(0.0)
                && value(&text, "ticker_stream_reconnects_total").is_some_and(|count| count > 0.0)
        });
    });
}
