//! Facts about the database for `doctor`. Reads only.

use chrono::{DateTime, NaiveDate, Utc};

use super::{Database, DbError};
use crate::domain::conversions::Integer;

/// Advice for a database of another encoding.
pub const ENCODING_REMEDY: &str =
    "create a database with CREATE DATABASE ticker ENCODING 'UTF8' TEMPLATE template0 LOCALE 'C'";
/// Advice for a database whose sessions are in another time zone.
pub const TIMEZONE_REMEDY: &str = "ALTER DATABASE ticker SET timezone = 'UTC'";
/// A day after all others, counted from 1970: in the year 7445.
const LAST_DAY: i64 = 2_000_000;

/// Facts about the server and the database.
#[derive(Clone, Debug, PartialEq)]
pub struct DatabaseFacts {
    /// Version as the server writes it, such as `17.2`.
    pub version: String,
    /// `server_version_num`, such as 170002.
    pub version_number: i32,
    /// Encoding of the database.
    pub encoding: String,
    /// Collation of the database.
    pub collation: String,
    /// Time zone of a session.
    pub timezone: String,
    /// The server's clock minus this machine's, in seconds. Off by the time of a round trip at most.
    pub clock_ahead_s: f64,
    /// True on a standby, which is only read.
    pub is_standby: bool,
}

/// The lease of the ingesting replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// Id of the replica that took it last; empty if none did.
    pub holder: String,
    /// True if it has not expired.
    pub is_held: bool,
}

impl Database {
    /// Returns facts about the server and the database. `now` tells this machine's time.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn examine(&self, now: impl FnOnce() -> DateTime<Utc>) -> Result<DatabaseFacts, DbError> {
        let client = self.client().await?;
        // The connection may have taken seconds.
        let here = now();
        let row = client.query_typed_one(include_str!("sql/requirements/examine.sql"), &[]).await?;
        let there: f64 = row.try_get(5)?;
        let here = here.timestamp_millis().to_f64() / 1_000.0;
        Ok(DatabaseFacts {
            version: row.try_get(0)?,
            version_number: row.try_get(1)?,
            encoding: row.try_get(2)?,
            collation: row.try_get(3)?,
            timezone: row.try_get(4)?,
            clock_ahead_s: there - here,
            is_standby: row.try_get(6)?,
        })
    }

    /// Returns the days of trades that have a partition, the oldest first.
    ///
    /// # Errors
    ///
    /// Any error of the connection, such as a missing schema.
    pub async fn partition_days(&self) -> Result<Vec<NaiveDate>, DbError> {
        self.days_before(LAST_DAY).await
    }

    /// Returns the lease, or none if its row is missing.
    ///
    /// # Errors
    ///
    /// Any error of the connection, such as a missing schema.
    pub async fn lease_view(&self) -> Result<Option<LeaseView>, DbError> {
        let client = self.client().await?;
        let row = client.query_typed_opt(include_str!("sql/lease/examine.sql"), &[]).await?;
        let view = row.map(|row| Ok(LeaseView { holder: row.try_get(0)?, is_held: row.try_get(1)? }));
        view.transpose()
    }

    /// Returns true if the connection leads through a pooler in transaction mode: a second session gets the backend of
    /// the first one, which is still open.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn shares_backends(&self) -> Result<bool, DbError> {
        const BACKEND: &str = "SELECT pg_backend_pid()";
        let first = self.client().await?;
        let second = self.client().await?;
        let of_first: i32 = first.query_typed_one(BACKEND, &[]).await?.try_get(0)?;
        let of_second: i32 = second.query_typed_one(BACKEND, &[]).await?.try_get(0)?;
        Ok(of_first == of_second)
    }
}
