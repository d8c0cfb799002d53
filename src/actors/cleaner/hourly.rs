//! The stored facts that views show: the assets that stand for codes, and the accounts behind markets. Every replica
//! reads them, and the leader determines them each hour.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::info;

use crate::{
    clock::SharedClock,
    db::{Database, DbError},
    domain::{
        asset::Asset,
        coverage,
        instant::{DAY, HOUR, NOTICE, UnixSeconds},
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

/// Wait before a count is tried again that failed by itself, as one that runs into its time limit does. Each further
/// failure doubles it: a count may take the database two minutes.
const COUNT_AGAIN: Duration = Duration::from_secs(300);
/// Longest wait before a count is tried again.
const COUNT_AGAIN_MAX: Duration = Duration::from_secs(3_600);

/// Share of the wanted history that must be held for a choice. A small gap that never closes must not prevent it.
const CHOICE_SHARE: f64 = 0.99;

/// Reader and writer of the facts.
#[derive(Clone)]
pub struct Hourly {
    /// Publications, from which volumes are taken, and the cell that receives the facts.
    pub published: Arc<Published>,
    /// Assets that count as one dollar.
    pub anchors: Arc<[Asset]>,
}

/// Times of the last reading, of the last check and of the last count.
#[derive(Default)]
pub(super) struct Times {
    read_at: Option<Instant>,
    checked_at: Option<Instant>,
    counting: Counting,
}

impl Times {
    fn is_due(last: Option<Instant>, interval: Duration) -> bool {
        last.is_none_or(|last| last.elapsed() >= interval)
    }
}

/// Last count of accounts.
#[derive(Default)]
struct Counting {
    /// End of the last count that succeeded. One without trades is not stored, and must not be repeated either.
    counted: Option<UnixSeconds>,
    /// Time of the last failure, and the wait after it; none after a success.
    failed: Option<(Instant, Duration)>,
}

impl Counting {
    fn is_due(&self, until: UnixSeconds, now: Instant) -> bool {
        let waits = self.failed.is_some_and(|(at, wait)| now.saturating_duration_since(at) < wait);
        self.counted != Some(until) && !waits
    }

    fn succeeded(&mut self, until: UnixSeconds) {
        *self = Self { counted: Some(until), failed: None };
    }

    /// Notes a failure. One of the whole database, or of the lease, says nothing about the count, which may then be
    /// tried again soon.
    fn failed(&mut self, error: &DbError, now: Instant) {
        if !error.is_outage() && !matches!(error, DbError::LeaseLost) {
            let wait = self.failed.map_or(COUNT_AGAIN, |(_, wait)| wait.saturating_mul(2));
            self.failed = Some((now, wait.min(COUNT_AGAIN_MAX)));
        }
    }
}

impl Hourly {
    /// Reads the facts if a minute has passed. An error leaves them as they are until the next attempt.
    pub(super) async fn read(&self, database: &Database, times: &mut Times) -> Result<(), DbError> {
        if !Times::is_due(times.read_at, READ) {
            return Ok(());
        }
        times.read_at = Some(Instant::now());
        let facts = &self.published.facts;
        let known = facts.load().accounts.0.first().map(|count| count.until);
        if let Some(accounts) = database.newer_market_accounts(known).await? {
            facts.set_accounts(&accounts);
        }
        facts.set_choices(&database.symbol_choices().await?);
        Ok(())
    }

    /// Counts the accounts of the 24 hours up to the last full hour whose ledgers are held, unless that is done or
    /// failed lately. Waits for the whole history. Calls `advance` around the count, which may take minutes.
    pub(super) async fn count(
        &self,
        database: &Database,
        epoch: i64,
        clock: &SharedClock,
        times: &mut Times,
        advance: impl Fn(),
    ) -> Result<(), DbError> {
        let now = UnixSeconds::from(clock.now());
        let coverage = self.published.vitals.coverage.load_full();
        let Some(held) = coverage.last().map(|range| range.to_time.min(now)) else { return Ok(()) };
        let until = UnixSeconds(held.0 - held.0.rem_euclid(HOUR));
        let facts = self.published.facts.load();
        // A count up to a moment in the future comes from a clock that was ahead. It is replaced.
        let is_done = facts.accounts.0.iter().any(|count| (until..=now).contains(&count.until));
        let is_due = times.counting.is_due(until, Instant::now());
        // A gap below that never closes does not matter. Without 24 hours of history, all that is wanted counts.
        let is_held = coverage::is_whole_since(&coverage, until.minus(DAY)) || self.has_history(1.0);
        if is_done || !is_due || !is_held {
            return Ok(());
        }
        advance();
        let counted = self.store_count(database, epoch, until, now.plus(NOTICE)).await;
        advance();
        match &counted {
            Ok(()) => times.counting.succeeded(until),
            Err(error) => times.counting.failed(error, Instant::now()),
        }
        counted
    }

    /// Counts, stores the count and publishes what is stored then: a leader before may have counted the same hour.
    async fn store_count(
        &self,
        database: &Database,
        epoch: i64,
        until: UnixSeconds,
        counts_from: UnixSeconds,
    ) -> Result<(), DbError> {
        let count = database.count_market_accounts(until, counts_from).await?;
        let accounts = database.record_market_accounts(epoch, &count).await?;
        info!(markets = count.markets.len(), until = %until.to_rfc3339(), "accounts behind markets counted");
        self.published.facts.set_accounts(&accounts);
        Ok(())
    }

    /// Returns true if this share of the wanted history is held.
    fn has_history(&self, share: f64) -> bool {
        self.published.vitals.backfill.load().as_ref().is_some_and(|backfill| backfill.done_ratio >= share)
    }

    /// Checks the choices if an hour has passed, and stores them. Waits for nearly the whole history: volumes of a part
    /// of it would choose wrongly.
    pub(super) async fn check(
        &self,
        database: &Database,
        epoch: i64,
        clock: &SharedClock,
        times: &mut Times,
    ) -> Result<(), DbError> {
        let Some(newest) = self.published.newest().filter(|_| self.has_history(CHOICE_SHARE)) else {
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
        self.published.facts.set_choices(&choices);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_fails_by_itself_is_tried_ever_more_seldom_and_that_of_an_hour_without_trades_once() {
        let (mut counting, mut now) = (Counting::default(), Instant::now());
        let until = UnixSeconds(HOUR);
        let own = DbError::Corrupt("a count".to_owned());
        for minutes in [5, 10, 20, 40, 60, 60] {
            assert!(counting.is_due(until, now));
            counting.failed(&own, now);
            now += Duration::from_secs(60 * minutes);
            assert!(!counting.is_due(until, now.checked_sub(Duration::from_secs(1)).unwrap()), "{minutes}");
        }
        counting.succeeded(until);
        assert!(!counting.is_due(until, now) && counting.is_due(until.plus(HOUR), now));
        for error in [DbError::Silent(READ), DbError::LeaseLost] {
            counting.failed(&error, now);
            assert!(counting.is_due(until.plus(HOUR), now), "{error}");
        }
        counting.failed(&own, now);
        assert!(!counting.is_due(until.plus(HOUR), now.checked_add(Duration::from_secs(299)).unwrap()));
    }
}
