//! Requirements on the database, checked once at start. A database that can never work is refused with its remedy, instead
//! of failing at some row days later.

use tracing::debug;

use super::{Database, DbError};

/// The oldest PostgreSQL that is supported, as `server_version_num`. The tests run on this one, and its own project still
/// maintains it.
const VERSION_MIN: i32 = 150_000;
/// The only encoding that holds every text that Horizon and issuers send.
const ENCODING: &str = "UTF8";

impl Database {
    /// Checks the server's version and the encoding of the database. Writes nothing.
    ///
    /// # Errors
    ///
    /// [`DbError::Unsuitable`] with what to do, or an error of the connection.
    pub async fn check_server(&self) -> Result<(), DbError> {
        let client = self.client().await?;
        let row = client.query_typed_one(include_str!("sql/requirements/server.sql"), &[]).await?;
        let (name, encoding, number): (String, String, i32) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        debug!(encoding, server_version_num = number, "the database server");
        check(&name, &encoding, number)
    }

    /// Checks that this role has the rights on rows that a writer needs. A standby is only read and needs none.
    ///
    /// # Errors
    ///
    /// [`DbError::Unsuitable`] with the missing rights, or an error of the connection.
    pub async fn check_rights(&self) -> Result<(), DbError> {
        let client = self.client().await?;
        let rows = client.query_typed(include_str!("sql/requirements/missing_rights.sql"), &[]).await?;
        let missing: Vec<String> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        if missing.is_empty() {
            return Ok(());
        }
        Err(DbError::Unsuitable(format!(
            "this role lacks the rights {}: grant them as deploy/roles.sql does, or connect as the owner of the tables",
            missing.join("; ")
        )))
    }
}

fn check(name: &str, encoding: &str, number: i32) -> Result<(), DbError> {
    if number < VERSION_MIN {
        return Err(DbError::Unsuitable(format!(
            "the server is PostgreSQL {}, and this program needs {} or later: upgrade the server",
            number / 10_000,
            VERSION_MIN / 10_000
        )));
    }
    if encoding != ENCODING {
        return Err(DbError::Unsuitable(format!(
            "the database {name:?} is encoded in {encoding}, and names and texts of issuers need {ENCODING}: make one \
             with CREATE DATABASE ticker ENCODING '{ENCODING}' TEMPLATE template0 LOCALE 'C', and give its address \
             as --database-url"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_utf8_and_supported_versions_are_taken() {
        check("d", "UTF8", 150_000).unwrap();
        check("d", "UTF8", 180_001).unwrap();
        let refused = |encoding, number| check("d", encoding, number).unwrap_err().to_string();
        assert!(refused("UTF8", 140_022).contains("PostgreSQL 14, and this program needs 15 or later"));
        for encoding in ["LATIN1", "SQL_ASCII", "EUC_JP"] {
            let told = refused(encoding, 150_000);
            assert!(told.contains(encoding) && told.contains("CREATE DATABASE"), "{told}");
        }
    }
}
