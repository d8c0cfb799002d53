//! Checks of the data lake: manifest, newest ledger, its hashes, and its hash at Horizon.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Finding;
use crate::{
    actors::services::{horizon_settings, lake_settings},
    clock::{Clock, SystemClock},
    config::{Config, LakeVerify},
    domain::ledger_source::LedgerSource,
    horizon::{HorizonClient, rate_limiter::RateLimiter},
    lake::{Content, Lake, LakeAddress, LakeError, VerifiedLedger},
};

/// Time limit for the whole check.
const PATIENCE: Duration = Duration::from_secs(30);
/// Age in seconds of the newest ledger above which new trades from the lake come late.
const LAG_S_MAX: i64 = 60;
/// Ledgers of an object above which one of large ledgers may exceed what is read: 64 MB, or 256 MB decompressed.
const LEDGERS_PER_OBJECT_MAX: u32 = 128;
const SMALLER: &str = "write the lake with ledgers_per_file of 128 or less, see docs/lake.md";
/// Names of the checks of a lake or RPC: manifest, age, newest ledger and its hash at Horizon.
type Names = [&'static str; 4];
const OF_LAKE: Names = ["lake", "lake_lag", "lake_ledger", "lake_anchor"];
const OF_RPC: Names = ["rpc", "rpc_lag", "rpc_ledger", "rpc_anchor"];
const ADDRESS: &str =
    "correct --lake-url (the directory of the file .config.json) or --rpc-url, see docs/lake.md";
const REACH: &str = "look at the URL (--lake-url or --rpc-url), DNS, firewall and proxy";

/// Returns no finding without a lake or RPC.
pub(super) async fn check(config: &Config) -> Vec<Finding> {
    let sources = &config.sources;
    let lake = sources.lake_url.clone().map(|url| (OF_LAKE, LakeAddress::Lake(url)));
    let rpc = sources.rpc_url.clone().map(|url| (OF_RPC, LakeAddress::Rpc(url)));
    let mut findings = Vec::new();
    for (names, address) in lake.into_iter().chain(rpc) {
        findings.extend(check_address(config, names, address).await);
    }
    findings
}

async fn check_address(config: &Config, names: Names, address: LakeAddress) -> Vec<Finding> {
    let [name, ..] = names;
    let lake = match Lake::new(&lake_settings(config, address)) {
        Ok(lake) => lake,
        Err(error) => return unreadable(names, Finding::failure(name, error.to_string(), ADDRESS)),
    };
    let looked = tokio::time::timeout(PATIENCE, look(config, names, &lake)).await;
    looked.unwrap_or_else(|_| {
        let detail = format!("{} did not answer within {} s", lake.shown(), PATIENCE.as_secs());
        unreadable(names, Finding::failure(name, detail, REACH))
    })
}

async fn look(config: &Config, names: Names, lake: &Lake) -> Vec<Finding> {
    let [name, lag_name, ledger_name, hash_name] = names;
    let manifest = match lake.manifest().await {
        Ok(manifest) => manifest,
        Err(error) => return unreadable(names, failed(name, &error)),
    };
    let per_batch = manifest.ledgers_per_batch();
    let detail = format!("{} has objects of {per_batch} ledgers of this network", lake.shown());
    let sound = if per_batch > LEDGERS_PER_OBJECT_MAX {
        Finding::warning(name, format!("{detail}: large ledgers make them too large to be read"), SMALLER)
    } else {
        Finding::ok(name, detail)
    };
    let mut findings = vec![sound];
    match newest(config, ledger_name, lake).await {
        Err(finding) => {
            findings.push(finding);
            findings.extend([lag_name, hash_name].map(|name| Finding::skipped(name, "no ledger is known")));
        }
        Ok(ledger) => {
            findings.push(lag(lag_name, config.sources.live, &ledger, SystemClock.now()));
            let trades = ledger.trades.len();
            let detail = format!("ledger {} has {trades} trades, and its hashes agree", ledger.sequence);
            findings.push(Finding::ok(ledger_name, detail));
            findings.push(check_hash(hash_name, config, &ledger).await);
        }
    }
    findings
}

fn unreadable(names: Names, first: Finding) -> Vec<Finding> {
    let mut findings = vec![first];
    findings.extend(names.into_iter().skip(1).map(|name| Finding::skipped(name, "it cannot be read")));
    findings
}

fn failed(name: &'static str, error: &LakeError) -> Finding {
    Finding::failure(name, error.to_string(), if error.is_of_configuration() { ADDRESS } else { REACH })
}

/// Returns the newest ledger of the lake, verified.
async fn newest(config: &Config, name: &'static str, lake: &Lake) -> Result<VerifiedLedger, Finding> {
    let hint = match client(config) {
        Some(client) => client.root().await.ok().map(|root| root.history_latest_ledger),
        None => None,
    };
    let tip = lake.newest(hint).await.map_err(|error| failed(name, &error))?;
    let batch = lake.read(tip).await.map_err(|error| failed(name, &error))?;
    let refused = |reason: &str| {
        let remedy = "ask who runs the lake; such ledgers are read from Horizon";
        Finding::failure(name, format!("ledger {tip} is refused: {reason}"), remedy)
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

fn lag(name: &'static str, live: LedgerSource, ledger: &VerifiedLedger, now: DateTime<Utc>) -> Finding {
    let age_s = now.timestamp().saturating_sub(ledger.closed_at.0);
    let detail = format!("its newest ledger {} closed {age_s} s ago", ledger.sequence);
    if age_s <= LAG_S_MAX {
        return Finding::ok(name, detail);
    }
    match live {
        LedgerSource::Lake | LedgerSource::Rpc => {
            let remedy = "new trades come that late: set --live-from horizon, or run a Galexie of your own";
            Finding::failure(name, detail, remedy)
        }
        LedgerSource::Horizon => Finding::ok(name, format!("{detail}; new trades come from Horizon")),
    }
}

async fn check_hash(name: &'static str, config: &Config, ledger: &VerifiedLedger) -> Finding {
    if config.sources.lake_verify != LakeVerify::Anchor {
        return Finding::skipped(name, "--lake-verify does not ask for it");
    }
    let Some(client) = client(config) else { return Finding::skipped(name, "Horizon cannot be asked") };
    match client.ledger_hash(ledger.sequence).await {
        Err(_) => Finding::skipped(name, "Horizon does not answer"),
        Ok(None) => Finding::skipped(name, format!("Horizon does not have ledger {}", ledger.sequence)),
        Ok(Some(hash)) if hash == ledger.hash.to_string() => {
            Finding::ok(name, format!("ledger {} has the same hash at Horizon", ledger.sequence))
        }
        Ok(Some(_)) => {
            let detail = format!("ledger {} has another hash at Horizon", ledger.sequence);
            Finding::failure(name, detail, "do not use this lake, or check --horizon-url")
        }
    }
}

fn client(config: &Config) -> Option<HorizonClient> {
    HorizonClient::new(horizon_settings(config), RateLimiter::new(0)).ok()
}
