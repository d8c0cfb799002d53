//! Partitions of `trades`, one per day. A partition is created before the first trade of its day is inserted.

use chrono::NaiveDate;
use tokio_postgres::{error::SqlState, types::Type};

use super::{Database, DbError, transaction};
use crate::domain::instant::{DAY, UnixSeconds};

/// Largest number of days created in one transaction.
const DAYS_AT_ONCE: usize = 64;
/// Attempts to create a day that another process creates at the same time.
const TRIES_MAX: u32 = 5;
/// Advisory lock for creating partitions, held until the end of the transaction. The number is arbitrary. Without the
/// lock, two processes would lock the rows of the catalogue and the parent table in different orders, and deadlock.
const PARTITION_LOCK: i64 = 0x0073_7465_6c6c_6461;
/// Limits of the wait for that lock and for the lock of the parent table.
const LIMITS: &str = "SET LOCAL lock_timeout = '3s'; SET LOCAL statement_timeout = '10s'";

impl Database {
    /// Creates the missing partitions of these days, which are counted from 1970 in UTC.
    ///
    /// # Errors
    ///
    /// Any error of the connection. Some of the days may have been created by then.
    pub(super) async fn ensure_days(&self, days: impl Iterator<Item = i64>) -> Result<(), DbError> {
        for missing in self.days.missing(days).chunks(DAYS_AT_ONCE) {
            let mut tries = 1;
            while let Err(error) = self.make_days(missing).await {
                // An earlier version of the program, which does not take the lock, created the same day. The next
                // attempt finds it.
                let raced = error.is(&SqlState::DUPLICATE_TABLE) || error.is(&SqlState::UNIQUE_VIOLATION);
                if !raced || tries == TRIES_MAX {
                    return Err(error);
                }
                tries += 1;
            }
            self.days.learn(missing);
        }
        Ok(())
    }

    async fn make_days(&self, days: &[i64]) -> Result<(), DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin(&mut client, LIMITS).await?;
        let lock = "SELECT pg_advisory_xact_lock($1)";
        transaction.execute_typed(lock, &[(&PARTITION_LOCK, Type::INT8)]).await?;
        for day in days {
            let attached = include_str!("sql/clean/is_day.sql");
            let row = transaction.query_typed_one(attached, &[(&name(*day), Type::TEXT)]).await?;
            let is_there: bool = row.try_get(0)?;
            if !is_there {
                let make = include_str!("sql/trades/make_day.sql");
                transaction.query_typed(make, &[(&date(*day), Type::DATE)]).await?;
            }
        }
        Ok(transaction.commit().await?)
    }
}

/// Returns the name of the partition of a day.
fn name(day: i64) -> String {
    date(day).format("trades_p%Y%m%d").to_string()
}

fn date(day: i64) -> NaiveDate {
    UnixSeconds(day.saturating_mul(DAY)).to_utc().date_naive()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_named_by_its_date() {
        assert_eq!((name(20_780), name(0)), ("trades_p20261123".to_owned(), "trades_p19700101".to_owned()));
    }
}
