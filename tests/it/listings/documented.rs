//! Fields of the answers against `docs/market-api.md`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{USDC, daemon, horizon, ok};
use crate::support::network::block_on;

/// Names of all fields, at every depth. Names of windows and the like are keys, not fields.
fn field_names(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                found.insert(name.clone());
                field_names(inner, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| field_names(item, found)),
        _ => {}
    }
}

#[test]
fn every_field_of_the_answers_is_documented() {
    let document = include_str!("../../../docs/market-api.md");
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let mut fields = BTreeSet::new();
        let market = format!("/api/v1/markets/XLM_{USDC}");
        for path in [
            market.clone(),
            format!("{market}/trades?limit=1"),
            format!("{market}/explain?field=high"),
            format!("{market}/orderbook"),
            format!("{market}/candles"),
            "/api/v1/markets".to_owned(),
            "/api/v1/assets".to_owned(),
            "/api/v1/prices?assets=XLM".to_owned(),
            format!("/api/v1/prices?assets={}", USDC.replace("USDC", "NONE")),
            "/api/v1/symbols".to_owned(),
            format!("/api/v1/volume?market=XLM_{USDC}"),
        ] {
            field_names(&ok(&daemon, &path).json(), &mut fields);
        }
        // The lists themselves are named by their paths.
        let lists = ["buckets", "candles", "assets", "prices", "symbols", "trades"];
        let missing: Vec<_> = fields
            .iter()
            .filter(|field| !lists.contains(&field.as_str()))
            .filter(|field| {
                !["`", "{", " "].iter().any(|before| {
                    ["`", ",", "}"].iter().any(|after| document.contains(&format!("{before}{field}{after}")))
                })
            })
            .collect();
        assert!(missing.is_empty(), "docs/market-api.md does not name {missing:?}");
    });
}
