//! Health of the daemon's parts, collected for `/readyz`, `/api/v1/status` and the metrics.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use actor_tree::health::Health;
use chrono::{DateTime, TimeDelta, Utc};

use super::{gauges::Gauges, tree::PARTS};
use crate::{
    actors::{
        services::Services,
        supervision::{status::ChildStatus, tree_status::TreeStatus},
    },
    domain::shown_url::shown_url,
    horizon::budget::Class,
    http::Views,
    instruments::Exposition,
    published::{BudgetFault, BudgetUse, HorizonState, Part, Vitals},
};

/// Interval between two collections.
pub(super) const POLL: Duration = Duration::from_millis(500);
/// Collects health in a loop. Also keeps the histograms small, see [`Exposition::run_upkeep`], and
/// drops views of the API that nobody reads.
pub(super) async fn watch(
    status: Arc<TreeStatus>,
    services: Services,
    metrics: Exposition,
    views: Arc<Views>,
) {
    let vitals = &services.published.vitals;
    let mut gauges = Gauges::new(services.began);
    loop {
        publish_children(&status, vitals, services.clock.now());
        let budget = budget_use(&services);
        publish_horizon(&services, &budget);
        vitals.budget.store(Some(Arc::new(budget)));
        gauges.publish(&status, &services);
        metrics.run_upkeep();
        views.drop_if_idle(Instant::now());
        actix_rt::time::sleep(POLL).await;
    }
}

fn publish_children(status: &TreeStatus, vitals: &Vitals, now: DateTime<Utc>) {
    let children = status.children();
    let down: Vec<&str> =
        children.iter().filter(|child| !child.is_running()).map(|child| child.name()).collect();
    if down.is_empty() {
        vitals.children.succeeds("all run", now);
    } else {
        vitals.children.fails(format!("down: {}", down.join(", ")), now);
    }
    vitals.parts.store(Arc::new(parts(children, vitals)));
}

/// Collects the health of the parts. While another replica leads, forgets the health of the leader's parts: it would
/// be out of date once this replica leads again. Each call forgets it again, because work that is still under way may
/// report once more. While the database does not answer, no other replica is known to lead, so nothing is forgotten.
fn parts(children: &[Arc<ChildStatus>], vitals: &Vitals) -> Vec<(Part, Health)> {
    let another_leads = vitals.another_leads.load(Ordering::Relaxed);
    let check = |(actor, part): (&str, Option<Part>)| {
        let part = part?;
        let child = children.iter().find(|child| child.name() == actor)?;
        if another_leads && part.is_leaders {
            child.forget_health();
        }
        Some((part, child.health()?))
    };
    PARTS.iter().copied().filter_map(check).collect()
}

/// Reports the use of the request budget for metrics and `/api/v1/status`.
fn budget_use(services: &Services) -> BudgetUse {
    let report = services.limiter.report();
    let requests = Class::ALL.iter().zip(report.granted).map(|(class, count)| (class.name(), count));
    BudgetUse {
        requests_per_hour: report.per_hour,
        tokens: report.tokens,
        remaining: report.reported_remaining,
        blocked_s: report.blocked_for.as_secs_f64(),
        requests: requests.collect(),
    }
}

fn publish_horizon(services: &Services, budget: &BudgetUse) {
    let (limiter, vitals, now) = (&services.limiter, &services.published.vitals, services.clock.now());
    let at = |since: Instant| {
        let ago = services.clock.monotonic().saturating_duration_since(since);
        now - TimeDelta::from_std(ago).unwrap_or_default()
    };
    vitals.horizon.store(Some(Arc::new(HorizonState {
        url: shown_url(&services.config.horizon_url),
        outage: limiter.outage().map(|outage| (at(outage.since), outage.error)),
        was_answered: limiter.was_answered(),
    })));
    let fault =
        limiter.live_waits_since().map(|since| BudgetFault { since: at(since), detail: reason(budget) });
    vitals.budget_fault.store(fault.map(Arc::new));
}

/// Explains why requests for live trades wait.
fn reason(budget: &BudgetUse) -> String {
    if budget.blocked_s > 0.0 {
        return format!(
            "Horizon refuses requests for another {:.0} s: another client uses the same address, or --horizon-requests-per-hour is too high",
            budget.blocked_s
        );
    }
    if budget.remaining == Some(0) {
        return "requests for live trades wait: Horizon's own limit is used up, by another client at this address or by this one before it restarted".to_owned();
    }
    format!(
        "requests for live trades wait: a limit of {} per hour is too low, raise --horizon-requests-per-hour",
        budget.requests_per_hour
    )
}

#[cfg(test)]
mod tests {
    use actor_tree::trace::recorder::Recorder;

    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn failures_of_the_leaders_parts_are_forgotten_while_another_replica_leads() {
        let clock = SystemClock::shared();
        let children = ["cleaner", "json_writer"]
            .map(|name| ChildStatus::new(name, 8, Arc::clone(&clock), Recorder::off(Arc::clone(&clock))));
        let fail = || children.iter().for_each(|child| child.fails(&"no disk"));
        let vitals = Vitals::default();
        let names = |another_leads: bool| -> Vec<&str> {
            vitals.another_leads.store(another_leads, Ordering::Relaxed);
            parts(&children, &vitals).iter().map(|(part, _)| part.name).collect()
        };
        fail();
        assert_eq!(names(false), ["cleaning", "files"]);
        assert_eq!(names(true), ["files"]);
        assert_eq!(names(false), ["files"], "this replica leads again, and has not cleaned yet");
        let [cleaner, _] = &children;
        fail();
        let failed_at = cleaner.health().unwrap().at;
        assert!(failed_at >= children[1].health().unwrap().at, "its failure began after the take-over");
        assert_eq!(names(false), ["cleaning", "files"]);
    }

    #[test]
    fn failures_of_the_leaders_parts_are_kept_while_nobody_knows_who_leads() {
        let clock = SystemClock::shared();
        let recorder = Recorder::off(Arc::clone(&clock));
        let cleaner = ChildStatus::new("cleaner", 8, Arc::clone(&clock), recorder);
        cleaner.fails(&"no disk");
        let vitals = Vitals::default();
        vitals.leader.fails("unknown: the database does not answer", clock.now());
        assert!(vitals.follows(), "its lease ran out");
        let shown = parts(&[Arc::clone(&cleaner)], &vitals);
        assert_eq!(shown.iter().map(|(part, _)| part.name).collect::<Vec<_>>(), ["cleaning"]);
        assert!(cleaner.health().is_some_and(|health| !health.ok), "it fails once this replica leads again");
    }

    #[test]
    fn a_higher_limit_is_advised_only_if_that_helps() {
        let budget = BudgetUse {
            requests_per_hour: 60,
            tokens: 0.0,
            remaining: Some(9),
            blocked_s: 0.0,
            requests: Vec::new(),
        };
        assert!(reason(&budget).contains("a limit of 60 per hour is too low"));
        let used_up = reason(&BudgetUse { remaining: Some(0), ..budget.clone() });
        assert!(
            used_up.contains("Horizon's own limit is used up") && !used_up.contains("raise"),
            "{used_up}"
        );
        let refused = reason(&BudgetUse { remaining: Some(0), blocked_s: 7.0, ..budget });
        assert!(refused.starts_with("Horizon refuses requests for another 7 s"), "{refused}");
    }
}
