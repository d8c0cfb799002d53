//! Requests in which ledgers of the past are read. Pure.

use crate::domain::conversions::SaturatingFrom;

/// Most ledgers in flight. Objects of many ledgers are large, so fewer of them are fetched at once.
const LEDGERS_IN_FLIGHT_MAX: usize = 256;
/// Most ledgers that RPC is asked for in one request. A reply has some megabytes.
const RPC_LEDGERS_MAX: u32 = 8;

/// Requests in which ledgers of the past are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Requests {
    /// Ledgers of a request.
    pub(super) size: u32,
    /// Requests at once.
    pub(super) at_once: usize,
}

impl Requests {
    /// Requests for objects of so many ledgers: `parallel` at once, and fewer for large objects.
    pub(super) fn of_objects(size: u32, parallel: usize) -> Self {
        let at_once = LEDGERS_IN_FLIGHT_MAX / usize::saturating_from(size).max(1);
        Self { size, at_once: at_once.clamp(1, parallel.max(1)) }
    }

    /// Requests to RPC: `parallel` ledgers at once in all.
    pub(super) fn of_rpc(parallel: usize) -> Self {
        let size = u32::saturating_from(parallel).clamp(1, RPC_LEDGERS_MAX);
        Self { size, at_once: (parallel / usize::saturating_from(size)).max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_fetched_at_once_than_the_setting_says() {
        let of_objects = |size, parallel| Requests::of_objects(size, parallel).at_once;
        assert_eq!(
            [of_objects(1, 1), of_objects(1, 16), of_objects(64, 16), of_objects(256, 16)],
            [1, 16, 4, 1]
        );
        assert_eq!(of_objects(1_000, 16), 1);
        let of_rpc = |parallel| {
            let requests = Requests::of_rpc(parallel);
            (requests.size, requests.at_once)
        };
        assert_eq!([of_rpc(1), of_rpc(5), of_rpc(16), of_rpc(23)], [(1, 1), (5, 1), (8, 2), (8, 2)]);
    }
}
