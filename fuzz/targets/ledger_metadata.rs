//! Ledger metadata never panics, and a ledger that is believed has only trades with prices that explain their amounts.
#![no_main]

use ledger_metadata::{Network, Verification, read_object};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let network = Network::of("Fuzz Network");
    for verification in [Verification::Full, Verification::Off] {
        for ledger in read_object(bytes, network, verification).into_iter().flatten().flatten() {
            let records = ledger.trades.iter().map(|trade| (trade.record(), trade.price_explains_amounts()));
            for (record, explained) in records {
                assert!(explained || verification == Verification::Off);
                let _ = record.map(|record| record.normalise());
            }
        }
    }
});
