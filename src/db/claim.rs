//! The database as it was at the start. A connection may later lead to another one: after a fail-over, a change of DNS,
//! or `start-over`.

use std::sync::OnceLock;

use tokio_postgres::GenericClient;

use super::error::DbError;

/// Network and identity of the database at the start. Empty before the start has checked them: then nothing is
/// compared.
#[derive(Debug, Default)]
pub(super) struct Claim {
    network: OnceLock<String>,
    /// Start of the first migration; empty if this role may not read the table of migrations.
    identity: OnceLock<String>,
}

impl Claim {
    /// Remembers the network. Only the first call counts.
    pub(super) fn set_network(&self, passphrase: &str) {
        let _ = self.network.set(passphrase.to_owned());
    }

    /// Remembers the identity. Only the first call counts.
    pub(super) fn set_identity(&self, identity: String) {
        let _ = self.identity.set(identity);
    }

    /// Passphrase of the network; none before the start has checked it.
    pub(super) fn network(&self) -> Option<&str> {
        self.network.get().map(String::as_str)
    }

    /// Remembers the same as another claim.
    pub(super) fn copy(&self, other: &Self) {
        if let Some(network) = other.network.get() {
            self.set_network(network);
        }
        if let Some(identity) = other.identity.get() {
            self.set_identity(identity.clone());
        }
    }

    /// Checks that the database is still the one of the start. Costs a round trip.
    ///
    /// Fails with [`DbError::OtherNetwork`] or [`DbError::Replaced`], or with an error of the connection.
    pub(super) async fn check(&self, client: &(impl GenericClient + Sync)) -> Result<(), DbError> {
        let Some(wanted) = self.network.get() else { return Ok(()) };
        let identity = self.identity.get();
        let sql = match identity {
            Some(_) => include_str!("sql/network/with_identity.sql"),
            None => include_str!("sql/network/get.sql"),
        };
        // Without a row, no daemon has used these tables yet: they were made after this process had started.
        let row = client.query_typed_opt(sql, &[]).await?.ok_or(DbError::Replaced)?;
        let held: String = row.try_get(0)?;
        if held != *wanted {
            return Err(DbError::OtherNetwork { held, wanted: wanted.clone() });
        }
        match identity {
            Some(identity) if row.try_get::<_, Option<String>>(1)?.as_ref() != Some(identity) => {
                Err(DbError::Replaced)
            }
            _ => Ok(()),
        }
    }
}
