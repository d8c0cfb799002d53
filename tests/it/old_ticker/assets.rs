//! assets.json: its figures from the same Horizon, and its bytes.

use stellar_ticker::domain::{
    amount::Total,
    instant::UnixSeconds,
    issuer_file::{Currency, Organisation},
    listed_asset::ListedAsset,
};
use ticker_formats::legacy::assets_json;

use super::*;
use crate::support::daemon::run;

/// Differences that assets.json must have: asset, key (dotted below `issuer_detail`), right value, and why.
fn corrected(issuer: &str, code: &str, key: &str) -> Option<(Value, &'static str)> {
    let owned = ["CHF", "BRLT", "COFFEE1KG"].contains(&code);
    (owned && key == "issuer_detail.public_key")
        .then(|| (json!(issuer), "an issuer's row is that of the asset's issuer, not of the SIGNING_KEY"))
}

#[test]
fn assets_json_is_the_old_tickers_but_for_what_is_named() {
    if !fixtures::are_there() {
        return;
    }
    let sim = horizon(DateTime::from_timestamp(Utc::now().timestamp(), 0).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (daemon, _) = runtime.block_on(filled(&sim));
    let served = daemon.get("/assets.json");
    let file = daemon.directory.path().join("assets.json");
    let url = &daemon.database;
    let words = ["generate", "asset-data", "-o", file.to_str().unwrap(), "--database-url", url];
    let (code, _, log) = run(&[&words[..], &["--network", PASSPHRASE]].concat());
    assert_eq!(code, 0, "{log}");
    let generated: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let new = served.json();
    assert_eq!(generated["assets"], new["assets"], "generated and served are the same");
    let (old, new) = (by_asset(&json_of("expected-assets.json")), by_asset(&new));
    let mut names: BTreeSet<_> = old.keys().cloned().collect();
    names.retain(|(code, _)| code != "BLANK"); // a 404 with an empty body is no good file
    let typo = new.keys().find(|(code, _)| code == "TYPO").unwrap().clone();
    names.insert(typo.clone()); // one field of the wrong type costs only that field
    assert_eq!(new.keys().cloned().collect::<BTreeSet<_>>(), names);
    let typo = &new[&typo];
    assert_eq!((&typo["display_decimals"], &typo["name"]), (&json!(0), &json!("Typo")));
    assert_eq!((&typo["status"], &typo["asset_controlled_by_domain"]), (&json!("live"), &json!(true)));
    for ((code, issuer), asset) in &new {
        let Some(old) = old.get(&(code.clone(), issuer.clone())) else { continue };
        let (old, asset) = (flat(old), flat(asset));
        for (key, served) in asset.iter().filter(|(key, _)| *key != "last_valid") {
            let right = corrected(issuer, code, key).map_or_else(|| old[key].clone(), |(right, _)| right);
            assert_eq!(served, &right, "{code} {key}");
        }
    }
    println!("{} assets compared with the old ticker's", new.len());
}

/// The old program's own bytes, read and rendered again in its order.
#[test]
fn assets_json_is_rendered_to_the_byte() {
    if !fixtures::are_there() {
        return;
    }
    let raw = read("raw-assets.json").unwrap();
    let file: Value = serde_json::from_str(&raw).unwrap();
    let assets: Vec<ListedAsset> = file["assets"].as_array().unwrap().iter().map(listed).collect();
    let second = UnixSeconds(file["generated_at"].as_i64().unwrap() / 1_000);
    let rendered = assets_json::render(second, &assets);
    // The old program had milliseconds here, by mistake.
    let mut raw = raw.replace(&file["generated_at"].to_string(), &(second.0 * 1_000).to_string());
    for asset in file["assets"].as_array().unwrap() {
        let (key, issuer) = (&asset["issuer_detail"]["public_key"], &asset["issuer"]);
        if key != issuer {
            // A row that was keyed by SIGNING_KEY.
            raw = raw.replace(&format!("\"public_key\": {key}"), &format!("\"public_key\": {issuer}"));
        }
    }
    assert_eq!(rendered, raw);
}

fn listed(asset: &Value) -> ListedAsset {
    let text = |key: &str| asset[key].as_str().unwrap().to_owned();
    let texts = |key: &str| serde_json::from_value(asset[key].clone()).unwrap();
    let whole = |key: &str| asset[key].as_i64().unwrap();
    let flag = |key: &str| asset[key].as_bool().unwrap();
    let org = |key: &str| asset["issuer_detail"][key].as_str().unwrap().to_owned();
    let stroops = (asset["amount"].as_f64().unwrap() * 1e7).round() as i64;
    ListedAsset {
        kind: text("type"),
        num_accounts: whole("num_accounts"),
        auth_required: flag("auth_required"),
        auth_revocable: flag("auth_revocable"),
        amount: Total::from_stroops(stroops.into()).unwrap(),
        is_controlled_by_domain: flag("asset_controlled_by_domain"),
        currency: Currency {
            code: text("code"),
            issuer: text("issuer"),
            anchor_asset: text("anchor_asset"),
            anchor_asset_type: text("anchor_asset_type"),
            name: text("name"),
            desc: text("desc"),
            conditions: text("conditions"),
            redemption_instructions: text("redemption_instructions"),
            status: text("status"),
            display_decimals: whole("display_decimals"),
            fixed_number: whole("fixed_number"),
            max_number: whole("max_number"),
            is_asset_anchored: flag("is_asset_anchored"),
            is_unlimited: flag("is_unlimited"),
            collateral_addresses: texts("collateral_addresses"),
            collateral_address_signatures: texts("collateral_address_signatures"),
        },
        issuer_id: 0,
        issuer: Organisation {
            name: org("name"),
            url: org("url"),
            twitter: org("org_twitter"),
            federation_server: org("federation_server"),
            auth_server: org("auth_server"),
            transfer_server: org("transfer_server"),
            web_auth_endpoint: org("web_auth_endpoint"),
            deposit_server: org("deposit_server"),
        }
        .into(),
        toml_url: org("toml_url"),
        last_valid: UnixSeconds::parse(asset["last_valid"].as_str().unwrap()).unwrap(),
    }
}

fn by_asset(file: &Value) -> BTreeMap<(String, String), Value> {
    let key = |asset: &Value, name: &str| asset[name].as_str().unwrap().to_owned();
    let assets = file["assets"].as_array().unwrap();
    assets.iter().map(|asset| ((key(asset, "code"), key(asset, "issuer")), asset.clone())).collect()
}

/// The fields of an asset, those of its issuer among them.
fn flat(asset: &Value) -> BTreeMap<String, Value> {
    let mut fields: BTreeMap<String, Value> =
        asset.as_object().unwrap().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let issuer = fields.remove("issuer_detail").unwrap();
    for (key, value) in issuer.as_object().unwrap() {
        fields.insert(format!("issuer_detail.{key}"), value.clone());
    }
    fields
}
