//! Broken set-ups of Horizon, clocks, budget and stellar.toml.

use chrono::TimeDelta;

use super::*;
use crate::support::false_clock::library;

/// Nothing listens there.
const NOBODY: &str = "http://127.0.0.1:1";

#[test]
fn a_horizon_and_a_gateway_that_cannot_be_reached() {
    block_on(async {
        let mut setup = Setup::new().await;
        (setup.horizon, setup.gateway) = (NOBODY.into(), NOBODY.into());
        let found = setup.run();
        found.assert("horizon", "failure", "127.0.0.1:1");
        found.assert("stellar_toml", "failure", "127.0.0.1:1");
        for skipped in ["horizon_network", "horizon_lag", "clock", "horizon_history", "budget"] {
            assert_eq!(found.check(skipped)["status"], "skipped", "{skipped}");
        }
    });
}

#[test]
fn a_horizon_of_another_network_that_lags_and_is_empty() {
    block_on(async {
        let setup = Setup::new().await;
        let minutes = TimeDelta::minutes(10);
        setup._horizon.set_horizon("Another network", minutes, TimeDelta::zero(), 3_600, 0);
        let found = setup.run();
        found.assert("horizon_network", "failure", "Another network");
        found.assert("horizon_lag", "failure", "closed 60");
        found.assert("horizon_history", "failure", "no ledger");
    });
}

#[test]
fn a_clock_that_differs_from_horizons() {
    block_on(async {
        let setup = Setup::new().await;
        setup._horizon.set_horizon(PASSPHRASE, TimeDelta::zero(), TimeDelta::hours(1), 3_600, 100);
        setup.run().assert("clock", "failure", "ahead of Horizon's");
    });
}

/// libfaketime puts the clock of the program alone an hour ahead.
#[test]
fn a_clock_that_differs_from_the_databases_and_horizons() {
    let Some(library) = library() else { return };
    block_on(async {
        let mut setup = Setup::new().await;
        setup.environment = vec![
            ("LD_PRELOAD", library.to_str().unwrap().into()),
            ("FAKETIME", "+1h".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ];
        let found = setup.run();
        // An hour, less the time that the answer took.
        found.assert("database_clock", "warning", "the server's clock is -3");
        found.assert("clock", "failure", "ahead of Horizon's");
    });
}

#[test]
fn a_budget_above_the_limit_of_horizon() {
    block_on(async {
        let setup = Setup::new().await;
        setup._horizon.set_horizon(PASSPHRASE, TimeDelta::zero(), TimeDelta::zero(), 3_000, 100);
        setup.run().assert("budget", "warning", "3600 requests per hour are set, and Horizon allows 3000");
        // A real Horizon states its burst.
        setup._horizon.set_horizon(PASSPHRASE, TimeDelta::zero(), TimeDelta::zero(), 101, 100);
        let found = setup.run();
        let budget = found.check("budget");
        assert_eq!(budget["status"], "ok", "{budget}");
        assert!(budget["detail"].as_str().unwrap().contains("its limit on a burst (101)"), "{budget}");
    });
}

#[test]
fn a_horizon_that_redirects_is_reported_with_the_place_it_leads_to() {
    block_on(async {
        let setup = Setup::new().await;
        for status in [301, 302, 307, 308] {
            let location = "Location: https://user:secret@horizon.example/\r\n";
            setup._horizon.set("/", status, location, &serde_json::json!({}));
            let found = setup.run();
            found.assert("horizon", "failure", "redirects to https://");
            let detail = found.check("horizon")["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains("horizon.example") && !detail.contains("secret"), "{detail}");
        }
    });
}
