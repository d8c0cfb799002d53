//! Files of the market API that the JSON writer writes.

use std::{fs, io::Read as _, path::Path};

use serde_json::Value;
use ticker_schemas::{Validator, agreement::Reference};

use super::{daemon, horizon, ok};
use crate::support::{network::block_on, wait_until};

/// File whose gzip and brotli twins have the same content. `None` until all three exist and agree.
fn twins(directory: &Path, name: &str) -> Option<Vec<u8>> {
    let plain = fs::read(directory.join(name)).ok()?;
    let twin = |ending: &str| fs::File::open(directory.join(format!("{name}.{ending}"))).ok();
    let (mut unzipped, mut unbrotlied) = (Vec::new(), Vec::new());
    flate2::read::GzDecoder::new(twin("gz")?).read_to_end(&mut unzipped).ok()?;
    brotli::Decompressor::new(twin("br")?, 4_096).read_to_end(&mut unbrotlied).ok()?;
    (plain == unzipped && plain == unbrotlied).then_some(plain)
}

#[test]
fn every_market_by_issuer_is_also_a_file_beside_the_legacy_files() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let directory = daemon.directory.path().join("data/www");
        let expected = ok(&daemon, "/v1/markets.json").json();
        // The first file may be of a moment before all trades were read.
        let mut file = Vec::new();
        wait_until("the file has the markets of the API", || {
            file = twins(&directory, "v1/markets.json").unwrap_or_default();
            let seq = serde_json::from_slice::<Value>(&file).unwrap_or_default()["seq"].as_i64();
            seq >= expected["seq"].as_i64()
        });
        let violations = Validator::new().unwrap().check("markets", &file);
        assert!(violations.is_empty(), "{violations:?}");
        let (symbols, assets) = (ok(&daemon, "/api/v1/symbols").body, ok(&daemon, "/api/v1/assets").body);
        let read = |markets: &[u8]| Reference::read(markets, &symbols, &assets).unwrap();
        let (written, served) = (read(&file), read(expected.to_string().as_bytes()));
        assert_eq!(written.markets().len(), served.markets().len());
        for (written, served) in written.markets().iter().zip(served.markets()) {
            let figures = ["id", "last", "base_volume", "quote_volume", "high", "low", "bid", "ask"];
            assert_eq!(
                figures.map(|figure| written.figure(figure)),
                figures.map(|figure| served.figure(figure)),
                "{}",
                served.id
            );
        }
        assert!(directory.join("markets.json").exists() && directory.join("assets.json").exists());
    });
}
