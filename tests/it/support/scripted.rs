//! A simulated Horizon that serves exactly the records that a test pushes: trades of XLM for TEA.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use stellar_ticker::sim::{FaultPlan, FixedSource, SimConfig, SimServer, TomlReply};

use super::{
    daemon::Daemon,
    network::{PASSPHRASE, horizon},
    postgres::fresh_database,
    wait_until,
};

/// The newest ledger at the start.
pub(crate) const LEDGER: u32 = 60_000_000;
/// Trades of [`scene`], one in each ledger after [`LEDGER`].
pub(crate) const TRADES: u32 = 12;

pub(crate) fn address(byte: u8) -> String {
    stellar_strkey::ed25519::PublicKey([byte; 32]).to_string().as_str().to_owned()
}

pub(crate) fn scripted() -> (SimServer, FixedSource) {
    scripted_since(LEDGER - 10, FaultPlan::none())
}

/// The same with a history that begins there, and with faults.
pub(crate) fn scripted_since(elder: u32, faults: FaultPlan) -> (SimServer, FixedSource) {
    let source = FixedSource::new(elder, LEDGER, Utc::now());
    source.put_asset(tea("tea.example", "1000.0000000")).unwrap();
    source.put_toml("tea.example", TomlReply { status: 200, body: b"VERSION = \"2\"".to_vec() });
    let config = SimConfig {
        network_passphrase: PASSPHRASE.into(),
        stream_poll: Duration::from_millis(20),
        fixed: Some(source.clone()),
        faults,
        ..SimConfig::default()
    };
    (horizon(config), source)
}

/// The asset of the scripted trades.
pub(crate) fn tea(domain: &str, supply: &str) -> Value {
    json!({
        "_links": {"toml": {"href": format!("https://{domain}/.well-known/stellar.toml")}},
        "asset_type": "credit_alphanum4", "asset_code": "TEA", "asset_issuer": address(9),
        "paging_token": format!("TEA_{}_credit_alphanum4", address(9)),
        "accounts": {"authorized": 500}, "balances": {"authorized": supply},
        "flags": {"auth_required": false, "auth_revocable": false}
    })
}

pub(crate) fn trade(ledger: u32, order: i64, closed_at: DateTime<Utc>) -> Value {
    let token = format!("{}-{order}", (i64::from(ledger) << 32) + 4_097);
    json!({
        "_links": {"self": {"href": ""}}, "id": token, "paging_token": token,
        "ledger_close_time": closed_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        "trade_type": "orderbook", "base_offer_id": "1", "base_account": address(1), "base_amount": "3.0000000",
        "base_asset_type": "native", "counter_offer_id": "2", "counter_account": address(2),
        "counter_amount": "6.0000000", "counter_asset_type": "credit_alphanum4", "counter_asset_code": "TEA",
        "counter_asset_issuer": address(9), "base_is_seller": true, "price": {"n": "2", "d": "1"}
    })
}

/// Published figure of the only market.
pub(crate) fn figure(daemon: &Daemon, name: &str) -> f64 {
    daemon.get("/markets.json").json()["pairs"][0][name].as_f64().unwrap_or(-1.0)
}

/// A daemon on a Horizon with a few trades of one market, all of them stored and published.
pub(crate) async fn scene(more: &[&str]) -> (SimServer, FixedSource, String, Daemon) {
    scene_on(scripted(), more).await
}

/// The same on a given Horizon.
pub(crate) async fn scene_on(
    (sim, source): (SimServer, FixedSource),
    more: &[&str],
) -> (SimServer, FixedSource, String, Daemon) {
    let database = fresh_database().await;
    let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, more);
    wait_until("the stream is open", || daemon.get("/readyz").json()["checks"]["stream"]["ok"] == true);
    for ledger in 1..=TRADES {
        source.push_trade(trade(LEDGER + ledger, 0, Utc::now())).unwrap();
    }
    wait_until("all are published", || {
        daemon.get("/markets.json").status == 200 && figure(&daemon, "trade_count") == f64::from(TRADES)
    });
    wait_until("all are held whole", || {
        let coverage = daemon.status()["coverage"].clone();
        coverage
            .as_array()
            .unwrap()
            .iter()
            .any(|range| range["to"].as_u64() >= Some((LEDGER + TRADES).into()))
    });
    (sim, source, database, daemon)
}
