//! What came and could not be stored.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};
use xxhash_rust::xxh3::xxh3_128;

use super::{Database, DbError};
use crate::domain::cursor::PagingToken;

/// More of a record is not kept.
pub(super) const RAW_BYTES_MAX: usize = 64 * 1024;
/// More of a reason is not kept.
const REASON_CHARS_MAX: usize = 500;

/// Something that came and could not be stored.
#[derive(Clone, Debug)]
pub struct QuarantineEntry {
    /// Where it came from, e.g. `stream`.
    pub source: &'static str,
    /// Its place in history, where that could be read.
    pub token: Option<PagingToken>,
    /// Why it could not be stored.
    pub reason: String,
    /// As it came.
    pub raw: Bytes,
}

/// An entry as it is kept.
#[derive(Clone, Debug)]
pub struct Quarantined {
    /// When it first came.
    pub seen_at: DateTime<Utc>,
    /// Where it came from.
    pub source: String,
    /// Its place in history, where that could be read.
    pub token: Option<String>,
    /// Why it could not be stored.
    pub reason: String,
    /// As it came, cut to 64 KiB.
    pub raw: Vec<u8>,
}

impl Database {
    /// Records that were not kept since the start of the process, because too many came.
    #[must_use]
    pub fn quarantine_left_out(&self) -> u64 {
        self.quarantine_limit.left_out()
    }

    /// The newest entries.
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
}

/// What came for the first time and is in quarantine now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewlyQuarantined {
    /// Its place in history, where that could be read.
    pub token: Option<String>,
    /// Why it could not be stored.
    pub reason: String,
}

/// Keeps entries; one that came before for the same reason is not kept again. Gives those that were not there.
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
    // PostgreSQL's text cannot hold NUL.
    let text =
        |reason: &str| reason.chars().filter(|c| *c != '\0').take(REASON_CHARS_MAX).collect::<String>();
    let reasons: Vec<String> = entries.iter().map(|entry| text(&entry.reason)).collect();
    let raws: Vec<&[u8]> =
        entries.iter().map(|entry| entry.raw.get(..RAW_BYTES_MAX).unwrap_or(&entry.raw)).collect();
    let hashes: Vec<String> = entries.iter().map(|entry| format!("{:032x}", xxh3_128(&entry.raw))).collect();
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
