//! Retention: creates the next days of `trades`, drops the old ones, and trims other tables that grow.
//!
//! `candles/retention.rs` drops candles, and `market_accounts.rs` keeps its last two counts. The hourly check of
//! `symbol_choices` forgets the codes for which no asset might stand for a year. Without its choice, an asset whose
//! trades pause could lose its code at once.

use chrono::{DateTime, NaiveDate, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::{Row, error::SqlState, types::Type};

use super::{
    Database, DbError, candles, coverage,
    fenced::{self, ChangedRows},
};
use crate::domain::{
    conversions::SaturatingFrom,
    instant::{DAY, UnixSeconds},
};

/// Days created ahead of today, so that no batch has to create one at midnight.
const DAYS_AHEAD: i64 = 2;
/// Longest wait for the table's lock before dropping a day. It is short, because later batches queue behind this wait.
const DROP_LOCK_LIMITS: &str = "SET LOCAL lock_timeout = '50ms'";
/// Rows deleted in one transaction.
const ROWS_AT_ONCE: i64 = 10_000;
/// Largest number of quarantined records, whatever their age.
const QUARANTINED_MAX: i64 = 100_000;
/// Number of the newest batches that stay whatever their age, for readers that are behind.
const BATCHES_KEPT_MIN: i64 = 10_000;
/// Largest number of batches, whatever their age: some 130 MB.
const BATCHES_KEPT_MAX: i64 = 1_000_000;

/// Seconds by which no row is newer than a pass, so that all rows count as older.
const ANY_AGE: i64 = 100 * 365 * DAY;

/// Result of a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Number of dropped days.
    pub days: u64,
    /// Number of days that were in use, or whose candles wait to be derived, and of later
    /// ones. The next pass tries again.
    pub days_left: u64,
    /// Number of rows deleted from other tables.
    pub rows: u64,
    /// True if this pass looked for unused markets and did not finish. The next pass continues the search. A pass
    /// looks for them only if all old days are dropped.
    pub is_searching: bool,
}

impl Database {
    /// Creates the next days, drops the days that ended more than `keep_days` ago, and trims older rows
    /// of other tables. Once all old days are dropped, also deletes markets and assets without trades.
    /// Calls `advance` before each transaction.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection. Earlier steps stay committed.
    pub async fn clean(
        &self,
        epoch: i64,
        keep_days: i64,
        now: DateTime<Utc>,
        advance: impl Fn(),
    ) -> Result<Cleaned, DbError> {
        let today = UnixSeconds::from(now).day();
        self.ensure_days(today..=today.saturating_add(DAYS_AHEAD)).await?;
        let edge = UnixSeconds::from(now).minus(keep_days.saturating_mul(DAY));
        let mut cleaned = Cleaned::default();
        let mut days = self.days_before(edge.day()).await?.into_iter();
        while let Some(day) = days.next() {
            advance();
            match self.drop_day(epoch, day).await {
                Ok(()) => cleaned.days += 1,
                Err(error) if error.is(&SqlState::LOCK_NOT_AVAILABLE) => {
                    // Later days wait as well: candles of what is older than a dropped day are never derived again.
                    cleaned.days_left = u64::saturating_from(days.len()).saturating_add(1);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if cleaned.days > 0 {
            self.days.forget();
        }
        // An earlier pass may have failed after it dropped days.
        if self.is_held_before(edge).await? {
            advance();
            self.trim_coverage(epoch).await?;
        }
        let batches = include_str!("sql/clean/trim_batches.sql");
        for (sql, edge, kept) in [
            (batches, edge, BATCHES_KEPT_MIN),
            (batches, UnixSeconds::from(now).plus(ANY_AGE), BATCHES_KEPT_MAX),
            (include_str!("sql/clean/trim_quarantine.sql"), edge, QUARANTINED_MAX),
            (include_str!("sql/clean/trim_toml_files.sql"), edge, 0),
        ] {
            cleaned.rows += self.trim(epoch, sql, edge, kept, &advance).await?;
        }
        // Looking for markets without trades may scan all trades. A pass that is repeated every few seconds must not.
        if cleaned.days_left == 0 {
            let retired = self.retire(epoch, &advance).await?;
            cleaned.rows += retired.rows;
            cleaned.is_searching = retired.is_searching;
        }
        Ok(cleaned)
    }

    /// Returns the days before `day` (counted from 1970) that have a partition, the oldest first.
    pub(super) async fn days_before(&self, day: i64) -> Result<Vec<NaiveDate>, DbError> {
        self.bounded(async {
            let rows = self.client().await?.query_typed(include_str!("sql/clean/days.sql"), &[]).await?;
            let before = UnixSeconds(day.saturating_mul(DAY)).to_utc().date_naive();
            Ok(days_of(&rows)?.into_iter().filter(|its_day| *its_day < before).collect())
        })
        .await
    }

    async fn drop_day(&self, epoch: i64, day: NaiveDate) -> Result<(), DbError> {
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        transaction.batch_execute(DROP_LOCK_LIMITS).await?;
        transaction.query_typed(include_str!("sql/clean/drop_day.sql"), &[(&day, Type::DATE)]).await?;
        fenced::commit(transaction, epoch, "clean", &ChangedRows::default()).await?;
        Ok(())
    }

    /// True if ledgers from before the day of `edge` count as held.
    async fn is_held_before(&self, edge: UnixSeconds) -> Result<bool, DbError> {
        self.bounded(async {
            let day = UnixSeconds(edge.day().saturating_mul(DAY)).to_utc();
            let sql = include_str!("sql/clean/is_held_before.sql");
            let rows = self.client().await?.query_typed(sql, &[(&day, Type::TIMESTAMPTZ)]).await?;
            Ok(rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
        })
        .await
    }

    /// Removes ledgers whose trades were dropped from the coverage. Candles outlive them, and so does the knowledge
    /// which of them are complete.
    async fn trim_coverage(&self, epoch: i64) -> Result<(), DbError> {
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        // A batch that replaces a range meanwhile would hide it from the updates below.
        transaction.batch_execute(include_str!("sql/coverage/lock.sql")).await?;
        let rows = transaction.query_typed(include_str!("sql/coverage/all.sql"), &[]).await?;
        let merged = coverage::merged(&rows)?;
        candles::keep_coverage(&transaction, &merged).await?;
        if merged.len() < rows.len() {
            // Two batches at once may have left ranges that overlap. Shortened, both would begin with the same ledger,
            // which is the key.
            coverage::replace_all(&transaction, &merged).await?;
        }
        if forget_dropped_ledgers(&transaction).await? == 0 {
            return Ok(()); // rolled back: nothing was dropped
        }
        fenced::commit(transaction, epoch, "clean", &ChangedRows::default()).await?;
        Ok(())
    }

    /// Deletes rows older than `edge` beyond the newest `kept`, in steps that hold no lock for long.
    async fn trim(
        &self,
        epoch: i64,
        sql: &str,
        edge: UnixSeconds,
        kept: i64,
        advance: impl Fn(),
    ) -> Result<u64, DbError> {
        let mut deleted = 0;
        loop {
            advance();
            let mut client = self.client().await?;
            let transaction = fenced::begin(&mut client).await?;
            let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] =
                [(&edge.to_utc(), Type::TIMESTAMPTZ), (&kept, Type::INT8), (&ROWS_AT_ONCE, Type::INT8)];
            let step = transaction.execute_typed(sql, &params).await?;
            if step == 0 {
                return Ok(deleted); // Rolled back, so that an empty step uses up no `seq`.
            }
            fenced::commit(transaction, epoch, "clean", &ChangedRows::default()).await?;
            deleted += step;
            // Each step is itself a batch, and so makes another one too many.
            if i64::saturating_from(step) < ROWS_AT_ONCE {
                return Ok(deleted);
            }
        }
    }
}

/// Returns the number of ranges that became shorter or went.
async fn forget_dropped_ledgers(transaction: &Transaction<'_>) -> Result<u64, DbError> {
    let days = days_of(&transaction.query_typed(include_str!("sql/clean/days.sql"), &[]).await?)?;
    // Without any day the date is NULL, and nothing is deleted.
    let oldest = days.first();
    let sql = include_str!("sql/clean/trim_coverage.sql");
    let trimmed = transaction.execute_typed(sql, &[(&oldest, Type::DATE)]).await?;
    let clipped = transaction.execute_typed(include_str!("sql/clean/clip_coverage.sql"), &[]).await?;
    Ok(trimmed + clipped)
}

/// Returns the days of the rows of `days.sql`, the oldest first. Leaves out partitions with other names: somebody
/// attached them by hand.
fn days_of(rows: &[Row]) -> Result<Vec<NaiveDate>, DbError> {
    let names = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
    Ok(names.iter().filter_map(|name| day_of(name)).collect())
}

/// Returns the day of a partition from its name, or none for another name.
fn day_of(partition: &str) -> Option<NaiveDate> {
    let date = NaiveDate::parse_from_str(partition.strip_prefix("trades_p")?, "%Y%m%d").ok()?;
    (partition.len() == "trades_p20260101".len()).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_partitions_have_a_day() {
        assert_eq!(day_of("trades_p19700102"), NaiveDate::from_ymd_opt(1970, 1, 2));
        assert_eq!(day_of("trades_p20261123"), NaiveDate::from_ymd_opt(2026, 11, 23));
        for other in ["trades", "trades_p2026", "trades_default", "trades_p20261399", "trades_p20261123_old"]
        {
            assert_eq!(day_of(other), None, "{other}");
        }
    }
}
