//! The network whose trades the database holds.

use tokio_postgres::types::Type;

use super::{Database, DbError};

impl Database {
    /// Claims an empty database for a network, or checks that it holds this network. Only the claim writes, so a
    /// standby can be checked as well.
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
            return Ok(());
        }
        Err(DbError::OtherNetwork { held, wanted: passphrase.to_owned() })
    }
}
