//! Test hooks of the whole program: failures on demand, short leases and short waits.
//! Enabled by `TICKER_CHAOS=1` only.

use std::{sync::Arc, time::Duration};

use crate::{
    actors::{
        asset_patience::AssetPatience, lake_timeouts::LakeTimeouts, leadership::LeaseTerms,
        supervision::tree_status::TreeStatus, timings::Timings,
    },
    config::{
        CHAOS, CHAOS_ASSETS_MS, CHAOS_BLIND_MS, CHAOS_FIRST_PUBLICATION_MS, CHAOS_GRACE_MS,
        CHAOS_LAKE_HASH_MS, CHAOS_LAKE_LATE_MS, CHAOS_LEASE_MS, CHAOS_STALE_MS,
    },
    http::admin,
    published::Grace,
};

fn is_enabled() -> bool {
    std::env::var_os(CHAOS).is_some_and(|value| value == "1")
}

/// Returns the function behind `POST /provoke/ACTOR/MESSAGE` of the admin listener; none if hooks are disabled.
pub(super) fn provoke(status: &Arc<TreeStatus>) -> Option<admin::Provoke> {
    let status = Arc::clone(status);
    is_enabled().then(|| -> admin::Provoke {
        Arc::new(move |actor, message| {
            let child = status.children().iter().find(|child| child.name() == actor);
            child.map(|child| child.test_hooks().arm(message)).is_some()
        })
    })
}

/// Returns the times of the daemon. Tests of take-overs set a short lease by `TICKER_CHAOS_LEASE_MS`, and a short
/// wait for a leader without its source by `TICKER_CHAOS_BLIND_MS`. Tests of lakes that fail set a short wait by
/// `TICKER_CHAOS_LAKE_LATE_MS`, and tests of ledgers without a hash of Horizon by `TICKER_CHAOS_LAKE_HASH_MS`.
/// `TICKER_CHAOS_ASSETS_MS`, `TICKER_CHAOS_GRACE_MS` and `TICKER_CHAOS_FIRST_PUBLICATION_MS` set the others.
pub(super) fn timings() -> Timings {
    let usual = Timings::default();
    let mut lease = time(CHAOS_LEASE_MS).map_or(usual.lease, LeaseTerms::of);
    if let Some(blind_after) = time(CHAOS_BLIND_MS) {
        lease.blind_after = blind_after;
    }
    let mut lake = time(CHAOS_LAKE_LATE_MS).map_or(usual.lake, LakeTimeouts::of);
    if let Some(hash_unanswered) = time(CHAOS_LAKE_HASH_MS) {
        lake = lake.with_hash_unanswered(hash_unanswered);
    }
    Timings {
        lease,
        lake,
        assets: time(CHAOS_ASSETS_MS).map_or(usual.assets, AssetPatience::of),
        first_publication: time(CHAOS_FIRST_PUBLICATION_MS).unwrap_or(usual.first_publication),
        grace: time(CHAOS_GRACE_MS).map_or(usual.grace, Grace::of),
    }
}

/// Returns the time without progress after which an actor is restarted, if a test sets one by `TICKER_CHAOS_STALE_MS`.
pub(super) fn stale_after() -> Option<Duration> {
    time(CHAOS_STALE_MS)
}

fn time(variable: &str) -> Option<Duration> {
    let text = std::env::var(variable).ok().filter(|_| is_enabled())?;
    text.parse().ok().map(Duration::from_millis)
}
