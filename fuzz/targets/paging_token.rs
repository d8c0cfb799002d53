//! Paging tokens survive formatting and parsing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stellar_ticker::domain::cursor::PagingToken;

fuzz_target!(|text: &str| {
    if let Ok(token) = text.parse::<PagingToken>() {
        assert!(token.toid >= 0 && token.order >= 0);
        assert_eq!(token.to_string().parse::<PagingToken>(), Ok(token));
        assert_eq!(PagingToken::new(token.toid, token.order), Some(token));
        let _ = (token.ledger(), PagingToken::before_ledger(token.ledger()));
    }
});
