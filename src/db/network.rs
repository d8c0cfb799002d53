//! The network whose trades the database holds, and the memory of it for later connections.

use tokio_postgres::{error::SqlState, types::Type};

use super::{Database, DbError};

impl Database {
    /// Claims an empty database for a network, or checks that it holds this network. Only the claim writes, so a
    /// standby can be checked as well. From then on, a connection that leads to another network is refused.
    ///
    /// # Errors
    ///
    /// [`DbError::OtherNetwork`], or an error of the connection.
    pub async fn claim_network(&self, passphrase: &str) -> Result<(), DbError> {
        let client = self.client().await?;
        let get = include_str!("sql/network/get.sql");
        if client.query_typed(get, &[]).await?.is_empty() {
            let claim = include_str!("sql/network/claim.sql");
            client.execute_typed(claim, &[(&passphrase, Type::TEXT)]).await?;
        }
        let held: String = client.query_typed_one(get, &[]).await?.try_get(0)?;
        if held == passphrase {
            self.claim.set_network(passphrase);
            return Ok(());
        }
        Err(DbError::OtherNetwork { held, wanted: passphrase.to_owned() })
    }

    /// Returns the network whose trades the database holds; none before the first start. Writes nothing.
    ///
    /// # Errors
    ///
    /// An error of the connection.
    pub async fn network(&self) -> Result<Option<String>, DbError> {
        let client = self.client().await?;
        match client.query_typed_opt(include_str!("sql/network/get.sql"), &[]).await {
            Ok(row) => Ok(row.map(|row| row.try_get(0)).transpose()?),
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Remembers the identity of the tables. From then on, a connection that leads to other tables is refused. A role
    /// that may not read the table of migrations remembers nothing.
    ///
    /// # Errors
    ///
    /// An error of the connection.
    pub async fn remember_identity(&self) -> Result<(), DbError> {
        match self.identity().await {
            Ok(identity) => self.claim.set_identity(identity),
            Err(error) if error.is(&SqlState::INSUFFICIENT_PRIVILEGE) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
