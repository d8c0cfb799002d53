//! The lease of `ingest_lease`: its row names the leader, and the clock of the server decides when it expires.

use std::time::Duration;

use tokio_postgres::{
    Error,
    error::SqlState,
    types::{ToSql, Type},
};
use tracing::warn;

use super::{Database, DbError};

/// Attempts of a statement that changes the row of the lease, which every write changes too. It runs outside of a
/// transaction, with the isolation that the server has: above read committed it fails if it had to wait for a write.
/// The limit only ends a loop that PostgreSQL never ends.
const TRIES_MAX: u32 = 20;

impl Database {
    /// Takes the lease for `ttl` if it has expired, or if its end is so late that the server's clock must have been
    /// ahead when it was taken. Returns its epoch, or none if another replica holds it. Restores the row if somebody
    /// deleted it.
    ///
    /// # Errors
    ///
    /// [`DbError::OtherNetwork`] or [`DbError::Replaced`] if the database is not the one of the start: nothing is taken
    /// then. Or any error of the connection.
    pub async fn take_lease(&self, holder: &str, ttl: Duration) -> Result<Option<i64>, DbError> {
        self.take(holder, ttl, false).await
    }

    /// Takes the lease like [`Self::take_lease`], and also from a leader that cannot read new trades.
    ///
    /// # Errors
    ///
    /// Those of [`Self::take_lease`].
    pub async fn take_lease_from_blind(&self, holder: &str, ttl: Duration) -> Result<Option<i64>, DbError> {
        self.take(holder, ttl, true).await
    }

    async fn take(&self, holder: &str, ttl: Duration, from_blind: bool) -> Result<Option<i64>, DbError> {
        let client = self.client().await?;
        self.claim.check(&**client).await?;
        let network = self.claim.network();
        let params: [(&(dyn ToSql + Sync), Type); 4] = [
            (&holder, Type::TEXT),
            (&ttl.as_secs_f64(), Type::FLOAT8),
            (&network, Type::TEXT),
            (&from_blind, Type::BOOL),
        ];
        let take = include_str!("sql/lease/take.sql");
        let mut row = unless_serialized(async || client.query_typed_opt(take, &params).await).await?;
        if row.is_none() && client.execute_typed(include_str!("sql/lease/restore.sql"), &[]).await? > 0 {
            warn!("the row of the lease was missing and was created again");
            row = unless_serialized(async || client.query_typed_opt(take, &params).await).await?;
        }
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// True if the lease is held by a leader that cannot read new trades.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn is_led_by_blind(&self) -> Result<bool, DbError> {
        let client = self.client().await?;
        let row = client.query_typed_opt(include_str!("sql/lease/is_led_by_blind.sql"), &[]).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
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
        self.renew(epoch, ttl, false).await
    }

    /// Renews the lease like [`Self::renew_lease`], and marks its holder as one that cannot read new trades, until the
    /// next renewal without this mark. A replica that can read them may take it.
    ///
    /// # Errors
    ///
    /// Those of [`Self::renew_lease`].
    pub async fn renew_lease_as_blind(&self, epoch: i64, ttl: Duration) -> Result<bool, DbError> {
        self.renew(epoch, ttl, true).await
    }

    async fn renew(&self, epoch: i64, ttl: Duration, is_blind: bool) -> Result<bool, DbError> {
        let client = self.client().await?;
        let params: [(&(dyn ToSql + Sync), Type); 3] =
            [(&epoch, Type::INT8), (&ttl.as_secs_f64(), Type::FLOAT8), (&is_blind, Type::BOOL)];
        let renew = include_str!("sql/lease/renew.sql");
        Ok(unless_serialized(async || client.execute_typed(renew, &params).await).await? == 1)
    }

    /// Releases the lease if it still belongs to this epoch.
    ///
    /// # Errors
    ///
    /// Any error of the connection. The lease then expires by itself.
    pub async fn release_lease(&self, epoch: i64) -> Result<(), DbError> {
        let client = self.client().await?;
        let params: [(&(dyn ToSql + Sync), Type); 1] = [(&epoch, Type::INT8)];
        let release = include_str!("sql/lease/release.sql");
        unless_serialized(async || client.execute_typed(release, &params).await).await?;
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

/// Runs a statement again if it failed only because another transaction changed the row meanwhile.
async fn unless_serialized<T>(statement: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
    let mut tries = 1;
    loop {
        match statement().await {
            Err(error) if error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE) && tries < TRIES_MAX => {
            }
            outcome => return outcome,
        }
        tries += 1;
    }
}
