//! Requirements on the database, checked once at start. A database that can never work is refused with what to do,
//! instead of failing at some row days later.

use tracing::debug;

use super::{Database, DbError};

/// Oldest supported PostgreSQL, as `server_version_num`. The tests run on it, and the PostgreSQL project still
/// maintains it.
const VERSION_MIN: i32 = 150_000;
/// Required encoding: the only one that can store every text from Horizon and from issuers.
const ENCODING: &str = "UTF8";

impl Database {
    /// Checks the version of the server, the encoding of the database and the search path of the role. Writes nothing.
    ///
    /// # Errors
    ///
    /// [`DbError::Unsuitable`] with what to do, or an error of the connection.
    pub async fn check_server(&self) -> Result<(), DbError> {
        let client = self.client().await?;
        let row = client.query_typed_one(include_str!("sql/requirements/server.sql"), &[]).await?;
        let (name, encoding, number): (String, String, i32) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        debug!(encoding, server_version_num = number, "database server checked");
        check(&name, &encoding, number)?;
        let (schema, search_path): (Option<String>, String) = (row.try_get(3)?, row.try_get(4)?);
        if schema.is_none() {
            return Err(DbError::Unsuitable(format!(
                "the search_path of this role is {search_path:?}, and it may use none of these schemas, or none exists: \
                 create one, or change the path with ALTER ROLE … SET search_path"
            )));
        }
        Ok(())
    }

    /// Checks that this role has the rights that a writer needs. On a standby nothing is checked, because it is only
    /// read.
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
            "this role lacks the rights {}: grant them as in deploy/roles.sql, or connect as the owner of the tables",
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
            "the database {name:?} is encoded in {encoding}, and texts of issuers need {ENCODING}: create one with \
             CREATE DATABASE ticker ENCODING '{ENCODING}' TEMPLATE template0 LOCALE 'C', and give its address as \
             --database-url"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_utf8_and_supported_versions_are_accepted() {
        check("d", "UTF8", 150_000).unwrap();
        check("d", "UTF8", 180_001).unwrap();
        let refused = |encoding, number| check("d", encoding, number).unwrap_err().to_string();
        assert!(refused("UTF8", 140_022).contains("PostgreSQL 14, and this program needs 15 or later"));
        for encoding in ["LATIN1", "SQL_ASCII", "EUC_JP"] {
            let text = refused(encoding, 150_000);
            assert!(text.contains(encoding) && text.contains("CREATE DATABASE"), "{text}");
        }
    }
}
