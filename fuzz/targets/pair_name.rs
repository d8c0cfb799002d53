//! Names of pairs, assets, amounts and times in requests and records.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stellar_ticker::domain::{amount::Amount, asset::Asset, market_snapshot::PairCodes, instant::UnixSeconds, plain_text};

fuzz_target!(|text: &str| {
    let _ = PairCodes::parse(text);
    if let Ok(asset) = text.parse::<Asset>() {
        assert_eq!(asset.to_string().parse::<Asset>().ok(), Some(asset));
    }
    if let Ok(amount) = Amount::parse(text) {
        assert!(amount.stroops() >= 0);
    }
    if let Ok(second) = UnixSeconds::parse(text) {
        let _ = second.to_rfc3339();
    }
    assert!(!plain_text::stripped(text).contains(plain_text::is_hidden));
    assert!(!plain_text::shown(text).contains(plain_text::is_hidden));
});
