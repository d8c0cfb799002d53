//! Health of the daemon's parts, reported by the parts themselves.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use actor_tree::health::Health;
use arc_swap::{ArcSwap, ArcSwapOption};
use chrono::{DateTime, SecondsFormat, Utc};

use super::{LakeCell, health_cell::HealthCell};
use crate::domain::{
    conversions::SaturatingFrom, coverage::LedgerRange, instant::UnixSeconds, ledger_source::LedgerSource,
};

/// A part of the daemon that may fail for long while its actor runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Name of its check in `/readyz`.
    pub name: &'static str,
    /// True if only the leader does this work. A follower does not show the check.
    pub is_leaders: bool,
    /// Seconds for which it may fail before its check fails, since single failures are normal.
    pub grace_s: i64,
}

impl Part {
    /// Seconds of grace for work that asks others: Horizon, issuers' hosts, a busy database.
    pub const GRACE_S: i64 = 30;

    /// Work of the leader, whose single failures are normal.
    #[must_use]
    pub const fn of_leader(name: &'static str) -> Self {
        Self { name, is_leaders: true, grace_s: Self::GRACE_S }
    }

    /// Work of every replica. Its first failure counts.
    #[must_use]
    pub const fn of_replica(name: &'static str) -> Self {
        Self { name, is_leaders: false, grace_s: 0 }
    }

    /// The same, but single failures are normal.
    #[must_use]
    pub const fn with_grace(self) -> Self {
        Self { grace_s: Self::GRACE_S, ..self }
    }
}

/// Times for which parts may fail before their checks in `/readyz` do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace {
    /// Most seconds of any part.
    pub part_s: i64,
    /// Seconds for which Horizon may be unreachable. A broken connection is replaced within seconds.
    pub horizon_s: i64,
}

impl Grace {
    /// Seconds for Horizon, unless half of the parts' time is less.
    const HORIZON_S: i64 = 10;

    /// Returns times of which none is longer than `longest`.
    #[must_use]
    pub fn of(longest: Duration) -> Self {
        let part_s = i64::saturating_from(longest.as_secs());
        Self { part_s, horizon_s: Self::HORIZON_S.min(part_s / 2) }
    }
}

impl Default for Grace {
    fn default() -> Self {
        Self { part_s: Part::GRACE_S, horizon_s: Self::HORIZON_S }
    }
}

/// Progress of the backfill.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backfilled {
    /// Stored share of the wanted time, 0 to 1.
    pub done_ratio: f64,
    /// Estimated seconds until the backfill is complete, or `None` before there is a rate.
    pub eta_s: Option<f64>,
    /// Trades that this backfill has stored.
    pub trades: u64,
    /// Trades stored per second.
    pub trades_per_second: u64,
    /// Time back to which all ledgers are complete without a gap.
    pub whole_back_to: Option<UnixSeconds>,
}

/// Wanted ledgers below all complete ones, which Horizon no longer has or did not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnreadHistory {
    /// First missing ledger, or `None` if Horizon no longer has it, since its number is then unknown.
    pub from: Option<u32>,
    /// Last missing ledger.
    pub to: u32,
    /// Time back to which ledgers are wanted.
    pub from_time: UnixSeconds,
    /// Close time of the first complete ledger.
    pub to_time: UnixSeconds,
}

/// State of the request budget at Horizon. The health task of the daemon writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetUse {
    /// Requests per hour that the operator allows. 0 means no limit.
    pub requests_per_hour: u32,
    /// Requests that may be sent now.
    pub tokens: f64,
    /// Requests left according to Horizon's last reply.
    pub remaining: Option<u32>,
    /// Seconds until requests may be sent again after a refusal.
    pub blocked_s: f64,
    /// Requests so far by class, in the order in which classes are served.
    pub requests: Vec<(&'static str, u64)>,
}

/// Results of the self-audit. The auditor writes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SelfAudit {
    /// End of the last pass that compared all markets, or `None` before the first.
    pub at: Option<DateTime<Utc>>,
    /// Number of markets that the last pass compared.
    pub markets: u64,
    /// Number of markets that it could not compare, or not in time.
    pub unread: u64,
    /// Figures that differed twice, in the last pass or in the current one if that has found any.
    pub differences: u64,
    /// Markets whose windows were rebuilt for a difference and match now.
    pub repaired: u64,
}

/// Results of rereading stored ledgers from Horizon, since the start. The backfiller writes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reread {
    /// Time of the last reread.
    pub at: Option<DateTime<Utc>>,
    /// Number of ledgers reread.
    pub ledgers: u64,
    /// Trades that were missing and are stored now.
    pub missing: u64,
    /// Rows whose figures differ from Horizon's. They stay, and Horizon's figures go to the quarantine.
    pub contradicting: u64,
    /// Rows that Horizon does not have. They stay, and are listed in the quarantine.
    pub surplus: u64,
}

/// Reachability of Horizon, shared by all its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HorizonState {
    /// Base URL without secrets.
    pub url: String,
    /// Start and last error of the current outage, or `None` if Horizon answers.
    pub outage: Option<(DateTime<Utc>, String)>,
    /// True if any request was answered since the start.
    pub was_answered: bool,
}

impl HorizonState {
    /// Text about the outage for readers, or `None` without one.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let (since, error) = self.outage.as_ref()?;
        let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
        Some(format!("{} cannot be reached since {since}: {error}", self.url))
    }
}

/// Report that requests for live trades wait and none is admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetFault {
    /// Start of the wait.
    pub since: DateTime<Utc>,
    /// Reason, and what the operator can do.
    pub detail: String,
}

/// Reports of work with PostgreSQL.
#[derive(Debug, Default)]
pub struct DatabaseVitals {
    /// Answers of the database. Written by the lease keeper.
    pub answers: HealthCell,
    /// Failing reads of committed trades, until one succeeds. The database may answer others meanwhile. Written by the
    /// aggregator.
    pub unreadable: HealthCell,
    /// Failing requests for the lease although the database answers, until one succeeds. Written by the lease keeper.
    pub unleased: HealthCell,
    /// Failing writes of the stream's trades, until one succeeds or the lease is lost. Written by the writers of
    /// trades.
    pub unwritable_stream: HealthCell,
    /// The same for trades of history and repairs. A success of the stream ends this fault too.
    pub unwritable_history: HealthCell,
}

impl DatabaseVitals {
    /// Forgets failed writes of trades, if it is unknown whether the next one succeeds.
    pub fn forget_writes(&self) {
        self.unwritable_stream.clear();
        self.unwritable_history.clear();
    }
}

/// Last report of each part. `None` until a part has reported.
#[derive(Debug, Default)]
pub struct Vitals {
    /// PostgreSQL.
    pub database: DatabaseVitals,
    /// Horizon's stream of trades. Every received byte updates `at`.
    pub stream: HealthCell,
    /// Reachability of Horizon.
    pub horizon: ArcSwapOption<HorizonState>,
    /// Set while the request budget delays live trades.
    pub budget_fault: ArcSwapOption<BudgetFault>,
    /// Further parts that may fail for a long time, and their checks.
    pub parts: ArcSwap<Vec<(Part, Health)>>,
    /// Times for which parts may fail before their checks do. Only tests change them.
    pub grace: ArcSwap<Grace>,
    /// Free space for the files and the private PostgreSQL.
    pub disk: HealthCell,
    /// Supervised actors.
    pub children: HealthCell,
    /// Leadership. `ok` means that this replica leads.
    pub leader: HealthCell,
    /// True if another replica leads by the database's last answer. Without an answer, [`Self::follows`] may be true
    /// although nobody else leads. Written by the lease keeper.
    pub another_leads: AtomicBool,
    /// Id of this replica in the lease.
    pub replica_id: ArcSwapOption<String>,
    /// Complete ledgers, merged and in order.
    pub coverage: ArcSwap<Vec<LedgerRange>>,
    /// Progress of the backfill. `None` if another replica does it, or before it began. The backfiller writes it, and
    /// the lease keeper removes it.
    pub backfill: ArcSwapOption<Backfilled>,
    /// Wanted history below all complete ledgers that Horizon no longer has or did not send. `None` like `backfill`.
    pub unread_history: ArcSwapOption<UnreadHistory>,
    /// State of the request budget.
    pub budget: ArcSwapOption<BudgetUse>,
    /// Results of the self-audit. `None` before its first report.
    pub audit: ArcSwapOption<SelfAudit>,
    /// Results of rereading. `None` if nothing was reread.
    pub reread: ArcSwapOption<Reread>,
    /// State of the data lake. None without a lake.
    pub lake: LakeCell,
    /// Source of new trades. The daemon sets it at its start.
    pub live_source: ArcSwap<LedgerSource>,
    /// Time of the last batch of trades that this replica committed. Written by the writers of trades.
    pub committed_at: ArcSwapOption<DateTime<Utc>>,
    /// Time at which the legacy files last followed a publication while no other file failed. Written by the JSON
    /// writer.
    pub files_written_at: ArcSwapOption<DateTime<Utc>>,
    /// True once the daemon shuts down.
    draining: AtomicBool,
}

impl Vitals {
    /// Text about a fault of Horizon or of the lake for readers, or `None` if both answer. If both fail, the fault is
    /// that of the source of new trades.
    #[must_use]
    pub fn source_fault(&self) -> Option<String> {
        let horizon = self.horizon.load().as_ref().and_then(|horizon| horizon.fault());
        let lake = self.lake.load().and_then(|lake| lake.fault());
        match **self.live_source.load() {
            LedgerSource::Horizon => horizon.or(lake),
            LedgerSource::Lake | LedgerSource::Rpc => lake.or(horizon),
        }
    }

    /// Returns true if this replica is known not to lead. Whether another one does may be unknown.
    #[must_use]
    pub fn follows(&self) -> bool {
        self.leader.load().as_ref().is_some_and(|leader| !leader.ok)
    }

    /// Marks the daemon as shutting down, so that no new reader is sent here.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Returns true if the daemon shuts down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::published::LakeUse;

    #[test]
    fn the_fault_is_that_of_the_source_of_new_trades_if_both_fail() {
        let vitals = Vitals::default();
        assert_eq!(vitals.source_fault(), None);
        let at = DateTime::from_timestamp(9, 0).unwrap();
        let fail_lake = |error: &str| {
            vitals
                .lake
                .update(|lake| lake.outages.note(LakeUse::Recent, at, "file:///lake", error.to_owned()));
        };
        fail_lake("gone");
        let lake = Some("file:///lake cannot be read since 1970-01-01T00:00:09Z: gone".to_owned());
        assert_eq!(vitals.source_fault(), lake, "Horizon answers");
        let outage = Some((at, "refused".to_owned()));
        vitals.horizon.store(Some(Arc::new(HorizonState {
            url: "http://h".into(),
            outage,
            was_answered: false,
        })));
        let horizon = Some("http://h cannot be reached since 1970-01-01T00:00:09Z: refused".to_owned());
        assert_eq!(vitals.source_fault(), horizon);
        for source in [LedgerSource::Lake, LedgerSource::Rpc] {
            vitals.live_source.store(Arc::new(source));
            assert_eq!(vitals.source_fault(), lake);
        }
        vitals.lake.update(|lake| lake.outages.end(LakeUse::Recent));
        assert_eq!(vitals.source_fault(), horizon, "the lake answers");
    }
}
