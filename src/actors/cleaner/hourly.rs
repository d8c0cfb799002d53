//! The stored facts that views show: the assets that stand for codes, and the accounts behind markets. Every replica
//! reads them, and the leader determines them each hour.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::info;

use super::backoff::Backoff;
use crate::{
    actors::worker::WorkContext,
    clock::SharedClock,
    db::{Database, DbError},
    domain::{
        asset::Asset,
        coverage,
        instant::{DAY, HOUR, NOTICE, UnixSeconds},
        market_snapshot::MarketSnapshot,
        symbol_choice::{self, Choices},
        symbols::{candidates, is_traded},
    },
    published::Published,
    steps,
};

/// Interval at which a replica reads the facts. A new one counts only after [`NOTICE`], so that all replicas know it by
/// then.
const READ_INTERVAL: Duration = Duration::from_secs(60);
const _: () = assert!(NOTICE > 120, "two readings must fit into the notice");
/// Interval at which the leader checks the choices.
const CHECK_INTERVAL: Duration = Duration::from_secs(3_600);

/// Wait before a failed count is repeated, if the failure was not an outage. A count may take two minutes and run
/// into its time limit.
const COUNT_RETRY: Duration = Duration::from_secs(300);
/// Wait before a failed check is repeated, if the failure was not an outage.
const CHECK_RETRY: Duration = Duration::from_secs(5);

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
pub(super) struct Times {
    read_at: Option<Instant>,
    checked_at: Option<Instant>,
    check_backoff: Backoff,
    counting: Counting,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            read_at: None,
            checked_at: None,
            check_backoff: Backoff::new(CHECK_RETRY),
            counting: Counting::default(),
        }
    }
}

impl Times {
    fn is_due(last: Option<Instant>, interval: Duration) -> bool {
        last.is_none_or(|last| last.elapsed() >= interval)
    }
}

/// Last count of accounts.
struct Counting {
    /// End of the last count that succeeded. One without trades is not stored, and must not be repeated either.
    counted: Option<UnixSeconds>,
    backoff: Backoff,
}

impl Default for Counting {
    fn default() -> Self {
        Self { counted: None, backoff: Backoff::new(COUNT_RETRY) }
    }
}

impl Counting {
    fn is_due(&self, until: UnixSeconds, now: Instant) -> bool {
        self.counted != Some(until) && self.backoff.is_over(now)
    }

    fn succeeded(&mut self, until: UnixSeconds) {
        self.counted = Some(until);
        self.backoff.reset();
    }
}

impl Hourly {
    /// Reads the facts if a minute has passed. An error leaves them as they are until the next attempt.
    pub(super) async fn read(&self, database: &Database, times: &mut Times) -> Result<(), DbError> {
        if !Times::is_due(times.read_at, READ_INTERVAL) {
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

    /// Counts the accounts of the 24 hours before the last full hour whose ledgers are held. Does nothing if that
    /// count exists, failed recently, or those ledgers are not all held. Reports progress around the count, which may
    /// take minutes.
    pub(super) async fn count(
        &self,
        database: &Database,
        epoch: i64,
        clock: &SharedClock,
        times: &mut Times,
        context: &WorkContext,
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
        context.advance();
        let step = context.step(steps::COUNT_ACCOUNTS, None);
        let counted = self.store_count(database, epoch, until, now.plus(NOTICE)).await;
        step.ended(&counted);
        context.advance();
        match &counted {
            Ok(()) => times.counting.succeeded(until),
            Err(error) => times.counting.backoff.note_failure(error, Instant::now()),
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
        if !Times::is_due(times.checked_at, CHECK_INTERVAL) || !times.check_backoff.is_over(Instant::now()) {
            return Ok(());
        }
        let checked = self.store_choices(database, epoch, clock, &newest.snapshot).await;
        match &checked {
            Ok(()) => {
                times.checked_at = Some(Instant::now());
                times.check_backoff.reset();
            }
            Err(error) => times.check_backoff.note_failure(error, Instant::now()),
        }
        checked
    }

    /// Determines the choices, stores and publishes them.
    async fn store_choices(
        &self,
        database: &Database,
        epoch: i64,
        clock: &SharedClock,
        snapshot: &MarketSnapshot,
    ) -> Result<(), DbError> {
        let stored = database.symbol_choices().await?;
        let now = UnixSeconds::from(clock.now());
        let candidates = candidates(snapshot, &self.anchors);
        let choices = symbol_choice::next(&stored, &candidates, |asset| is_traded(snapshot, asset), now);
        if !choices.is_empty() {
            database.record_symbol_choices(epoch, &choices).await?;
        }
        let is_forgotten = |code: &&str| !choices.contains_key(*code);
        let forgotten: Vec<&str> = stored.keys().map(String::as_str).filter(is_forgotten).collect();
        if !forgotten.is_empty() {
            database.forget_symbol_choices(epoch, &forgotten).await?;
            info!(symbols = forgotten.len(), "stored symbols deleted: no candidate for a year");
        }
        report(&stored, &choices);
        self.published.facts.set_choices(&choices);
        Ok(())
    }
}

/// Logs each code whose asset changed.
fn report(before: &Choices, after: &Choices) {
    for (code, choice) in after {
        let Some(was) = before.get(code).filter(|was| was.asset != choice.asset) else { continue };
        let reason = if choice.previous == Some(was.asset) {
            "another issuer had led for 7 days"
        } else {
            "its issuer had not stood for it for a year"
        };
        info!(
            code,
            from = was.asset.issuer(),
            to = choice.asset.issuer(),
            since = %choice.since.to_rfc3339(),
            reason,
            "symbol changed"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_fails_waits_and_that_of_an_hour_without_trades_is_made_once() {
        let (mut counting, now) = (Counting::default(), Instant::now());
        let until = UnixSeconds(HOUR);
        assert!(counting.is_due(until, now));
        counting.backoff.note_failure(&DbError::Corrupt("a count".to_owned()), now);
        let after = |seconds| now.checked_add(Duration::from_secs(seconds)).unwrap();
        assert!(!counting.is_due(until, after(299)) && counting.is_due(until, after(300)));
        counting.succeeded(until);
        assert!(!counting.is_due(until, now) && counting.is_due(until.plus(HOUR), now));
    }
}
