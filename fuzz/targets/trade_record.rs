//! Records and pages of trades are decoded or refused with a reason, and keep their bytes.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use stellar_ticker::horizon::wire;

fuzz_target!(|data: &[u8]| {
    let raw = Bytes::copy_from_slice(data);
    let event_id = data.get(..20).and_then(|id| std::str::from_utf8(id).ok());
    match wire::trade(raw.clone(), None) {
        Ok(received) => {
            assert_eq!(received.raw, raw);
            assert!(
                received.trade.token.toid >= 0 && received.trade.price_n >= 0 && received.trade.price_d >= 0
            );
        }
        Err(refused) => assert!(!refused.reason.is_empty() && refused.raw == raw),
    }
    let _ = wire::trade(raw.clone(), event_id);
    let _ = wire::trades_page(&raw);
});
