//! Alerts on the age of data. The daemon's clock is moved instead of waiting for hours.

use super::*;
use crate::support::false_clock::FalseClock;

/// A clock to move. Without it these alerts would be tested nowhere.
fn false_clock() -> FalseClock {
    FalseClock::new().expect("libfaketime of Debian's package faketime: ./ticker need faketime")
}

#[test]
fn a_leader_without_trades() {
    let clock = false_clock();
    let sim = network(561, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve_in(&clock.environment(), &sim.url(), &database, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        let is_fresh = |name: &str| figure(&daemon, name, "").is_some_and(|age| age < 60.0);
        wait_until("trades are published", || {
            is_fresh("ticker_newest_trade_age_seconds") && is_fresh("ticker_newest_commit_age_seconds")
        });
        let sound = sound(&daemon, &["TickerDataOld", "TickerCommitsStopped"]);
        sim.stop();
        // A trade that is still on its way would be new by the clock that is put forward. A session of the stream has
        // stored its trades when it ends.
        wait_until("the last trade is committed and published", || {
            let all = scrape(&daemon);
            let is = |name: &str, wanted: fn(f64) -> bool| figure_in(&all, name, "").is_some_and(wanted);
            is("ticker_stream_connected", |connected| connected == 0.0)
                && is("ticker_newest_trade_age_seconds", |age| age > 3.0)
                && is("ticker_newest_commit_age_seconds", |age| age > 3.0)
        });
        clock.set("+3600");
        let mut broken = BTreeMap::new();
        wait_until("no trade came for an hour, and it leads", || {
            broken = scrape(&daemon);
            let figure = |name: &str| figure_in(&broken, name, "").unwrap_or_default();
            // At a full hour the leader counts accounts. That is a commit without trades.
            figure("ticker_newest_trade_age_seconds") > 3_000.0
                && figure("ticker_newest_commit_age_seconds") > 3_000.0
                && figure("ticker_leader") > 0.0
        });
        assert!(fires("TickerDataOld", &sound, &broken));
        assert!(fires("TickerCommitsStopped", &sound, &broken));
    });
}

#[test]
fn publications_files_and_audits_that_stop() {
    let clock = false_clock();
    let sim = network(562, FaultPlan::none());
    block_on(async {
        let server = OwnPostgres::start();
        let daemon = Daemon::serve_in(&clock.environment(), &sim.url(), &server.url, PASSPHRASE, &[]);
        daemon.wait_for_publication();
        wait_until("files are written", || {
            figure(&daemon, "ticker_files_age_seconds", "").is_some_and(|age| age < 60.0)
        });
        daemon.wait_for_audit();
        let sound = sound(&daemon, &["TickerPublicationOld", "TickerFilesOld", "TickerAuditStopped"]);
        // An aggregator that restarts publishes nothing until it has read the database.
        server.stop();
        daemon.provoke("aggregator", "Ping");
        wait_until("it restarted", || {
            figure(&daemon, "ticker_actor_restarts_total", "\"aggregator\"") >= Some(1.0)
        });
        clock.set("+14400");
        let is_old = |name: &str| figure(&daemon, name, "").is_some_and(|age| age > 14_000.0);
        let ages =
            ["ticker_publication_age_seconds", "ticker_files_age_seconds", "ticker_audit_pass_age_seconds"];
        for age in ages {
            wait_until(age, || is_old(age));
        }
        let broken = scrape(&daemon);
        assert!(fires("TickerPublicationOld", &sound, &broken));
        assert!(fires("TickerFilesOld", &sound, &broken));
        assert!(fires("TickerAuditStopped", &sound, &broken));
    });
}
