//! stellar.toml files: which are due to be fetched, and what they told of assets and issuers.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use super::{
    Database, DbError,
    assets::versions,
    fenced::{self, Done},
};
use crate::domain::{
    directory::AssetId,
    issuer_file::{Currency, IssuerFile},
};

/// A fetch of a file, and what came of it.
#[derive(Clone, Debug)]
pub struct FileFetch {
    /// Where it lies.
    pub url: String,
    /// What it says, or why it could not be read.
    pub outcome: Result<IssuerFile, String>,
    /// When it shall be looked at again.
    pub next_check_at: DateTime<Utc>,
}

/// A file that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueFile {
    /// Where it lies.
    pub url: String,
    /// Fetches in a row that failed.
    pub failures: u32,
}

/// An asset whose metadata are taken from a file.
struct Listed {
    id: AssetId,
    code: String,
    issuer: String,
}

impl Database {
    /// Files that were never fetched, are due again, or hold words for an asset that has none yet; those of the highest
    /// ranked assets first.
    ///
    /// # Errors
    ///
    /// What the connection said.
    pub async fn due_files(
        &self,
        ranked: &[AssetId],
        limit: i64,
        now: DateTime<Utc>,
    ) -> Result<Vec<DueFile>, DbError> {
        let client = self.client().await?;
        let params: [(&(dyn ToSql + Sync), Type); 3] =
            [(&ranked, Type::INT4_ARRAY), (&now, Type::TIMESTAMPTZ), (&limit, Type::INT8)];
        let rows = client.query_typed(include_str!("sql/toml_files/due.sql"), &params).await?;
        rows.iter()
            .map(|row| {
                let failures: i32 = row.try_get(1)?;
                Ok(DueFile { url: row.try_get(0)?, failures: u32::try_from(failures).unwrap_or(0) })
            })
            .collect()
    }

    /// Stores what came of fetches: words and verdicts for all assets of each file. Gives the batch's number.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or what the connection said; nothing is stored then.
    pub async fn record_files(
        &self,
        epoch: i64,
        fetches: &[FileFetch],
        links_count: bool,
        now: DateTime<Utc>,
    ) -> Result<i64, DbError> {
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        let mut changed: Option<(i64, i64)> = None;
        for fetch in fetches {
            record(&transaction, fetch, now).await?;
            if let Ok(file) = &fetch.outcome {
                changed = widest(changed, apply(&transaction, &fetch.url, file, now).await?);
            }
            changed = widest(changed, judge(&transaction, &fetch.url, links_count, now).await?);
        }
        fenced::commit(transaction, epoch, "assets", &Done::versions(changed)).await
    }

    /// Files whose last good verdict has held for `grace` although fetches fail: their assets are not valid any more.
    /// Gives the batch's number, or none if there are no such assets.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or what the connection said; nothing is stored then.
    pub async fn expire_verdicts(
        &self,
        epoch: i64,
        grace: Duration,
        now: DateTime<Utc>,
    ) -> Result<Option<i64>, DbError> {
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        let before = now - TimeDelta::from_std(grace).unwrap_or_default();
        let expire = include_str!("sql/toml_files/expire.sql");
        let row = transaction.query_typed_one(expire, &[(&before, Type::TIMESTAMPTZ)]).await?;
        match versions(&row)? {
            None => Ok(None),
            changed => fenced::commit(transaction, epoch, "assets", &Done::versions(changed)).await.map(Some),
        }
    }
}

async fn record(transaction: &Transaction<'_>, fetch: &FileFetch, now: DateTime<Utc>) -> Result<(), DbError> {
    let problem = fetch.outcome.as_ref().err().map_or("", String::as_str);
    let is_good = fetch.outcome.is_ok();
    let params: [(&(dyn ToSql + Sync), Type); 5] = [
        (&fetch.url, Type::TEXT),
        (&is_good, Type::BOOL),
        (&problem, Type::TEXT),
        (&now, Type::TIMESTAMPTZ),
        (&fetch.next_check_at, Type::TIMESTAMPTZ),
    ];
    transaction.execute_typed(include_str!("sql/toml_files/record.sql"), &params).await?;
    Ok(())
}

/// Takes over what a file says of its assets and their issuers.
async fn apply(
    transaction: &Transaction<'_>,
    url: &str,
    file: &IssuerFile,
    now: DateTime<Utc>,
) -> Result<Option<(i64, i64)>, DbError> {
    let rows =
        transaction.query_typed(include_str!("sql/toml_files/assets.sql"), &[(&url, Type::TEXT)]).await?;
    let nothing = Currency::default();
    let mut changed = describe_issuers(transaction, url, file).await?;
    for row in &rows {
        let listed = Listed { id: row.try_get(0)?, code: row.try_get(1)?, issuer: row.try_get(2)? };
        // Not listed: valid all the same, with empty metadata.
        let currency = file.currency(&listed.code, &listed.issuer).unwrap_or(&nothing);
        let is_controlled = file.controls(url, &listed.code, &listed.issuer);
        changed =
            widest(changed, describe_asset(transaction, listed.id, currency, is_controlled, now).await?);
    }
    Ok(changed)
}

async fn describe_asset(
    transaction: &Transaction<'_>,
    id: AssetId,
    told: &Currency,
    is_controlled: bool,
    now: DateTime<Utc>,
) -> Result<Option<(i64, i64)>, DbError> {
    let params: [(&(dyn ToSql + Sync), Type); 17] = [
        (&id, Type::INT4),
        (&told.anchor_asset, Type::TEXT),
        (&told.anchor_asset_type, Type::TEXT),
        (&told.is_asset_anchored, Type::BOOL),
        (&told.display_decimals, Type::INT8),
        (&told.name, Type::TEXT),
        (&told.desc, Type::TEXT),
        (&told.conditions, Type::TEXT),
        (&told.fixed_number, Type::INT8),
        (&told.max_number, Type::INT8),
        (&told.is_unlimited, Type::BOOL),
        (&told.redemption_instructions, Type::TEXT),
        (&told.collateral_addresses, Type::TEXT_ARRAY),
        (&told.collateral_address_signatures, Type::TEXT_ARRAY),
        (&told.status, Type::TEXT),
        (&is_controlled, Type::BOOL),
        (&now, Type::TIMESTAMPTZ),
    ];
    let row = transaction.query_typed_one(include_str!("sql/assets/describe.sql"), &params).await?;
    versions(&row)
}

/// Takes over what the file says of its organisation, for the issuers of all its assets; theirs get a new version then.
async fn describe_issuers(
    transaction: &Transaction<'_>,
    url: &str,
    file: &IssuerFile,
) -> Result<Option<(i64, i64)>, DbError> {
    let org = &file.org;
    let params: [(&(dyn ToSql + Sync), Type); 9] = [
        (&url, Type::TEXT),
        (&org.name, Type::TEXT),
        (&org.url, Type::TEXT),
        (&org.federation_server, Type::TEXT),
        (&org.auth_server, Type::TEXT),
        (&org.transfer_server, Type::TEXT),
        (&org.web_auth_endpoint, Type::TEXT),
        (&org.deposit_server, Type::TEXT),
        (&org.twitter, Type::TEXT),
    ];
    let row = transaction.query_typed_one(include_str!("sql/issuers/describe.sql"), &params).await?;
    versions(&row)
}

/// Decides anew which assets of a file are valid.
async fn judge(
    transaction: &Transaction<'_>,
    url: &str,
    links_count: bool,
    now: DateTime<Utc>,
) -> Result<Option<(i64, i64)>, DbError> {
    let params: [(&(dyn ToSql + Sync), Type); 3] =
        [(&url, Type::TEXT), (&links_count, Type::BOOL), (&now, Type::TIMESTAMPTZ)];
    let row = transaction.query_typed_one(include_str!("sql/toml_files/judge.sql"), &params).await?;
    versions(&row)
}

fn widest(one: Option<(i64, i64)>, other: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (one, other) {
        (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
        (one, other) => one.or(other),
    }
}
