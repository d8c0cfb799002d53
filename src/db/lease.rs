//! The lease of `ingest_lease`: its row names the leader, and the clock of the server decides when it expires.

use std::time::Duration;

use tokio_postgres::types::Type;
use tracing::warn;

use super::{Database, DbError};

impl Database {
    /// Takes the lease for `ttl` if it has expired, or if its end is so late that the server's clock must have been
    /// ahead when it was taken. Returns its epoch, or none if another replica holds it. Restores
    /// the row if somebody deleted it.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn take_lease(&self, holder: &str, ttl: Duration) -> Result<Option<i64>, DbError> {
        let client = self.client().await?;
        let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&holder, Type::TEXT), (&ttl.as_secs_f64(), Type::FLOAT8)];
        let take = include_str!("sql/lease/take.sql");
        let mut row = client.query_typed_opt(take, &params).await?;
        if row.is_none() && client.execute_typed(include_str!("sql/lease/restore.sql"), &[]).await? > 0 {
            warn!("the row of the lease was missing and was created again");
            row = client.query_typed_opt(take, &params).await?;
        }
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// True if some replica holds the lease.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn is_led(&self) -> Result<bool, DbError> {
        let client = self.client().await?;
        Ok(client.query_typed_one(include_str!("sql/lease/is_led.sql"), &[]).await?.try_get(0)?)
    }

    /// Renews the lease for `ttl`. Returns false if another replica has taken it.
    ///
    /// # Errors
    ///
    /// Any error of the connection; the outcome is then unknown.
    pub async fn renew_lease(&self, epoch: i64, ttl: Duration) -> Result<bool, DbError> {
        let client = self.client().await?;
        let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&epoch, Type::INT8), (&ttl.as_secs_f64(), Type::FLOAT8)];
        Ok(client.execute_typed(include_str!("sql/lease/renew.sql"), &params).await? == 1)
    }

    /// Releases the lease if it still belongs to this epoch.
    ///
    /// # Errors
    ///
    /// Any error of the connection. The lease then expires by itself.
    pub async fn release_lease(&self, epoch: i64) -> Result<(), DbError> {
        let client = self.client().await?;
        client.execute_typed(include_str!("sql/lease/release.sql"), &[(&epoch, Type::INT8)]).await?;
        Ok(())
    }

    /// Returns the `seq` of the last committed write.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn current_seq(&self) -> Result<i64, DbError> {
        let client = self.client().await?;
        Ok(client.query_typed_one(include_str!("sql/lease/seq.sql"), &[]).await?.try_get(0)?)
    }
}
