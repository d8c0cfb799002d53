//! stellar.toml files: the ones that are due for a fetch, and their data about assets and issuers.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use super::{
    Database, DbError,
    assets::versions,
    fenced::{self, ChangedRows},
    refused::{self, Parts},
};
use crate::domain::{
    conversions::SaturatingFrom,
    directory::AssetId,
    issuer_file::{Currency, IssuerFile},
};

/// Most due files of one host at a time. An issuer chooses the path of its link, but almost every host has one file.
const OF_HOST_MAX: i64 = 4;
/// The same for all hosts below one domain, by the last two parts of their names. Issuers may share a large domain.
const OF_DOMAIN_MAX: i64 = 64;

/// Result of fetching a file.
#[derive(Clone, Debug)]
pub struct FileFetch {
    /// URL of the file.
    pub url: String,
    /// Content of the file, or the reason for the failure.
    pub outcome: Result<IssuerFile, String>,
    /// Time of the next fetch.
    pub next_check_at: DateTime<Utc>,
}

/// A file that is due for a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueFile {
    /// URL of the file.
    pub url: String,
    /// Number of consecutive failed fetches.
    pub failures: u32,
}

/// Treatment of texts that PostgreSQL may refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextPolicy {
    /// Store all texts of the file, or nothing.
    AllOrNothing,
    /// Skip refused rows. Each row is written in a savepoint, which costs two more round trips.
    SkipRefused,
}

/// An asset that links to a file.
struct Listed {
    id: AssetId,
    code: String,
    issuer: String,
}

impl Database {
    /// Returns files that were never fetched, that are due again, or that an asset without metadata links to. Those of
    /// the highest ranked assets come first, and of each host there are only a few.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn due_files(
        &self,
        ranked: &[AssetId],
        limit: i64,
        now: DateTime<Utc>,
    ) -> Result<Vec<DueFile>, DbError> {
        self.bounded(async {
            let client = self.client().await?;
            let params: [(&(dyn ToSql + Sync), Type); 5] = [
                (&ranked, Type::INT4_ARRAY),
                (&now, Type::TIMESTAMPTZ),
                (&limit, Type::INT8),
                (&OF_HOST_MAX, Type::INT8),
                (&OF_DOMAIN_MAX, Type::INT8),
            ];
            let rows = client.query_typed(include_str!("sql/toml_files/due.sql"), &params).await?;
            rows.iter()
                .map(|row| {
                    let failures: i32 = row.try_get(1)?;
                    Ok(DueFile { url: row.try_get(0)?, failures: u32::saturating_from(failures) })
                })
                .collect()
        })
        .await
    }

    /// Stores the results of fetches: metadata and verdicts for all assets of each file. Returns the number of the last
    /// batch.
    ///
    /// Metadata that PostgreSQL refuses are left out, so the asset or the issuers then have none.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection. Some of the files may be stored by then.
    pub async fn record_files(
        &self,
        epoch: i64,
        fetches: &[FileFetch],
        requires_toml: bool,
        now: DateTime<Utc>,
    ) -> Result<i64, DbError> {
        let (mut parts, mut seq) = (Parts::of(fetches), None);
        while let Some(part) = parts.next() {
            match self.record_fetches(epoch, part.rows, TextPolicy::AllOrNothing, requires_toml, now).await {
                Ok(written) => seq = Some(written),
                Err(error) => parts.failed(&part, error)?,
            }
        }
        // Store as much as possible of a refused file. If that fails as well, store it as a failed fetch, so that it is
        // not fetched again at once.
        for (place, _) in parts.refused() {
            let Some(fetch) = fetches.get(place) else { continue };
            let failed = FileFetch { outcome: Err("the database refuses its texts".into()), ..fetch.clone() };
            for (fetch, policy) in [(fetch, TextPolicy::SkipRefused), (&failed, TextPolicy::AllOrNothing)] {
                let one = std::slice::from_ref(fetch);
                match self.record_fetches(epoch, one, policy, requires_toml, now).await {
                    Ok(written) => {
                        seq = Some(written);
                        break;
                    }
                    Err(error) if error.refuses_a_row() => refused::report("toml_files", &fetch.url, &error),
                    Err(error) => return Err(error),
                }
            }
        }
        match seq {
            Some(seq) => Ok(seq),
            None => self.current_seq().await,
        }
    }

    async fn record_fetches(
        &self,
        epoch: i64,
        fetches: &[FileFetch],
        policy: TextPolicy,
        requires_toml: bool,
        now: DateTime<Utc>,
    ) -> Result<i64, DbError> {
        let mut client = self.client().await?;
        let mut transaction = fenced::begin(&mut client).await?;
        lock(&transaction, fetches).await?;
        let mut changed: Option<(i64, i64)> = None;
        for fetch in fetches {
            record(&transaction, fetch, now).await?;
            if let Ok(file) = &fetch.outcome {
                changed = widest(changed, apply(&mut transaction, &fetch.url, file, policy, now).await?);
            }
            changed = widest(changed, judge(&transaction, &fetch.url, requires_toml, now).await?);
        }
        fenced::commit(transaction, epoch, "assets", &ChangedRows::versions(changed)).await
    }

    /// Invalidates the assets of files whose fetches have failed for `grace` since the last good one. Returns the
    /// number of the batch, or none without such assets.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection. Nothing is stored then.
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
            changed => {
                fenced::commit(transaction, epoch, "assets", &ChangedRows::versions(changed)).await.map(Some)
            }
        }
    }
}

/// Locks the rows that the files describe in the order in which the asset poller locks them. File by file, two
/// transactions could each wait for a row of the other.
async fn lock(transaction: &Transaction<'_>, fetches: &[FileFetch]) -> Result<(), DbError> {
    let urls: Vec<&str> = fetches.iter().map(|fetch| fetch.url.as_str()).collect();
    for sql in [include_str!("sql/issuers/lock.sql"), include_str!("sql/toml_files/lock_assets.sql")] {
        transaction.execute_typed(sql, &[(&urls, Type::TEXT_ARRAY)]).await?;
    }
    Ok(())
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

/// Stores the data of a file about its assets and their issuers. Returns the versions of the changed assets.
async fn apply(
    transaction: &mut Transaction<'_>,
    url: &str,
    file: &IssuerFile,
    policy: TextPolicy,
    now: DateTime<Utc>,
) -> Result<Option<(i64, i64)>, DbError> {
    let rows =
        transaction.query_typed(include_str!("sql/toml_files/assets.sql"), &[(&url, Type::TEXT)]).await?;
    let nothing = Currency::default();
    let issuers = async |transaction: &Transaction<'_>| describe_issuers(transaction, url, file).await;
    let mut changed = match storable(transaction, policy, url, issuers).await? {
        Some(changed) => changed,
        None => describe_issuers(transaction, url, &IssuerFile::default()).await?,
    };
    for row in &rows {
        let listed = Listed { id: row.try_get(0)?, code: row.try_get(1)?, issuer: row.try_get(2)? };
        // An asset that the file does not list is valid all the same, with empty metadata.
        let currency = file.currency(&listed.code, &listed.issuer).unwrap_or(&nothing);
        let is_controlled = file.controls(url, &listed.code, &listed.issuer);
        let describe = async |transaction: &Transaction<'_>| {
            describe_asset(transaction, listed.id, currency, is_controlled, now).await
        };
        let described = match storable(transaction, policy, &listed.code, describe).await? {
            Some(described) => described,
            // Store empty metadata. An asset without any would make the file due again at once.
            None => describe_asset(transaction, listed.id, &nothing, is_controlled, now).await?,
        };
        changed = widest(changed, described);
    }
    Ok(changed)
}

/// Returns the result of `write`, or none if PostgreSQL refuses the row and `words` allows skipping it.
async fn storable<T>(
    transaction: &mut Transaction<'_>,
    policy: TextPolicy,
    row: &str,
    write: impl AsyncFnOnce(&Transaction<'_>) -> Result<T, DbError>,
) -> Result<Option<T>, DbError> {
    if policy == TextPolicy::AllOrNothing {
        return write(transaction).await.map(Some);
    }
    let nested = transaction.transaction().await?;
    match write(&nested).await {
        Ok(written) => {
            nested.commit().await?;
            Ok(Some(written))
        }
        Err(error) if error.refuses_a_row() => {
            nested.rollback().await?;
            refused::report("stellar.toml", row, &error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn describe_asset(
    transaction: &Transaction<'_>,
    id: AssetId,
    currency: &Currency,
    is_controlled: bool,
    now: DateTime<Utc>,
) -> Result<Option<(i64, i64)>, DbError> {
    let params: [(&(dyn ToSql + Sync), Type); 17] = [
        (&id, Type::INT4),
        (&currency.anchor_asset, Type::TEXT),
        (&currency.anchor_asset_type, Type::TEXT),
        (&currency.is_asset_anchored, Type::BOOL),
        (&currency.display_decimals, Type::INT8),
        (&currency.name, Type::TEXT),
        (&currency.desc, Type::TEXT),
        (&currency.conditions, Type::TEXT),
        (&currency.fixed_number, Type::INT8),
        (&currency.max_number, Type::INT8),
        (&currency.is_unlimited, Type::BOOL),
        (&currency.redemption_instructions, Type::TEXT),
        (&currency.collateral_addresses, Type::TEXT_ARRAY),
        (&currency.collateral_address_signatures, Type::TEXT_ARRAY),
        (&currency.status, Type::TEXT),
        (&is_controlled, Type::BOOL),
        (&now, Type::TIMESTAMPTZ),
    ];
    let row = transaction.query_typed_one(include_str!("sql/assets/describe.sql"), &params).await?;
    versions(&row)
}

/// Stores the organisation of the file for the issuers of all its assets. If it changed, those assets get a new
/// version.
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

/// Decides again which assets of a file are valid.
async fn judge(
    transaction: &Transaction<'_>,
    url: &str,
    requires_toml: bool,
    now: DateTime<Utc>,
) -> Result<Option<(i64, i64)>, DbError> {
    let params: [(&(dyn ToSql + Sync), Type); 3] =
        [(&url, Type::TEXT), (&requires_toml, Type::BOOL), (&now, Type::TIMESTAMPTZ)];
    let row = transaction.query_typed_one(include_str!("sql/toml_files/judge.sql"), &params).await?;
    versions(&row)
}

fn widest(one: Option<(i64, i64)>, other: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (one, other) {
        (Some(one), Some(other)) => Some((one.0.min(other.0), one.1.max(other.1))),
        (one, other) => one.or(other),
    }
}
