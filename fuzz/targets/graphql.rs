//! Bodies and query strings of `/graphql` are refused, or answered within limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stellar_ticker::http::answer_without_data;

/// Largest answer: ten errors of 300 escaped characters with locations, or the schema once for each list.
const ANSWER_BYTES_MAX: usize = 2_000_000;

fuzz_target!(|data: &[u8]| {
    if let Some(answer) = answer_without_data(data) {
        assert!(answer.len() <= ANSWER_BYTES_MAX, "{} bytes", answer.len());
    }
});
