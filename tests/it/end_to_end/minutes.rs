//! Promises of within a minute, with the intervals and the budget of the public network. The tests print figures to
//! compare with the promises. No figure decides a test, since a loaded machine takes longer.

use std::collections::HashMap;

use chrono::Utc;
use serde_json::json;
use stellar_ticker::sim::{Endpoint, Fault, TomlReply};

use super::*;
use crate::support::{
    figure,
    scripted::{LEDGER, address, scripted, trade},
};

const PUBLIC_BUDGET: [&str; 2] = ["--horizon-requests-per-hour", "3600"];
/// A ledger closes five times as often as the public network's, and costs the stream a request.
const FIVE_BUDGETS: [&str; 2] = ["--horizon-requests-per-hour", "18000"];

#[test]
fn assets_that_are_new_in_trades_are_looked_up_and_published_on_the_public_budget() {
    let (sim, source) = scripted();
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &PUBLIC_BUDGET);
        wait_until("the stream is open", || daemon.get("/readyz").json()["checks"]["stream"]["ok"] == true);
        source.push_trade(trade(LEDGER + 1, 0, Utc::now())).unwrap();
        wait_for_pairs(&daemon);
        let mut waits = Vec::new();
        for (number, code) in ["TEB", "TEC", "TED"].into_iter().enumerate() {
            // The sweep of the start has passed: only the trade reveals it.
            let issuer = address(20 + u8::try_from(number).unwrap());
            let domain = format!("{}.example", code.to_lowercase());
            source
                .put_asset(json!({
                    "_links": {"toml": {"href": format!("https://{domain}/.well-known/stellar.toml")}},
                    "asset_type": "credit_alphanum4", "asset_code": code, "asset_issuer": issuer,
                    "paging_token": format!("{code}_{issuer}_credit_alphanum4"),
                    "accounts": {"authorized": 500}, "balances": {"authorized": "1000.0000000"},
                    "flags": {"auth_required": false, "auth_revocable": false}
                }))
                .unwrap();
            source.put_toml(&domain, TomlReply { status: 200, body: b"VERSION = \"2\"".to_vec() });
            let mut new = trade(LEDGER + 2 + u32::try_from(number).unwrap(), 0, Utc::now());
            new["counter_asset_code"] = code.into();
            new["counter_asset_issuer"] = issuer.into();
            let begun = Instant::now();
            source.push_trade(new).unwrap();
            let name = format!("XLM_{code}");
            wait_until("the pair of the new asset is published", || {
                let pairs = daemon.get("/markets.json").json()["pairs"].clone();
                pairs.as_array().unwrap().iter().any(|pair| pair["name"] == name.as_str())
            });
            waits.push(begun.elapsed().as_secs_f64());
        }
        waits.sort_by(f64::total_cmp);
        figure!(
            "new assets of trades are looked up and published within a minute, on the public budget",
            "three, after {:.1} to {:.1} s",
            waits[0],
            waits[2]
        );
    });
}

#[test]
fn trades_that_a_stream_left_out_are_read_from_pages_on_the_public_budget() {
    let plan = FaultPlan::none();
    for every in [1, 2, 3, 1, 5] {
        plan.push(Endpoint::Stream, Fault::Skip { every });
    }
    let sim = horizon(SimConfig {
        seed: 52,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 40.0,
        history_hours: 0,
        ledger_seconds: 1.0,
        stream_duration: Duration::from_secs(4),
        stream_poll: Duration::from_millis(50),
        faults: plan.clone(),
        ..SimConfig::default()
    });
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &FIVE_BUDGETS);
        let client = recomputation::connect(&database).await;
        wait_for_trades(&client, 1).await;
        let first = number(&client, "SELECT min(toid) >> 32 FROM trades").await;
        let first = u32::try_from(first).unwrap() + 1;
        let mut seen: HashMap<(i64, i64), chrono::DateTime<Utc>> = HashMap::new();
        let begun = Instant::now();
        let last = loop {
            assert!(begun.elapsed() < 3 * DEADLINE, "never caught up: {}", daemon.log());
            // In this order: what is held whole by now is among the rows that are read next.
            let all_struck = plan.pending(Endpoint::Stream) == 0;
            let (whole, head) = (complete_range(&client).await.1, sim.oracle().head().latest);
            let rows = client.query("SELECT toid, trade_order::bigint FROM trades", &[]).await.unwrap();
            let now = Utc::now();
            for row in rows {
                seen.entry((row.get(0), row.get(1))).or_insert(now);
            }
            if all_struck && whole >= i64::from(head) - 1 {
                break head - 2;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let emitted = sim.oracle().trades(first..=last);
        let delays = emitted.iter().map(|trade| {
            let at =
                seen.get(&(trade.id.toid, trade.id.order)).unwrap_or_else(|| panic!("{trade:?} is missing"));
            *at - sim.oracle().closed_at(u32::try_from(trade.id.toid >> 32).unwrap())
        });
        let mut delays: Vec<f64> = delays.map(|delay| delay.as_seconds_f64()).collect();
        delays.sort_by(f64::total_cmp);
        let late = delays.iter().filter(|delay| **delay > 3.0).count();
        let most = *delays.last().unwrap();
        assert!(late > 10, "some were left out");
        figure!(
            "trades that a stream skipped are published within a minute, on the public budget",
            "{} trades, {late} of them later than 3 s, the last after {most:.1} s",
            delays.len()
        );
    });
}
