//! Quarantine: records that could not be stored, with their bytes and the reason.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};
use xxhash_rust::xxh3::xxh3_128;

pub use super::quarantine_entry::QuarantineEntry;
use super::{Database, DbError, quarantine_entry::RAW_BYTES_MAX};

/// Largest number of characters stored of a reason.
const REASON_CHARS_MAX: usize = 500;

/// A record in quarantine.
#[derive(Clone, Debug)]
pub struct Quarantined {
    /// Time at which it was first received.
    pub seen_at: DateTime<Utc>,
    /// Source of the record, such as `stream`.
    pub source: String,
    /// Paging token, if it could be decoded.
    pub token: Option<String>,
    /// Reason for which the record could not be stored.
    pub reason: String,
    /// Bytes of the record as received, cut to 64 KiB.
    pub raw: Vec<u8>,
}

impl Database {
    /// Returns the number of records that the limit has kept out of quarantine since the start of the process.
    #[must_use]
    pub fn quarantine_left_out(&self) -> u64 {
        self.quarantine_limit.left_out()
    }

    /// Returns the newest entries.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn latest_quarantined(&self, limit: i64) -> Result<Vec<Quarantined>, DbError> {
        let client = self.client().await?;
        let rows =
            client.query_typed(include_str!("sql/quarantine/latest.sql"), &[(&limit, Type::INT8)]).await?;
        rows.iter()
            .map(|row| {
                Ok(Quarantined {
                    seen_at: row.try_get(0)?,
                    source: row.try_get(1)?,
                    token: row.try_get(2)?,
                    reason: row.try_get(3)?,
                    raw: row.try_get(4)?,
                })
            })
            .collect()
    }

    /// Returns true if each of these records is in quarantine, whatever the reason. That holds for no records.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn are_quarantined(&self, raws: &[Bytes]) -> Result<bool, DbError> {
        if raws.is_empty() {
            return Ok(true);
        }
        let hashes: Vec<String> = raws.iter().map(|raw| hash_of(raw)).collect();
        let client = self.client().await?;
        let sql = include_str!("sql/quarantine/holds_all.sql");
        Ok(client.query_typed_one(sql, &[(&hashes, Type::TEXT_ARRAY)]).await?.try_get(0)?)
    }
}

/// An entry that is in quarantine for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewlyQuarantined {
    /// Paging token, if it could be decoded.
    pub token: Option<String>,
    /// Reason for which the record could not be stored.
    pub reason: String,
}

/// Inserts entries, except those that are in quarantine for the same reason already. Returns the inserted ones.
pub(super) async fn insert(
    transaction: &Transaction<'_>,
    entries: &[QuarantineEntry],
) -> Result<Vec<NewlyQuarantined>, DbError> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let sources: Vec<&str> = entries.iter().map(|entry| entry.source).collect();
    let tokens: Vec<Option<String>> =
        entries.iter().map(|entry| entry.token.map(|token| token.to_string())).collect();
    // A text of PostgreSQL cannot hold NUL.
    let text =
        |reason: &str| reason.chars().filter(|c| *c != '\0').take(REASON_CHARS_MAX).collect::<String>();
    let reasons: Vec<String> = entries.iter().map(|entry| text(&entry.reason)).collect();
    let raws: Vec<&[u8]> =
        entries.iter().map(|entry| entry.raw.get(..RAW_BYTES_MAX).unwrap_or(&entry.raw)).collect();
    let hashes: Vec<String> = entries.iter().map(|entry| hash_of(&entry.raw)).collect();
    let params: [(&(dyn ToSql + Sync), Type); 5] = [
        (&sources, Type::TEXT_ARRAY),
        (&tokens, Type::TEXT_ARRAY),
        (&reasons, Type::TEXT_ARRAY),
        (&raws, Type::BYTEA_ARRAY),
        (&hashes, Type::TEXT_ARRAY),
    ];
    let rows = transaction.query_typed(include_str!("sql/quarantine/insert.sql"), &params).await?;
    rows.iter().map(|row| Ok(NewlyQuarantined { token: row.try_get(0)?, reason: row.try_get(1)? })).collect()
}

/// Hash of the whole record, also if only its beginning is stored: two long records may begin in the same way.
fn hash_of(raw: &[u8]) -> String {
    format!("{:032x}", xxh3_128(raw))
}
