//! One long text in a stellar.toml, which every asset of the issuer repeats.

use std::fmt::Write as _;

use chrono::Utc;
use serde_json::{Value, json};
use stellar_ticker::sim::{FixedSource, TomlReply};

use crate::support::{
    daemon::Daemon,
    figure,
    network::{PASSPHRASE, block_on},
    postgres::fresh_database,
    scripted::{LEDGER, address, scripted, trade},
    wait_until,
};

/// Assets of each issuer.
const ASSETS: u32 = 40;
/// Bytes of the long text. A file may have 100 KiB.
const LONG: usize = 90_000;
/// Bytes by which a long text may make an asset larger. Without a limit it would be [`LONG`].
const LONGER_MAX: usize = 2_048;

/// Assets of an issuer, which trade, and its file with an organisation of this name.
fn put_issuer(source: &FixedSource, byte: u8, host: &str, organisation: &str) {
    let mut file = format!("[DOCUMENTATION]\nORG_NAME=\"{organisation}\"\n");
    for number in 0..ASSETS {
        let code = code(byte, number);
        let asset = json!({
            "_links": {"toml": {"href": format!("https://{host}/.well-known/stellar.toml")}},
            "asset_type": "credit_alphanum4", "asset_code": code, "asset_issuer": address(byte),
            "paging_token": format!("{code}_{}_credit_alphanum4", address(byte)),
            "accounts": {"authorized": 500}, "balances": {"authorized": "1000.0000000"},
            "flags": {"auth_required": false, "auth_revocable": false}
        });
        source.put_asset(asset).unwrap();
        writeln!(file, "[[CURRENCIES]]\ncode=\"{code}\"\nissuer=\"{}\"", address(byte)).unwrap();
    }
    source.put_toml(host, TomlReply { status: 200, body: file.into_bytes() });
}

fn code(byte: u8, number: u32) -> String {
    format!("{}{number:03}", if byte == 10 { 'P' } else { 'L' })
}

/// Bytes of an issuer's assets in the file as it lies on the disk, and the number of those with an organisation.
fn assets_of(file: &Value, byte: u8) -> (usize, usize) {
    let all = file["assets"].as_array().unwrap().iter().filter(|asset| asset["issuer"] == address(byte));
    let described = all.clone().filter(|asset| asset["issuer_detail"]["name"] != "").count();
    (all.map(|asset| asset.to_string().len()).sum(), described)
}

#[test]
fn a_long_name_in_a_stellar_toml_does_not_make_the_file_of_all_assets_long() {
    let (sim, source) = scripted();
    put_issuer(&source, 10, "plain.example", "Plain");
    put_issuer(&source, 11, "long.example", &"L".repeat(LONG));
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_until("the stream is open", || daemon.get("/readyz").json()["checks"]["stream"]["ok"] == true);
        for (ledger, byte) in [(1, 10), (2, 11)] {
            let closed_at = Utc::now();
            let trades = (0..ASSETS).map(|number| {
                let mut record = trade(LEDGER + ledger, i64::from(number), closed_at);
                record["counter_asset_code"] = json!(code(byte, number));
                record["counter_asset_issuer"] = json!(address(byte));
                record
            });
            source.push_trades(trades).unwrap();
        }
        let file = daemon.output("assets.json");
        let (mut bytes, mut plain, mut long) = (0, 0, 0);
        wait_until("the file has all assets with their organisations", || {
            let Ok(text) = std::fs::read(&file) else { return false };
            let all: Value = serde_json::from_slice(&text).unwrap();
            let [(of_plain, plain_count), (of_long, long_count)] = [10, 11].map(|byte| assets_of(&all, byte));
            (bytes, plain, long) = (text.len(), of_plain, of_long);
            (plain_count, long_count) == (ASSETS as usize, ASSETS as usize)
        });
        let longer = long.saturating_sub(plain) / ASSETS as usize;
        assert!(longer > 0, "the long name is there, cut");
        assert!(longer < LONGER_MAX, "each asset is {longer} bytes longer");
        assert!(
            bytes < 2 * (plain + long),
            "{bytes} bytes on the disk, {plain} and {long} of the two issuers"
        );
        figure!(
            "a long name in a stellar.toml does not make `assets.json` long",
            "a name of {LONG} bytes at {ASSETS} assets: each is {longer} bytes longer, the file has {bytes} bytes"
        );
    });
}
