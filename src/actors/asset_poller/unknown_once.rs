//! Assets that Horizon did not know when it was asked once. Pure.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::domain::asset::Asset;

/// Time until the second look-up. A load balancer may have sent the first one to a server that is behind, and would
/// send one that follows at once to the same server.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Time after which a first look-up no longer counts. With a small budget, the assets that are due take hours.
const FORGET: Duration = Duration::from_secs(6 * 3_600);
/// Most assets that wait for their second look-up. Others are not looked up meanwhile.
const WAITING_MAX: usize = 200;

/// Assets that Horizon did not know, and the times of their first look-ups. An asset that Horizon does not know loses
/// its markets, so Horizon must say so twice.
#[derive(Debug, Default)]
pub(super) struct UnknownOnce(HashMap<Asset, Instant>);

impl UnknownOnce {
    /// Returns the number of assets that wait for their second look-up, or that may have it now.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if the next look-up of this asset is its second.
    pub(super) fn contains(&self, asset: &Asset) -> bool {
        self.0.contains_key(asset)
    }

    /// Returns the first `limit` of these assets that may be looked up now. Forgets old first look-ups.
    pub(super) fn ready(&mut self, due: Vec<Asset>, limit: usize, now: Instant) -> Vec<Asset> {
        self.0.retain(|_, asked| now.saturating_duration_since(*asked) < FORGET);
        let takes_more = self.0.len() < WAITING_MAX;
        let is_ready = |asset: &Asset| {
            self.0.get(asset).map_or(takes_more, |asked| now.saturating_duration_since(*asked) >= ASK_AGAIN)
        };
        due.into_iter().filter(is_ready).take(limit).collect()
    }

    /// Records that Horizon does not know an asset. Returns true if it said so before.
    pub(super) fn confirm(&mut self, asset: Asset, now: Instant) -> bool {
        if self.0.remove(&asset).is_some() {
            return true;
        }
        self.0.insert(asset, now);
        false
    }

    /// Records that Horizon knows an asset.
    pub(super) fn remove(&mut self, asset: &Asset) {
        self.0.remove(asset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::test_support::address;

    fn asset(number: usize) -> Asset {
        Asset::issued(&format!("A{number}"), &address(1)).unwrap()
    }

    #[test]
    fn an_asset_is_looked_up_again_some_seconds_later_and_gone_then() {
        let (mut unknown, now) = (UnknownOnce::default(), Instant::now());
        let due = || vec![asset(1), asset(2), asset(3)];
        assert_eq!(unknown.ready(due(), 2, now), [asset(1), asset(2)]);
        assert!(!unknown.confirm(asset(1), now));
        assert_eq!([1, 2].map(|number| unknown.contains(&asset(number))), [true, false]);
        assert_eq!(unknown.ready(due(), 9, now), [asset(2), asset(3)], "others do not wait for it");
        assert_eq!(unknown.ready(due(), 9, now + ASK_AGAIN), due());
        assert!(unknown.confirm(asset(1), now + ASK_AGAIN));
        assert!(!unknown.confirm(asset(1), now + ASK_AGAIN), "a later loss is doubted again");
        unknown.remove(&asset(1));
        assert_eq!(unknown.len(), 0);
    }

    #[test]
    fn an_old_first_look_up_does_not_count() {
        let (mut unknown, now) = (UnknownOnce::default(), Instant::now());
        unknown.confirm(asset(1), now);
        assert_eq!(unknown.ready(vec![asset(1)], 9, now + FORGET), [asset(1)]);
        assert!(!unknown.confirm(asset(1), now + FORGET));
    }

    #[test]
    fn only_so_many_wait() {
        let (mut unknown, now) = (UnknownOnce::default(), Instant::now());
        assert!((0..WAITING_MAX).all(|number| !unknown.confirm(asset(number), now)));
        assert!(unknown.ready(vec![asset(WAITING_MAX)], 9, now).is_empty());
        let due = vec![asset(WAITING_MAX), asset(0)];
        assert_eq!(unknown.ready(due, 9, now + ASK_AGAIN), [asset(0)], "their second look-ups come first");
    }
}
