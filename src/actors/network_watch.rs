//! Check of Horizon's network on every replica, for answers that do not show theirs: assets and order books.
//!
//! The actors that store trades of Horizon check the network themselves, mostly every 20 s. If trades come from a
//! lake, or on a follower, no other actor does.

use std::time::{Duration, Instant};

use tracing::error;

use super::{
    network_check::{NetworkCheck, NetworkError, watched_every},
    outage,
    supervision::status::ChildStatus,
    worker::{TICK, WorkContext},
};
use crate::{
    horizon::{HorizonClient, network_state::NetworkVerdict},
    outbound::retry::Retry,
};

/// Longest wait before the root is read again.
const RETRY_MAX: Duration = Duration::from_secs(15);
/// Detail of the check while the network is the right one.
const RIGHT: &str = "Horizon serves the configured network";

/// Reads the root when an answer waits for that, while the network is a wrong one, and if nobody has read it for
/// minutes. Reports the network as the health of the actor. A root that cannot be read says nothing about it.
pub(super) async fn watch(
    horizon: &HorizonClient,
    network_check: &NetworkCheck,
    status: &ChildStatus,
    context: &WorkContext,
) {
    let limiter = horizon.limiter();
    let every = watched_every(limiter.requests_per_hour());
    let mut retry = Retry::default();
    while !context.is_draining() {
        context.advance();
        if !limiter.is_network_check_due(every) {
            if limiter.network_verdict() == NetworkVerdict::Right {
                status.succeeds(RIGHT);
            }
            tokio::select! {
                () = limiter.network_check_is_wanted() => {}
                () = context.pause(TICK) => {}
            }
            continue;
        }
        let wait = match network_check.ask(horizon).await {
            Ok(_) => {
                status.succeeds(RIGHT);
                retry.reset();
                continue;
            }
            Err(NetworkError::Horizon(error)) => {
                let wait = retry.next_wait(error.retry_after());
                outage::horizon_failed(horizon, &error, "checking the network", wait);
                wait
            }
            Err(NetworkError::Database(error)) => {
                outage::database_failed(network_check.database(), &error, "checking the network");
                retry.next_wait(None)
            }
            Err(error) => {
                if limiter.allow_line(Instant::now()).is_some() {
                    error!(%error, "answers of Horizon refused, nothing of them is stored");
                }
                status.fails(&error.detail());
                retry.next_wait(None)
            }
        };
        // Another client may see the right network meanwhile. Answers may wait, so this asks again soon: if Horizon
        // named a longer wait, the limiter keeps to it.
        let end = Instant::now() + wait.min(RETRY_MAX);
        while Instant::now() < end && limiter.is_network_check_due(every) && !context.is_draining() {
            context.pause(TICK).await;
            context.advance();
        }
    }
}
