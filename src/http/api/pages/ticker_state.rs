//! State of the ticker as pages show it, from the vitals.

use std::time::Duration;

use chrono::{DateTime, Utc};
use ticker_formats::pages::{AuditState, BackfillState, BudgetState, LakeReport, TickerState, UnreadLedgers};

use crate::{
    domain::{conversions::SaturatingFrom, instant::UnixSeconds},
    http::{
        state::PublicState,
        status::{complete_ledgers, received_at},
    },
    published::{HashCheck, LakeState},
};

/// State at this moment.
pub(super) fn ticker_state(state: &PublicState) -> TickerState {
    let vitals = &state.published.vitals;
    let newest = state.published.newest();
    let newest = newest.as_deref();
    let now = state.clock.now();
    let received_at = received_at(vitals, newest);
    let is_old = |at: DateTime<Utc>, limit: Duration| {
        now.signed_duration_since(at).num_seconds() > i64::saturating_from(limit.as_secs())
    };
    // The newest publication may be as old as their interval.
    let still_after = state.stale_after.saturating_add(state.publish_interval);
    let still_since = newest.map(|newest| newest.as_of).filter(|as_of| is_old(as_of.to_utc(), still_after));
    let seconds = |value: f64| whole_seconds(value);
    let coverage = complete_ledgers(vitals, newest);
    let complete = coverage.last().map(|range| (range.to, range.to_time)).filter(|_| newest.is_some());
    TickerState {
        now: now.into(),
        as_of: newest.map(|newest| newest.as_of),
        version: env!("CARGO_PKG_VERSION"),
        passphrase: state.views.passphrase(),
        database: state.views.database(),
        is_published: newest.is_some(),
        latest: complete.or_else(|| newest.and_then(|newest| newest.latest)),
        received_at: received_at.map(UnixSeconds::from),
        is_stale: still_since.is_some() || received_at.is_none_or(|at| is_old(at, state.stale_after)),
        still_since,
        source: **vitals.live_source.load(),
        fault: vitals.source_fault(),
        coverage,
        unread: vitals.unread_history.load().as_deref().map(|unread| UnreadLedgers {
            from: unread.from,
            to: unread.to,
            from_time: unread.from_time,
            to_time: unread.to_time,
        }),
        backfill: vitals.backfill.load().as_ref().map(|backfill| BackfillState {
            done_ratio: backfill.done_ratio,
            eta_s: backfill.eta_s.map(seconds),
            trades: backfill.trades,
            trades_per_second: backfill.trades_per_second,
        }),
        audit: vitals.audit.load().as_ref().map(|audit| AuditState {
            at: audit.at.map(UnixSeconds::from),
            markets: audit.markets,
            unread: audit.unread,
            differences: audit.differences,
            repaired: audit.repaired,
        }),
        budget: vitals.budget.load().as_ref().map(|budget| BudgetState {
            requests_per_hour: budget.requests_per_hour,
            remaining: budget.remaining,
            blocked_s: seconds(budget.blocked_s),
            requests: budget.requests.clone(),
        }),
        lake: vitals.lake.load().map(lake),
        oldest_book: newest.and_then(|newest| newest.snapshot.oldest_book()),
        replica: vitals.replica_id.load().as_ref().map(|id| id.to_string()),
        is_leader: vitals.leader.load().as_ref().map(|leader| leader.ok),
    }
}

fn lake(lake: LakeState) -> LakeReport {
    let outage = lake.outages.first();
    LakeReport {
        url: outage.map_or(&lake.url, |outage| &outage.url).clone(),
        hash_check: match lake.hash_check {
            HashCheck::Unchecked => None,
            HashCheck::Agrees { ledger, .. } => Some((ledger, true)),
            HashCheck::Differs { ledger, .. } => Some((ledger, false)),
        },
        outage: outage.map(|outage| (UnixSeconds::from(outage.since), outage.error.clone())),
        figures: lake.figures,
    }
}

/// Seconds, rounded up.
fn whole_seconds(seconds: f64) -> i64 {
    i64::saturating_from(seconds.max(0.0).ceil())
}
