//! The command `start-over`: moves all tables into another schema. Nothing is deleted.

use chrono::{DateTime, Utc};

use super::{Database, DbError, transaction};

/// Longest wait for other sessions that use the tables, and longest move.
const LIMITS: &str = "SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = '60s'";

/// Tables that were set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Name of their schema.
    pub schema: String,
    /// Network whose trades they hold; none if no daemon has used them.
    pub network: Option<String>,
}

impl Database {
    /// Moves all tables of the ticker into a new schema that is named after the time. The next [`Database::migrate`]
    /// creates new tables. Roles that could use the old schema can use the new one, too.
    ///
    /// The functions that create and drop days of trades are dropped, because they name the schema that they belong to.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseHeld`] while a daemon leads, [`DbError::NothingToSetAside`], [`DbError::MayNotSetAside`], or an
    /// error of the connection. Nothing is moved then.
    pub async fn set_aside(&self, now: DateTime<Utc>) -> Result<SetAside, DbError> {
        let schema = now.format("ticker_%Y%m%d_%H%M%S").to_string();
        let mut client = self.client().await?;
        let transaction = transaction::begin(&mut client, LIMITS).await?;
        let is_made: bool =
            transaction.query_typed_one(include_str!("sql/set_aside/is_made.sql"), &[]).await?.try_get(0)?;
        if !is_made {
            return Err(DbError::NothingToSetAside);
        }
        // Locks the row until the end, so that no daemon can take the lease meanwhile.
        let lease = transaction.query_typed_opt(include_str!("sql/set_aside/lease.sql"), &[]).await?;
        let is_held = lease.map(|row| row.try_get(0)).transpose()?.unwrap_or(false);
        if is_held {
            return Err(DbError::LeaseHeld);
        }
        let may: bool =
            transaction.query_typed_one(include_str!("sql/set_aside/may.sql"), &[]).await?.try_get(0)?;
        if !may {
            return Err(DbError::MayNotSetAside);
        }
        let network = transaction.query_typed_opt(include_str!("sql/network/get.sql"), &[]).await?;
        let network = network.map(|row| row.try_get(0)).transpose()?;
        let moving = include_str!("sql/set_aside/move.sql").replace(":schema", &schema);
        transaction.batch_execute(&moving).await?;
        transaction.commit().await?;
        Ok(SetAside { schema, network })
    }

    /// Returns the statement by which an operator deletes tables that were set aside.
    #[must_use]
    pub fn drop_of_set_aside(schema: &str) -> String {
        format!("DROP SCHEMA {schema} CASCADE")
    }
}
