//! The stored facts that views show: the assets that stand for codes, and the accounts behind markets. Every replica
//! reads them, and the leader determines them each hour.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ticker_formats::listings::facts::HourlyFacts;
use tracing::info;

use crate::{
    clock::SharedClock,
    db::{Database, DbError},
    domain::{
        asset::Asset,
        instant::{HOUR, NOTICE, UnixSeconds},
        symbol_choice::{self, Choices},
        symbols::candidates,
    },
    published::Published,
};

/// Interval at which a replica reads the facts. A new one counts only after [`NOTICE`], so that all replicas know it by
/// then.
const READ: Duration = Duration::from_secs(60);
const _: () = assert!(NOTICE > 120, "two readings must fit into the notice");
/// Interval at which the leader checks the choices.
const CHECK: Duration = Duration::from_secs(3_600);

/// Reader and writer of the facts.
#[derive(Clone)]
pub struct Hourly {
    /// Publications, from which volumes are taken, and the cell that receives the facts.
    pub published: Arc<Published>,
    /// Assets that count as one dollar.
    pub anchors: Arc<[Asset]>,
}

/// Times of the last reading and of the last check.
#[derive(Default)]
pub(super) struct Times {
    read_at: Option<Instant>,
    checked_at: Option<Instant>,
}

impl Times {
    fn is_due(last: Option<Instant>, interval: Duration) -> bool {
        last.is_none_or(|last| last.elapsed() >= interval)
    }
}

impl Hourly {
    /// Reads the facts if a minute has passed. An error leaves them as they are until the next attempt.
    pub(super) async fn read(&self, database: &Database, times: &mut Times) -> Result<(), DbError> {
        if !Times::is_due(times.read_at, READ) {
            return Ok(());
        }
        times.read_at = Some(Instant::now());
        let held = self.published.vitals.hourly.load_full();
        let known = held.accounts.0.first().map(|count| count.until);
        let accounts = database.newer_market_accounts(known).await?;
        let facts = HourlyFacts {
            choices: database.symbol_choices().await?,
            accounts: accounts.unwrap_or_else(|| held.accounts.clone()),
        };
        self.published.vitals.hourly.store(Arc::new(facts));
        Ok(())
    }

    /// Counts the accounts of the 24 hours up to the last full hour whose ledgers are held, unless that is done. Waits
    /// for the whole history. Calls `advance` around the count, which may take minutes.
    pub(super) async fn count(
        &self,
        database: &Database,
        epoch: i64,
        clock: &SharedClock,
        advance: impl Fn(),
    ) -> Result<(), DbError> {
        let now = UnixSeconds::from(clock.now());
        let Some(held) = self.published.vitals.coverage.load().last().map(|range| range.to_time.min(now))
        else {
            return Ok(());
        };
        let until = UnixSeconds(held.0 - held.0.rem_euclid(HOUR));
        let facts = self.published.vitals.hourly.load();
        // A count up to a moment in the future comes from a clock that was ahead. It is replaced.
        let is_done = facts.accounts.0.iter().any(|count| (until..=now).contains(&count.until));
        if is_done || !self.has_whole_history() {
            return Ok(());
        }
        advance();
        let count = database.count_market_accounts(until, now.plus(NOTICE)).await?;
        advance();
        database.record_market_accounts(epoch, &count).await?;
        info!(markets = count.markets.len(), until = %until.to_rfc3339(), "accounts behind markets counted");
        let mut accounts = facts.accounts.clone();
        accounts.0.retain(|known| known.until < until);
        accounts.0.insert(0, count);
        accounts.0.truncate(2);
        let facts = HourlyFacts { accounts, choices: facts.choices.clone() };
        self.published.vitals.hourly.store(Arc::new(facts));
        Ok(())
    }

    fn has_whole_history(&self) -> bool {
        self.published.vitals.backfill.load().as_ref().is_some_and(|backfill| backfill.done_ratio >= 1.0)
    }

    /// Checks the choices if an hour has passed, and stores them. Waits for the whole history: volumes of a part of it
    /// would choose wrongly.
    pub(super) async fn check(
        &self,
        database: &Database,
        epoch: i64,
        clock: &SharedClock,
        times: &mut Times,
    ) -> Result<(), DbError> {
        let Some(newest) = self.published.newest().filter(|_| self.has_whole_history()) else {
            return Ok(());
        };
        if !Times::is_due(times.checked_at, CHECK) {
            return Ok(());
        }
        let stored = database.symbol_choices().await?;
        let now = UnixSeconds::from(clock.now());
        let choices = symbol_choice::next(&stored, &candidates(&newest.snapshot, &self.anchors), now);
        if !choices.is_empty() {
            database.record_symbol_choices(epoch, &choices).await?;
        }
        times.checked_at = Some(Instant::now());
        report(&stored, &choices);
        let accounts = self.published.vitals.hourly.load().accounts.clone();
        self.published.vitals.hourly.store(Arc::new(HourlyFacts { choices, accounts }));
        Ok(())
    }
}

/// Logs each code whose asset changed.
fn report(before: &Choices, after: &Choices) {
    for (code, choice) in after {
        let Some(was) = before.get(code).filter(|was| was.asset != choice.asset) else { continue };
        info!(
            code,
            from = was.asset.issuer(),
            to = choice.asset.issuer(),
            since = %choice.since.to_rfc3339(),
            "symbol changed: another issuer had led for 7 days"
        );
    }
}
