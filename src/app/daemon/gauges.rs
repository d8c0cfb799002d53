//! Metrics that are polled rather than counted where something happens.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use metrics::{counter, gauge};

use crate::{
    actors::services::Services,
    actors::supervision::{status::ChildStatus, tree_status::TreeStatus},
    domain::{
        conversions::Integer,
        coverage::{ClosedLedger, LedgerRange, gaps},
    },
    http::Readiness,
    instruments::{float_counter, table::CHECKS},
    published::{Publication, Vitals},
};

/// The polled metrics, and what they need to remember from one poll to the next.
pub(super) struct Gauges {
    /// Start of the process, which stands for times of things that have not happened yet.
    began: DateTime<Utc>,
    /// Newest published trade, by ledger and close time, and the time at which it was seen first.
    latest: Option<(ClosedLedger, DateTime<Utc>)>,
}

impl Gauges {
    pub(super) fn new(began: DateTime<Utc>) -> Self {
        gauge!("process_start_time_seconds").set(began.timestamp_millis().to_f64() / 1_000.0);
        Self { began, latest: None }
    }

    /// Sets all of them.
    pub(super) fn publish(&mut self, status: &TreeStatus, services: &Services) {
        let (vitals, now) = (&services.published.vitals, services.clock.now());
        self.ages(vitals, services.published.newest().as_deref(), now);
        upstream(vitals, now);
        coverage(vitals);
        actors(status);
        readiness(services, now);
        pool(services);
    }

    fn ages(&mut self, vitals: &Vitals, newest: Option<&Publication>, now: DateTime<Utc>) {
        let committed_at = self.committed_at(vitals, newest.and_then(|newest| newest.latest), now);
        let audited_at = vitals.audit.load().as_ref().and_then(|audit| audit.at);
        let traded_at = newest.and_then(|newest| newest.latest).map(|(_, closed_at)| closed_at.to_utc());
        let age = |at: Option<DateTime<Utc>>| {
            let age = now.signed_duration_since(at.unwrap_or(self.began));
            age.to_std().unwrap_or(Duration::ZERO).as_secs_f64()
        };
        gauge!("ticker_newest_trade_age_seconds").set(age(traded_at));
        gauge!("ticker_newest_commit_age_seconds").set(age(committed_at));
        gauge!("ticker_publication_age_seconds").set(age(newest.map(|newest| newest.as_of.to_utc())));
        gauge!("ticker_files_age_seconds").set(age(vitals.files_written_at.load().as_deref().copied()));
        gauge!("ticker_audit_pass_age_seconds").set(age(audited_at));
    }
}

impl Gauges {
    /// Returns the time of the last commit of trades. A follower commits nothing itself. It knows of a commit when a
    /// publication contains its trade. The number of the last batch says less: books, assets and counts have one too.
    fn committed_at(
        &mut self,
        vitals: &Vitals,
        latest: Option<ClosedLedger>,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        if let Some(latest) = latest
            && self.latest.is_none_or(|(last, _)| last != latest)
        {
            self.latest = Some((latest, now));
        }
        vitals.committed_at.load().as_deref().copied().max(self.latest.map(|(_, at)| at))
    }
}

fn flag(is_set: bool) -> f64 {
    f64::from(u8::from(is_set))
}

fn follows(vitals: &Vitals) -> bool {
    vitals.leader.load().as_ref().is_none_or(|leader| !leader.ok)
}

fn upstream(vitals: &Vitals, now: DateTime<Utc>) {
    let connected = !follows(vitals) && vitals.stream.load().as_ref().is_some_and(|stream| stream.ok);
    gauge!("ticker_stream_connected").set(flag(connected));
    let reachable = vitals.horizon.load().as_ref().is_none_or(|horizon| horizon.outage.is_none());
    gauge!("ticker_horizon_up").set(flag(reachable));
    gauge!("ticker_horizon_budget_exhausted").set(flag(vitals.budget_fault.load().is_some()));
    let lake = vitals.lake.load();
    gauge!("ticker_lake_up").set(flag(lake.as_ref().is_none_or(|lake| lake.fault().is_none())));
    let newest = lake.and_then(|lake| lake.figures.newest).map(|(_, closed_at)| closed_at.to_utc());
    let lag = newest.and_then(|closed_at| now.signed_duration_since(closed_at).to_std().ok());
    gauge!("ticker_lake_lag_seconds").set(lag.unwrap_or_default().as_secs_f64());
    if let Some(budget) = vitals.budget.load().as_deref() {
        gauge!("ticker_horizon_budget_tokens").set(budget.tokens);
        gauge!("ticker_horizon_blocked_seconds").set(budget.blocked_s);
        for (class, requests) in &budget.requests {
            counter!("ticker_horizon_budget_requests_total", "class" => *class).absolute(*requests);
        }
    }
}

fn coverage(vitals: &Vitals) {
    let held = vitals.coverage.load();
    let missing = gaps(&held);
    let ledgers = |ranges: &[LedgerRange]| {
        let count = |range: &LedgerRange| f64::from(range.to.saturating_sub(range.from)) + 1.0;
        ranges.iter().map(count).sum::<f64>()
    };
    gauge!("ticker_coverage_ledgers").set(ledgers(&held));
    gauge!("ticker_gaps").set(missing.len().to_f64());
    gauge!("ticker_gap_ledgers").set(ledgers(&missing));
    let done = vitals.backfill.load().as_ref().map_or(0.0, |backfill| backfill.done_ratio);
    gauge!("ticker_backfill_done_ratio").set(done);
}

fn actors(status: &TreeStatus) {
    gauge!("ticker_supervisor_tick_age_seconds").set(status.tick_age().as_secs_f64());
    let mut nginx_restarts = 0;
    for child in status.children() {
        actor(child);
        if child.name() == "nginx" {
            nginx_restarts = child.restarts();
        }
    }
    counter!("ticker_nginx_restarts_total").absolute(nginx_restarts);
}

fn actor(child: &Arc<ChildStatus>) {
    let (name, queue) = (child.name(), child.queue().view(Instant::now()));
    gauge!("ticker_actor_up", "actor" => name).set(flag(child.is_running()));
    // The supervisor counts restarts. This begins the series with 0.
    counter!("ticker_actor_restarts_total", "actor" => name).increment(0);
    gauge!("ticker_actor_mailbox_messages", "actor" => name).set(queue.taken().to_f64());
    gauge!("ticker_actor_mailbox_messages_max", "actor" => name).set(queue.capacity.to_f64());
    // If the system's accounts cannot be read, the counter keeps its value.
    let busy = child.busy().unwrap_or_default();
    float_counter("ticker_actor_busy_seconds_total", Some(name), busy.as_secs_f64());
}

fn readiness(services: &Services, now: DateTime<Utc>) {
    let (published, stale_after) = (&services.published, services.config.stale_after);
    let readiness = Readiness::of(&published.vitals, published.newest().as_deref(), stale_after, now);
    gauge!("ticker_ready").set(flag(readiness.is_ready));
    gauge!("ticker_degraded").set(flag(readiness.is_degraded()));
    for name in CHECKS.iter().copied() {
        gauge!("ticker_readiness_check", "check" => name).set(flag(readiness.passes(name)));
    }
    gauge!("ticker_leader").set(flag(!follows(&services.published.vitals)));
}

fn pool(services: &Services) {
    let pool = services.database.pool_use();
    gauge!("ticker_database_pool_connections_max").set(pool.connections_max.to_f64());
    gauge!("ticker_database_pool_connections").set(pool.connections.to_f64());
    gauge!("ticker_database_pool_connections_in_use").set(pool.in_use.to_f64());
    gauge!("ticker_database_pool_waiting").set(pool.waiting.to_f64());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instant::UnixSeconds;

    #[test]
    fn a_commit_without_trades_is_no_commit_of_trades() {
        let (vitals, at) = (Vitals::default(), |second| UnixSeconds(second).to_utc());
        let mut gauges = Gauges::new(at(0));
        assert_eq!(gauges.committed_at(&vitals, None, at(1)), None);
        let latest = Some((7, UnixSeconds(5)));
        for now in [10, 11, 900] {
            assert_eq!(gauges.committed_at(&vitals, latest, at(now)), Some(at(10)), "{now}");
        }
        let next = Some((8, UnixSeconds(901)));
        assert_eq!(gauges.committed_at(&vitals, next, at(902)), Some(at(902)));
        vitals.committed_at.store(Some(Arc::new(at(950))));
        assert_eq!(
            gauges.committed_at(&vitals, next, at(960)),
            Some(at(950)),
            "its own commit, of old trades"
        );
    }
}
