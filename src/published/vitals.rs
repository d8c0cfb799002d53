//! How the parts of the daemon are doing, each told by the part itself.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use chrono::{DateTime, SecondsFormat, Utc};
use std::sync::Arc;

use crate::domain::{coverage::LedgerRange, instant::UnixSeconds};

/// What a part last said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Whether all is well.
    pub ok: bool,
    /// Short text without secrets. It may contain text of Horizon or of a proxy: strip hidden characters before showing it.
    pub detail: String,
    /// When it last was well (`ok`), or since when it is not.
    pub at: DateTime<Utc>,
}

/// How far the filling of history has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backfilled {
    /// How much of the wanted time is held, 0 to 1.
    pub done_ratio: f64,
    /// Seconds until all is held, by the pace so far; none where there is no pace yet.
    pub eta_s: Option<f64>,
    /// Trades that this filling has stored.
    pub trades: u64,
    /// How many that is a second.
    pub trades_per_second: u64,
    /// How far back everything is held without a gap.
    pub whole_back_to: Option<UnixSeconds>,
}

/// Ledgers that are wanted and lie below all that is held: gone upstream, or not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnreadHistory {
    /// The first of them; none if Horizon no longer has them, since its number is then unknown.
    pub from: Option<u32>,
    /// The last of them.
    pub to: u32,
    /// From when on they are wanted.
    pub from_time: UnixSeconds,
    /// When the first ledger that is held closed.
    pub to_time: UnixSeconds,
}

/// How the budget of requests to Horizon stands.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetUse {
    /// What the operator allows; 0 is no limit.
    pub requests_per_hour: u32,
    /// Requests that may go at once.
    pub tokens: f64,
    /// What Horizon last said is left.
    pub remaining: Option<u32>,
    /// Seconds until anything may go again, after Horizon refused a request.
    pub blocked_s: f64,
    /// Requests so far by class, in the order in which classes are served.
    pub requests: Vec<(&'static str, u64)>,
}

/// What the self-audit has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SelfAudit {
    /// When the last pass that compared all markets ended; none before the first did.
    pub at: Option<DateTime<Utc>>,
    /// How many markets the last pass compared.
    pub markets: u64,
    /// How many it could not, or not in time.
    pub unread: u64,
    /// Figures that differed twice, in that pass or so far in the one after it if that found any.
    pub differences: u64,
    /// Markets whose windows were rebuilt for that and agree now.
    pub repaired: u64,
}

/// What reading held ledgers again from Horizon has found, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reread {
    /// When ledgers were last read again.
    pub at: Option<DateTime<Utc>>,
    /// Ledgers that were read.
    pub ledgers: u64,
    /// Trades that were missing and are held now.
    pub missing: u64,
    /// Rows that are held with other figures than Horizon tells; they stay, and what Horizon tells is in quarantine.
    pub contradicting: u64,
    /// Rows that Horizon does not have; they stay, and are told in quarantine.
    pub surplus: u64,
}

/// Reachability of Horizon, shared by all its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HorizonState {
    /// Its base URL as anyone may see it.
    pub url: String,
    /// Since when requests fail and none is answered, and what the last one said.
    pub outage: Option<(DateTime<Utc>, String)>,
    /// Any request was answered since the start.
    pub was_answered: bool,
}

impl HorizonState {
    /// Text about an outage for readers.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let (since, error) = self.outage.as_ref()?;
        let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
        Some(format!("{} cannot be reached since {since}: {error}", self.url))
    }
}

/// Requests for live trades that wait, and none goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetFault {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Why, and what to do.
    pub detail: String,
}

/// What each part last said of itself. None: it has said nothing yet.
#[derive(Debug, Default)]
pub struct Vitals {
    /// PostgreSQL, by whoever used it last.
    pub database: ArcSwapOption<Check>,
    /// Horizon's stream of trades; `at` moves on with every byte.
    pub stream: ArcSwapOption<Check>,
    /// Horizon.
    pub horizon: ArcSwapOption<HorizonState>,
    /// The budget of requests keeps live trades waiting.
    pub budget_fault: ArcSwapOption<BudgetFault>,
    /// Further parts whose work may fail for long, by the names of their checks.
    pub parts: ArcSwap<Vec<(&'static str, Check)>>,
    /// The supervised actors.
    pub children: ArcSwapOption<Check>,
    /// Whether this replica leads; `ok` means that it does.
    pub leader: ArcSwapOption<Check>,
    /// Who this replica is in the lease.
    pub replica_id: ArcSwapOption<String>,
    /// Which ledgers are held whole, merged and in order.
    pub coverage: ArcSwap<Vec<LedgerRange>>,
    /// How far the filling of history has come; none where another replica does it, or before it began.
    pub backfill: ArcSwapOption<Backfilled>,
    /// Wanted history below all that is held, which Horizon no longer has or did not give.
    pub unread_history: ArcSwapOption<UnreadHistory>,
    /// How the budget of requests stands.
    pub budget: ArcSwapOption<BudgetUse>,
    /// What the self-audit has found; none before it has said anything.
    pub audit: ArcSwapOption<SelfAudit>,
    /// What reading again has found; none where nothing was read again.
    pub reread: ArcSwapOption<Reread>,
    /// The newest ledger of a trade in the pages that were last read; 0 before any were.
    pub newest_by_pages: AtomicU32,
    /// The network passphrase that Horizon last told is another than the configured one.
    pub wrong_network: AtomicBool,
    /// The daemon is on its way out.
    draining: AtomicBool,
}

impl Vitals {
    /// Keeps what a part says; a fault keeps the moment at which it began.
    pub fn tell(cell: &ArcSwapOption<Check>, ok: bool, detail: impl Into<String>, now: DateTime<Utc>) {
        let since = cell.load().as_ref().filter(|last| !ok && !last.ok).map_or(now, |last| last.at);
        cell.store(Some(Arc::new(Check { ok, detail: detail.into(), at: since })));
    }

    /// From now on no new reader shall be sent here.
    pub fn begin_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the daemon is on its way out.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_keeps_the_moment_at_which_it_began() {
        let vitals = Vitals::default();
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        for (ok, now, since) in [(true, 1, 1), (true, 2, 2), (false, 3, 3), (false, 4, 3), (true, 5, 5)] {
            Vitals::tell(&vitals.database, ok, "", at(now));
            assert_eq!(vitals.database.load().as_ref().unwrap().at, at(since));
        }
    }
}
