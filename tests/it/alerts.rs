//! Alerts on the metrics of a real daemon in which something breaks: promtool runs the rules
//! on what it shows before and after.

mod aged;
mod data;
mod processes;
mod readers;

use std::{collections::BTreeMap, fmt::Write as _, fs, process::Command};

use nix::sys::signal::Signal;
use stellar_ticker::sim::FaultPlan;

use crate::support::{
    SHORT_GRACE,
    daemon::{Daemon, request},
    network::{PASSPHRASE, block_on, network},
    own_postgres::OwnPostgres,
    postgres::{fresh_database, open_tempdir},
    scripted::{LEDGER, scripted, trade},
    small_disk::SmallDisk,
    wait_until,
};

/// Minutes that the broken state lasts for the rules.
const MINUTES: u32 = 90;

/// The rules that operators get.
const RULES: &str = include_str!("../../deploy/prometheus/alerts.yml");

/// Series and values of a daemon's metrics, as Prometheus labels what it scrapes.
fn scrape(daemon: &Daemon) -> BTreeMap<String, String> {
    scrape_as("a", daemon)
}

fn scrape_as(instance: &str, daemon: &Daemon) -> BTreeMap<String, String> {
    let text = String::from_utf8(daemon.admin("/metrics").body).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let comma = if labels == "}" { "" } else { "," };
            let labels = format!("job=\"stellar-ticker\",instance=\"{instance}\"{comma}{labels}");
            (format!("{name}{{{labels}"), value.to_owned())
        })
        .collect()
}

/// Metrics of a daemon on which none of these alerts fires. Just after its start, it may be busy for a moment:
/// its pool is in use, or a mailbox is full.
fn sound(daemon: &Daemon, alerts: &[&str]) -> BTreeMap<String, String> {
    let mut sound = BTreeMap::new();
    wait_until(&format!("none of {alerts:?} fires on a sound daemon"), || {
        sound = scrape(daemon);
        !alerts.iter().any(|alert| fires(alert, &sound, &sound))
    });
    sound
}

/// Value of a series of [`scrape`] by its name and one label; none if it is not there.
fn figure(daemon: &Daemon, name: &str, label: &str) -> Option<f64> {
    figure_in(&scrape(daemon), name, label)
}

fn figure_in(all: &BTreeMap<String, String>, name: &str, label: &str) -> Option<f64> {
    let (_, value) =
        all.iter().find(|(series, _)| series.starts_with(&format!("{name}{{")) && series.contains(label))?;
    value.parse().ok()
}

/// Returns true if the alert fires on [`MINUTES`] of series that are made of two looks at a daemon. Gauges keep the
/// value of `after`. Counters grow each minute by the difference, as if it happened again: this shows that the rule
/// names the right series. `alerts_test.yml` tests its threshold and its times.
fn fires(alert: &str, before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> bool {
    let series = after.iter().map(|(series, now)| {
        let then = before.get(series).unwrap_or(now);
        let name = series.split('{').next().unwrap();
        let values = if ["_total", "_bucket", "_count", "_sum"].iter().any(|suffix| name.ends_with(suffix)) {
            let number = |text: &str| text.parse::<f64>().unwrap();
            format!("{then}+{}x{MINUTES}", number(now) - number(then))
        } else {
            format!("{then} {now}x{MINUTES}")
        };
        (series.clone(), values)
    });
    fires_on(alert, series)
}

/// Returns true if the alert fires after [`MINUTES`] of these series, each with its values by minute as promtool spells
/// them. promtool gets only the series that the alert names: it takes seconds for all of them.
fn fires_on(alert: &str, series: impl IntoIterator<Item = (String, String)>) -> bool {
    fires_with(alert, RULES, series)
}

/// As [`fires_on`], by the text of a file of rules: for an alert whose threshold no test can reach.
fn fires_with(alert: &str, rules: &str, series: impl IntoIterator<Item = (String, String)>) -> bool {
    let directory = open_tempdir();
    let rules_file = directory.path().join("alerts.yml");
    fs::write(&rules_file, rules).unwrap();
    let rule = rule(alert);
    let mut test = format!(
        "rule_files:\n  - {}\nevaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:\n",
        rules_file.display()
    );
    for (series, values) in series.into_iter().filter(|(series, _)| is_named(rule, series)) {
        writeln!(test, "      - series: '{series}'\n        values: '{values}'").unwrap();
    }
    write!(
        test,
        "    promql_expr_test:\n      - expr: min(ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}})\n        \
         eval_time: {MINUTES}m\n        exp_samples:\n          - labels: '{{}}'\n            value: 1\n"
    )
    .unwrap();
    let file = directory.path().join("test.yml");
    fs::write(&file, test).unwrap();
    let output = Command::new("promtool").args(["test", "rules"]).arg(&file).output();
    let output = output.expect("promtool of Debian's package prometheus: ./ticker need promtool");
    let messages = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let is_answer = output.status.success() || messages.contains("got:");
    assert!(is_answer, "promtool does not run the rules: {messages}");
    output.status.success()
}

/// Text of an alert's rule.
fn rule(alert: &str) -> &'static str {
    let mut of_alert = RULES.split("- alert: ").filter(|rule| rule.lines().next() == Some(alert));
    of_alert.next().unwrap_or_else(|| panic!("no alert {alert}"))
}

/// Returns true if a rule names the metric of a series.
fn is_named(rule: &str, series: &str) -> bool {
    let metric = series.split('{').next().unwrap();
    let mut words = rule.split(|at: char| !at.is_alphanumeric() && at != '_');
    words.any(|word| word == metric)
}

#[test]
fn every_alert_is_made_to_fire_by_a_test() {
    let tests = [
        include_str!("alerts.rs"),
        include_str!("alerts/aged.rs"),
        include_str!("alerts/data.rs"),
        include_str!("alerts/processes.rs"),
        include_str!("alerts/readers.rs"),
    ];
    let alerts = RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    for alert in alerts {
        assert!(tests.iter().any(|test| is_made_to_fire(test, alert)), "{alert}");
    }
}

/// Returns true if the text of a test asks whether the alert fires. That it does not is no answer.
fn is_made_to_fire(test: &str, alert: &str) -> bool {
    ["fires(", "fires_on(", "fires_with("].iter().any(|call| {
        let call = format!("{call}\"{alert}\"");
        test.match_indices(&call).any(|(at, _)| !test[..at].ends_with('!'))
    })
}

#[test]
fn an_alert_that_is_only_named_or_only_quiet_is_not_made_to_fire() {
    for (text, expected) in [
        ("assert!(fires(#, &before, &after));", true),
        ("fires_on(#, series)", true),
        ("fires_with(#, &rules, series)", true),
        ("assert!(!fires(#, &before, &after));", false),
        ("assert!(!fires_on(#, []));", false),
        ("sound(&daemon, &[#]);", false),
    ] {
        let text = text.replace('#', "\"TickerOld\"");
        assert_eq!(is_made_to_fire(&text, "TickerOld"), expected, "{text}");
    }
}

#[test]
fn no_target() {
    assert!(fires_on("TickerAbsent", []));
    assert!(!fires_on("TickerAbsent", [("up{job=\"stellar-ticker\"}".to_owned(), format!("0x{MINUTES}"))]));
}

#[test]
fn a_lost_horizon_and_a_restarted_actor() {
    let sim = network(531, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let mut daemon = Daemon::serve_in(&[SHORT_GRACE], &sim.url(), &database, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        wait_until("all is well", || {
            daemon.get("/readyz").json()["status"] == "ok"
                && figure(&daemon, "ticker_degraded", "") == Some(0.0)
        });
        daemon.wait_for_audit();
        wait_until("files are written", || {
            figure(&daemon, "ticker_files_age_seconds", "").is_some_and(|age| age < 60.0)
        });
        let quiet = [
            "TickerNotReady",
            "TickerDegraded",
            "TickerHorizonUnreachable",
            "TickerStreamDisconnected",
            "TickerActorRestarts",
            "TickerNoLeader",
            "TickerAuditDifferences",
            "TickerQuarantine",
            "TickerPublicationOld",
            "TickerDiskLow",
        ];
        let sound = sound(&daemon, &quiet);
        for restarts in 1..=4 {
            daemon.provoke("cleaner", "Ping");
            wait_until("it restarted", || {
                figure(&daemon, "ticker_actor_restarts_total", "\"cleaner\"") >= Some(f64::from(restarts))
            });
            wait_until("it runs again", || figure(&daemon, "ticker_actor_up", "\"cleaner\"") == Some(1.0));
        }
        assert!(fires("TickerActorRestarts", &sound, &scrape(&daemon)));
        sim.stop();
        wait_until("the check of Horizon fails", || {
            figure(&daemon, "ticker_readiness_check", "\"horizon\"") == Some(0.0)
                && figure(&daemon, "ticker_stream_connected", "") == Some(0.0)
        });
        let broken = scrape(&daemon);
        assert!(fires("TickerHorizonUnreachable", &sound, &broken));
        assert!(fires("TickerStreamDisconnected", &sound, &broken));
        assert!(fires("TickerDegraded", &sound, &broken));
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.wait().code(), Some(0));
    });
}

#[test]
fn no_files_no_budget_and_no_publication() {
    let sim = network(532, FaultPlan::none());
    block_on(async {
        // Nothing is published while the budget lets no asset be looked up.
        let (never, database) = (("TICKER_CHAOS_FIRST_PUBLICATION_MS", "3600000"), fresh_database().await);
        let starving = ["--horizon-requests-per-hour", "1"];
        let daemon = Daemon::serve_in(&[never], &sim.url(), &database, PASSPHRASE, &starving);
        wait_until("requests for live trades wait", || {
            figure(&daemon, "ticker_horizon_budget_exhausted", "") == Some(1.0)
        });
        let starved = scrape(&daemon);
        assert!(fires("TickerBudgetExhausted", &starved, &starved));
        for _ in 0..20 {
            assert_eq!(daemon.get("/markets.json").status, 503);
        }
        let asked = scrape(&daemon);
        assert!(fires("TickerNotReady", &asked, &asked));
        assert!(fires("TickerHttpErrors", &starved, &asked));
        drop(daemon);
        let place = open_tempdir();
        let output = place.path().join("www");
        fs::write(&output, "a file where the directory should be").unwrap();
        let more = ["--output-dir", output.to_str().unwrap()];
        let daemon = Daemon::serve(&sim.url(), &fresh_database().await, PASSPHRASE, &more);
        wait_until("the first publication cannot be written", || {
            figure(&daemon, "ticker_readiness_check", "\"files\"") == Some(0.0)
        });
        let unwritten = scrape(&daemon);
        assert!(fires("TickerDegraded", &unwritten, &unwritten));
    });
}

#[test]
fn a_small_disk_and_an_actor_in_backoff() {
    let sim = network(533, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let disk = SmallDisk::mount("64m");
        let place = open_tempdir();
        let output = disk.as_ref().map_or(place.path(), SmallDisk::path).join("www");
        let more = ["--output-dir", output.to_str().unwrap()];
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &more);
        wait_until("the disks were looked at", || {
            figure(&daemon, "ticker_disk_free_bytes", "\"output\"").is_some_and(|bytes| bytes > 0.0)
        });
        let mut sound = BTreeMap::new();
        wait_until("every actor is up", || {
            sound = scrape(&daemon);
            !fires("TickerActorDown", &sound, &sound)
        });
        if let Some(disk) = &disk {
            assert!(fires("TickerDiskLow", &sound, &sound));
            let mut check = serde_json::Value::Null;
            wait_until("the check of the disks fails", || {
                check = daemon.get("/readyz").json()["checks"]["disk"].clone();
                check["ok"] == false
            });
            let detail = check["detail"].as_str().unwrap();
            assert!(detail.contains(disk.path().to_str().unwrap()), "{check}");
        }
        // The second exit in a row is followed by a pause.
        let (mut down, series) = (
            BTreeMap::new(),
            sound
                .keys()
                .find(|series| series.starts_with("ticker_actor_up{") && series.contains("\"cleaner\"")),
        );
        wait_until("the cleaner is down", || {
            let _ = request(daemon.admin, "POST", "/provoke/cleaner/Ping", "Content-Length: 0\r\n");
            down = scrape(&daemon);
            down.get(series.unwrap()).is_some_and(|up| up == "0")
        });
        assert!(fires("TickerActorDown", &sound, &down));
    });
}

#[test]
fn a_record_in_quarantine_and_a_lost_database() {
    let (sim, source) = scripted();
    block_on(async {
        let server = OwnPostgres::start();
        let daemon = Daemon::serve(&sim.url(), &server.url, PASSPHRASE, &[]);
        wait_until("it leads, with a stream", || {
            figure(&daemon, "ticker_leader", "") == Some(1.0)
                && figure(&daemon, "ticker_stream_connected", "") == Some(1.0)
        });
        let sound = sound(&daemon, &["TickerQuarantine", "TickerDatabaseLost", "TickerNoLeader"]);
        let mut record = trade(LEDGER + 1, 0, chrono::Utc::now());
        record["base_amount"] = "-1.0".into();
        source.push_trade(record).unwrap();
        wait_until("it is in quarantine", || figure(&daemon, "ticker_quarantined_total", "") >= Some(1.0));
        assert!(fires("TickerQuarantine", &sound, &scrape(&daemon)));
        server.stop();
        wait_until("the database is missed, and the lease has ended", || {
            figure(&daemon, "ticker_readiness_check", "\"database\"") == Some(0.0)
                && figure(&daemon, "ticker_leader", "") == Some(0.0)
        });
        let broken = scrape(&daemon);
        assert!(fires("TickerDatabaseLost", &sound, &broken));
        assert!(fires("TickerNoLeader", &sound, &broken));
    });
}
