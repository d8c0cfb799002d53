//! Checks of the data lake: manifest, newest ledger, its hashes, and its hash at Horizon.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Finding;
use crate::{
    actors::services::{horizon_settings, lake_settings},
    clock::{Clock, SystemClock},
    config::{Config, LakeVerify, LedgerSource},
    horizon::{HorizonClient, rate_limiter::RateLimiter},
    lake::{Content, Lake, LakeError, VerifiedLedger},
};

/// Time limit for the whole check.
const PATIENCE: Duration = Duration::from_secs(30);
/// Age in seconds of the newest ledger above which new trades from the lake come late.
const LAG_S_MAX: i64 = 60;
/// The checks of the lake's newest ledger.
const OF_LEDGER: [&str; 3] = ["lake_lag", "lake_ledger", "lake_anchor"];
const PLACE: &str = "correct --lake-url: it is the place of the file .config.json, see docs/lake.md";
const REACH: &str = "look at the URL (--lake-url), DNS, firewall and proxy";

/// Returns no finding without a lake.
pub(super) async fn check(config: &Config) -> Vec<Finding> {
    const NAME: &str = "lake";
    let Some(settings) = lake_settings(config) else { return Vec::new() };
    let lake = match Lake::new(&settings) {
        Ok(lake) => lake,
        Err(error) => return unreadable(Finding::failure(NAME, error.to_string(), PLACE)),
    };
    let looked = tokio::time::timeout(PATIENCE, look(config, &lake)).await;
    looked.unwrap_or_else(|_| {
        let detail = format!("{} did not answer within {} s", lake.shown(), PATIENCE.as_secs());
        unreadable(Finding::failure(NAME, detail, REACH))
    })
}

async fn look(config: &Config, lake: &Lake) -> Vec<Finding> {
    const NAME: &str = "lake";
    let manifest = match lake.manifest().await {
        Ok(manifest) => manifest,
        Err(error) => return unreadable(failed(NAME, &error)),
    };
    let per_batch = manifest.ledgers_per_batch();
    let detail = format!("{} has objects of {per_batch} ledgers of this network", lake.shown());
    let mut findings = vec![Finding::ok(NAME, detail)];
    match newest(config, lake).await {
        Err(finding) => {
            findings.push(finding);
            findings
                .extend(["lake_lag", "lake_anchor"].map(|name| Finding::skipped(name, "no ledger is known")));
        }
        Ok(ledger) => {
            findings.push(lag(config.sources.live, &ledger, SystemClock.now()));
            let detail = format!(
                "ledger {} has {} trades, and its hashes agree",
                ledger.sequence,
                ledger.trades.len()
            );
            findings.push(Finding::ok("lake_ledger", detail));
            findings.push(anchor(config, &ledger).await);
        }
    }
    findings
}

fn unreadable(first: Finding) -> Vec<Finding> {
    let mut findings = vec![first];
    findings.extend(OF_LEDGER.map(|name| Finding::skipped(name, "the lake cannot be read")));
    findings
}

fn failed(name: &'static str, error: &LakeError) -> Finding {
    Finding::failure(name, error.to_string(), if error.is_of_configuration() { PLACE } else { REACH })
}

/// Returns the newest ledger of the lake, verified.
async fn newest(config: &Config, lake: &Lake) -> Result<VerifiedLedger, Finding> {
    const NAME: &str = "lake_ledger";
    let hint = match client(config) {
        Some(client) => client.root().await.ok().map(|root| root.history_latest_ledger),
        None => None,
    };
    let tip = lake.newest(hint).await.map_err(|error| failed(NAME, &error))?;
    let batch = lake.read(tip).await.map_err(|error| failed(NAME, &error))?;
    let refused = |reason: &str| {
        let remedy = "ask who runs the lake; such ledgers are read from Horizon";
        Finding::failure(NAME, format!("ledger {tip} is refused: {reason}"), remedy)
    };
    match batch.content {
        Content::Missing => Err(refused("it is missing now")),
        Content::Unreadable(reason) => Err(refused(&reason)),
        Content::Ledgers(mut ledgers) => match ledgers.pop() {
            Some(Ok(ledger)) => Ok(ledger),
            Some(Err(error)) => Err(refused(&error.reason)),
            None => Err(refused("its object is empty")),
        },
    }
}

fn lag(live: LedgerSource, ledger: &VerifiedLedger, now: DateTime<Utc>) -> Finding {
    const NAME: &str = "lake_lag";
    let age_s = now.timestamp().saturating_sub(ledger.closed_at.0);
    let detail = format!("its newest ledger {} closed {age_s} s ago", ledger.sequence);
    if age_s <= LAG_S_MAX {
        return Finding::ok(NAME, detail);
    }
    match live {
        LedgerSource::Lake => {
            let remedy = "new trades come that late: set --live-from horizon, or run a Galexie of your own";
            Finding::failure(NAME, detail, remedy)
        }
        LedgerSource::Horizon => Finding::ok(NAME, format!("{detail}; new trades come from Horizon")),
    }
}

async fn anchor(config: &Config, ledger: &VerifiedLedger) -> Finding {
    const NAME: &str = "lake_anchor";
    if config.sources.lake_verify != LakeVerify::Anchor {
        return Finding::skipped(NAME, "--lake-verify does not ask for it");
    }
    let Some(client) = client(config) else { return Finding::skipped(NAME, "Horizon cannot be asked") };
    match client.ledger_hash(ledger.sequence).await {
        Err(_) => Finding::skipped(NAME, "Horizon does not answer"),
        Ok(None) => Finding::skipped(NAME, format!("Horizon does not have ledger {}", ledger.sequence)),
        Ok(Some(hash)) if hash == ledger.hash.to_string() => {
            Finding::ok(NAME, format!("ledger {} has the same hash at Horizon", ledger.sequence))
        }
        Ok(Some(_)) => {
            let detail = format!("ledger {} has another hash at Horizon", ledger.sequence);
            Finding::failure(NAME, detail, "do not use this lake, or check --horizon-url")
        }
    }
}

fn client(config: &Config) -> Option<HorizonClient> {
    HorizonClient::new(horizon_settings(config), RateLimiter::new(0)).ok()
}
