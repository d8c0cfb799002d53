//! Test hooks of the whole program: failures on demand and short leases. Enabled by `TICKER_CHAOS=1` only.

use std::{sync::Arc, time::Duration};

use crate::{
    actors::{leadership::LeaseTerms, supervision::tree_status::TreeStatus},
    config::{CHAOS, CHAOS_LEASE_MS},
    http::admin,
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

/// Returns the terms of the lease. Tests of take-overs set a short time to live by `TICKER_CHAOS_LEASE_MS`.
pub(super) fn lease_terms() -> LeaseTerms {
    let ttl = std::env::var(CHAOS_LEASE_MS).ok().filter(|_| is_enabled());
    let ttl = ttl.and_then(|text| text.parse().ok()).map(Duration::from_millis);
    ttl.map_or_else(LeaseTerms::default, LeaseTerms::of)
}
