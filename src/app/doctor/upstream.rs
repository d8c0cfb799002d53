//! Checks of what the daemon reads: Horizon, its clock and budget, and stellar.toml files.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Finding;
use crate::{
    actors::services::{horizon_settings, live_address, requires_toml},
    clock::{Clock, SystemClock},
    config::Config,
    domain::{instant::UnixSeconds, shown_url::shown_url},
    horizon::{
        HorizonClient,
        budget::RequestLimit,
        client::HorizonFacts,
        rate_limiter::RateLimiter,
        stellar_toml::{TomlClient, TomlError, TomlSettings},
        wire::Root,
    },
};

/// Time limit for Horizon's answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Difference of the clocks, in seconds, above which windows end at a wrong time.
const SKEW_S_MAX: i64 = 5;
/// Age in seconds of Horizon's newest ledger above which it lags. A ledger closes every 5 to 6 s.
const LAG_S_MAX: i64 = 60;
/// Requests per hour below which live trades alone may exhaust the budget: the stream reconnects, and pages follow it.
const BUDGET_MIN: u32 = 600;
/// A file that exists for years.
const WELL_KNOWN_FILE: &str = "https://stellar.org/.well-known/stellar.toml";
/// The check of the request budget.
const BUDGET: &str = "budget";
/// The checks of Horizon's answer.
const OF_ANSWER: [&str; 4] = ["horizon_network", "horizon_lag", "clock", "horizon_history"];

pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let (mut findings, file) = tokio::join!(horizon(config), stellar_toml(config));
    findings.push(file);
    findings
}

async fn horizon(config: &Config) -> Vec<Finding> {
    const NAME: &str = "horizon";
    let url = shown_url(&config.horizon_url);
    let client = match HorizonClient::new(horizon_settings(config), RateLimiter::new(0)) {
        Ok(client) => client,
        Err(error) => return unreachable(&format!("{url}: {error}"), "correct --horizon-url or --ca-file"),
    };
    match tokio::time::timeout(PATIENCE, client.examine()).await {
        Err(_) => unreachable(&format!("{url} did not answer within {} s", PATIENCE.as_secs()), REACH),
        Ok(Err(error)) => unreachable(&format!("{url}: {error}"), REACH),
        Ok(Ok(found)) => {
            let mut findings = vec![Finding::ok(NAME, format!("{url} answers"))];
            findings.extend(answered(config, &found, SystemClock.now()));
            findings
        }
    }
}

const REACH: &str = "check https://status.stellar.org, the URL (--horizon-url), DNS, firewall and proxy";

fn unreachable(detail: &str, remedy: &str) -> Vec<Finding> {
    let mut findings = vec![Finding::failure("horizon", detail, remedy)];
    findings.extend(OF_ANSWER.map(|name| Finding::skipped(name, "Horizon does not answer")));
    findings.push(Finding::skipped(BUDGET, "Horizon does not answer"));
    findings
}

fn answered(config: &Config, found: &HorizonFacts, now: DateTime<Utc>) -> Vec<Finding> {
    vec![
        network(&config.network_passphrase, &found.root),
        lag(found.root.history_latest_ledger_closed_at, now),
        clock(found.date, now),
        history(found),
        budget(config.horizon_requests_per_hour, found.request_limit, live_address(config).is_none()),
    ]
}

fn network(wanted: &str, root: &Root) -> Finding {
    const NAME: &str = "horizon_network";
    let served = root.shown_passphrase();
    if wanted == root.network_passphrase {
        return Finding::ok(NAME, format!("the network is {served:?}"));
    }
    let remedy = "give the Horizon of your network as --horizon-url, or its passphrase as --network";
    Finding::failure(NAME, format!("Horizon serves {served:?}, and --network wants {wanted:?}"), remedy)
}

fn lag(closed_at: Option<UnixSeconds>, now: DateTime<Utc>) -> Finding {
    const NAME: &str = "horizon_lag";
    let Some(closed_at) = closed_at else {
        return Finding::skipped(NAME, "Horizon does not name its newest ledger");
    };
    let age_s = now.timestamp().saturating_sub(closed_at.0);
    let detail = format!("its newest ledger closed {age_s} s ago");
    if age_s <= LAG_S_MAX {
        return Finding::ok(NAME, detail);
    }
    Finding::failure(
        NAME,
        detail,
        "wait until it has caught up, or use another Horizon; look at this machine's clock too",
    )
}

fn clock(date: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Finding {
    const NAME: &str = "clock";
    let Some(date) = date else { return Finding::skipped(NAME, "Horizon sends no Date") };
    let ahead_s = now.signed_duration_since(date).num_seconds();
    let detail = format!("this machine's clock is {ahead_s} s ahead of Horizon's");
    if ahead_s.abs() <= SKEW_S_MAX {
        return Finding::ok(NAME, detail);
    }
    Finding::failure(NAME, detail, "synchronise the clock: `timedatectl set-ntp true`, or chrony")
}

fn history(found: &HorizonFacts) -> Finding {
    const NAME: &str = "horizon_history";
    let (first, last) = (found.root.history_elder_ledger, found.root.history_latest_ledger);
    if last == 0 {
        let remedy = "wait until this Horizon has ingested ledgers, or use another one";
        return Finding::failure(NAME, "Horizon has no ledger", remedy);
    }
    Finding::ok(NAME, format!("Horizon has the ledgers {first} to {last}"))
}

/// `configured`: requests per hour, 0 for no limit. `stated`: the limit that Horizon's headers state. `is_live`: true
/// if new trades come from Horizon, false with a lake or an RPC.
fn budget(configured: u32, stated: Option<RequestLimit>, is_live: bool) -> Finding {
    let of_hour = match stated {
        Some(RequestLimit::PerHour(allowed)) => Some(allowed),
        Some(RequestLimit::Burst(_)) | None => None,
    };
    match (configured, stated, of_hour) {
        (0, None, _) => Finding::skipped(BUDGET, "Horizon sent no limit on requests"),
        (0, Some(_), None) => Finding::warning(
            BUDGET,
            "no limit is set, and Horizon limits requests",
            "set --horizon-requests-per-hour to what its operator allows, such as 3600",
        ),
        (0, Some(_), Some(allowed)) => above(allowed, "no limit is set".to_owned()),
        (many, _, Some(allowed)) if many > allowed => {
            above(allowed, format!("{many} requests per hour are set"))
        }
        (few, ..) if is_live && few < BUDGET_MIN => too_few(few),
        (_, _, Some(allowed)) => {
            Finding::ok(BUDGET, format!("{configured} requests per hour of {allowed} that Horizon allows"))
        }
        (_, Some(RequestLimit::Burst(burst)), _) => Finding::ok(
            BUDGET,
            format!("{configured} requests per hour; Horizon sent only its limit on a burst ({burst})"),
        ),
        _ => Finding::ok(BUDGET, format!("{configured} requests per hour; Horizon sent no limit")),
    }
}

fn above(allowed: u32, configured: String) -> Finding {
    Finding::warning(
        BUDGET,
        format!("{configured}, and Horizon allows {allowed} requests per hour"),
        format!("set --horizon-requests-per-hour {allowed}, or less if others share this address"),
    )
}

fn too_few(configured: u32) -> Finding {
    Finding::warning(
        BUDGET,
        format!("{configured} requests per hour may not suffice for live trades"),
        format!("raise --horizon-requests-per-hour to {BUDGET_MIN} or more"),
    )
}

async fn stellar_toml(config: &Config) -> Finding {
    const NAME: &str = "stellar_toml";
    let settings = TomlSettings { gateway: config.toml_gateway.clone(), ca_file: config.ca_file.clone() };
    let client = match TomlClient::new(settings) {
        Ok(client) => client,
        Err(error) => {
            return Finding::failure(NAME, error.to_string(), "correct --toml-gateway or --ca-file");
        }
    };
    match client.fetch(WELL_KNOWN_FILE).await {
        Err(error @ (TomlError::Connect(_) | TomlError::TimedOut)) => {
            let from = config.toml_gateway.as_deref().map_or(WELL_KNOWN_FILE.to_owned(), shown_url);
            unfetched(NAME, format!("{from}: {error}"), requires_toml(&config.network_passphrase))
        }
        _ => Finding::ok(NAME, "stellar.toml files can be fetched"),
    }
}

/// Returns the finding about files that cannot be fetched. On testnet assets are valid without them.
fn unfetched(name: &'static str, detail: String, is_required: bool) -> Finding {
    let remedy = "allow outgoing HTTPS to any host, or set --toml-gateway";
    if is_required {
        Finding::failure(name, detail, format!("{remedy}: without stellar.toml files no asset is valid"))
    } else {
        Finding::warning(name, detail, format!("{remedy}: assets lack what their stellar.toml files say"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::doctor::finding::Verdict,
        config::{PUBLIC_PASSPHRASE, TESTNET_PASSPHRASE},
        horizon::budget::Allowance,
    };

    #[test]
    fn a_clock_that_is_wrong_in_either_direction_is_found() {
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let verdict = |ahead: i64| clock(Some(now - chrono::TimeDelta::seconds(ahead)), now).verdict;
        assert_eq!([verdict(5), verdict(-5)], [Verdict::Ok; 2]);
        assert_eq!([verdict(6), verdict(-6)], [Verdict::Failure; 2]);
        assert_eq!(clock(None, now).verdict, Verdict::Skipped);
    }

    #[test]
    fn a_budget_above_horizons_limit_or_below_the_need_of_live_trades_is_found() {
        let hour = Some(RequestLimit::PerHour(3_600));
        for (configured, stated, verdict) in [
            (3_600, hour, Verdict::Ok),
            (3_601, hour, Verdict::Warning),
            (0, hour, Verdict::Warning),
            (599, hour, Verdict::Warning),
            (599, None, Verdict::Warning),
            (3_600, None, Verdict::Ok),
            (0, None, Verdict::Skipped),
        ] {
            assert_eq!(budget(configured, stated, true).verdict, verdict, "{configured} {stated:?}");
        }
    }

    #[test]
    fn a_small_budget_suffices_if_new_trades_come_from_a_lake() {
        let hour = Some(RequestLimit::PerHour(3_600));
        let verdict = |configured, is_live| budget(configured, hour, is_live).verdict;
        assert_eq!([verdict(100, false), verdict(100, true)], [Verdict::Ok, Verdict::Warning]);
        assert_eq!(verdict(3_601, false), Verdict::Warning, "Horizon refuses more, whatever they are for");
        assert_eq!(budget(100, None, false).verdict, Verdict::Ok);
    }

    #[test]
    fn files_that_cannot_be_fetched_are_a_failure_only_where_assets_need_them() {
        let verdict = |passphrase| unfetched("x", String::new(), requires_toml(passphrase)).verdict;
        assert_eq!(verdict(TESTNET_PASSPHRASE), Verdict::Warning);
        assert_eq!(verdict(PUBLIC_PASSPHRASE), Verdict::Failure);
    }

    #[test]
    fn the_burst_of_horizons_own_limiter_is_not_taken_for_a_limit_per_hour() {
        let stated = Allowance { limit: 101, remaining: 100, reset_s: 1 }.request_limit();
        assert_eq!(stated, RequestLimit::Burst(101));
        assert_eq!(budget(3_600, Some(stated), true).verdict, Verdict::Ok);
        assert_eq!(budget(599, Some(stated), true).verdict, Verdict::Warning);
        let unlimited = budget(0, Some(stated), true);
        assert_eq!(unlimited.verdict, Verdict::Warning);
        assert!(!unlimited.remedy.unwrap_or_default().contains("101"), "no advice to set the burst");
        let stated = Allowance { limit: 3_600, remaining: 3_599, reset_s: 3_600 }.request_limit();
        assert_eq!(stated, RequestLimit::PerHour(3_600));
    }

    #[test]
    fn a_horizon_that_lags_is_found() {
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        assert_eq!(lag(Some(UnixSeconds(999_940)), now).verdict, Verdict::Ok);
        assert_eq!(lag(Some(UnixSeconds(999_939)), now).verdict, Verdict::Failure);
    }
}
