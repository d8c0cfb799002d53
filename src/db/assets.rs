//! Assets: which are due to be looked up, and what Horizon says of them.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use super::{
    Database, DbError,
    fenced::{self, Done},
    ids,
    refused::{self, Parts},
};
use crate::domain::{asset::Asset, directory::AssetId};

/// What Horizon says of an asset, and what the rules make of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetStanding {
    /// Who it is.
    pub asset: Asset,
    /// Whether it may be valid by the rules of `/assets`; one that may not is stored only if it was seen in trades.
    pub meets_rules: bool,
    /// Accounts that hold it and may.
    pub num_accounts: i64,
    /// What those hold, in stroops; never negative.
    pub amount: i128,
    /// Holders need the issuer's leave.
    pub auth_required: bool,
    /// The issuer can take that leave back.
    pub auth_revocable: bool,
    /// Where its stellar.toml lies; empty where none is named. Holds no NUL.
    pub toml_url: String,
}

impl AssetStanding {
    /// An asset that Horizon does not know (any more).
    #[must_use]
    pub const fn gone(asset: Asset) -> Self {
        Self {
            asset,
            meets_rules: false,
            num_accounts: 0,
            amount: 0,
            auth_required: false,
            auth_revocable: false,
            toml_url: String::new(),
        }
    }
}

/// The sweep of all assets, as far as it has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssetSweep {
    /// The last paging token that was taken in; none between sweeps and before the first page.
    pub token: Option<String>,
    /// When the sweep that is under way began; none between sweeps.
    pub began_at: Option<DateTime<Utc>>,
    /// When the last whole sweep began: what was checked before that, it did not meet.
    pub swept_from: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Assets that wait to be looked up singly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueAssets {
    /// The first of them, the highest ranked first.
    pub assets: Vec<Asset>,
    /// How many there are in all.
    pub count: i64,
    /// How many of them are among those that were ranked.
    pub ranked: i64,
}

impl Database {
    /// Assets that were never looked up, or that the last whole sweep should have met and did not.
    ///
    /// # Errors
    ///
    /// Any error of the connection, or [`DbError::Corrupt`].
    pub async fn due_assets(&self, ranked: &[AssetId], limit: i64) -> Result<DueAssets, DbError> {
        let client = self.client().await?;
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&ranked, Type::INT4_ARRAY), (&limit, Type::INT8)];
        let rows = client.query_typed(include_str!("sql/assets/due.sql"), &params).await?;
        let mut due = DueAssets::default();
        for row in &rows {
            due.assets.push(ids::asset(row.try_get(0)?, row.try_get(1)?)?);
            (due.count, due.ranked) = (row.try_get(2)?, row.try_get(3)?);
        }
        Ok(due)
    }

    /// Whether any issued asset was ever looked up.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn any_asset_checked(&self) -> Result<bool, DbError> {
        let client = self.client().await?;
        Ok(client.query_typed_one(include_str!("sql/assets/any_checked.sql"), &[]).await?.try_get(0)?)
    }

    /// How far the sweep of all assets has come.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn asset_sweep(&self) -> Result<AssetSweep, DbError> {
        let client = self.client().await?;
        let row = client.query_typed_opt(include_str!("sql/asset_sweep/get.sql"), &[]).await?;
        let Some(row) = row else { return Ok(AssetSweep::default()) }; // made again when a sweep begins
        Ok(AssetSweep {
            token: row.try_get(0)?,
            began_at: row.try_get(1)?,
            swept_from: row.try_get(2)?,
            finished_at: row.try_get(3)?,
        })
    }

    /// Stores what Horizon said of assets, and with it how far the sweep has come, where that was one of its pages.
    /// `requires_toml` is false where a stellar.toml decides nothing. Returns the last batch's number. An asset that PostgreSQL
    /// refuses stays as it is and is due again after the next sweep.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection; the sweep has not moved on then.
    pub async fn record_standings(
        &self,
        epoch: i64,
        standings: &[AssetStanding],
        requires_toml: bool,
        sweep: Option<&AssetSweep>,
        now: DateTime<Utc>,
    ) -> Result<i64, DbError> {
        let (mut parts, mut written) = (Parts::of(standings), None);
        while let Some(part) = parts.next() {
            let sweep = sweep.filter(|_| part.end() == standings.len());
            match self.record_standings_part(epoch, part.rows, requires_toml, sweep, now).await {
                Ok(seq) => written = Some(seq),
                Err(error) => parts.failed(&part, error)?,
            }
        }
        let mut left_out = Vec::new();
        for (place, error) in parts.refused() {
            let Some(told) = standings.get(place) else { continue };
            refused::tell("assets", &told.asset.to_string(), &error);
            left_out.push(told.asset);
        }
        match written {
            Some(seq) if left_out.is_empty() => Ok(seq),
            _ => self.postpone(epoch, &left_out, sweep, now).await,
        }
    }

    async fn record_standings_part(
        &self,
        epoch: i64,
        standings: &[AssetStanding],
        requires_toml: bool,
        sweep: Option<&AssetSweep>,
        now: DateTime<Utc>,
    ) -> Result<i64, DbError> {
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        insert_qualified(&transaction, standings).await?;
        let versions = update(&transaction, standings, requires_toml, now).await?;
        if let Some(sweep) = sweep {
            set_sweep(&transaction, sweep).await?;
        }
        fenced::commit(transaction, epoch, "assets", &Done::versions(versions)).await
    }

    /// Leaves assets as they are that Horizon tells nothing of that can be believed; they are due again after the next
    /// sweep. Gives the batch's number.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection; nothing is stored then.
    pub async fn postpone_assets(
        &self,
        epoch: i64,
        assets: &[Asset],
        now: DateTime<Utc>,
    ) -> Result<i64, DbError> {
        self.postpone(epoch, assets, None, now).await
    }

    async fn postpone(
        &self,
        epoch: i64,
        assets: &[Asset],
        sweep: Option<&AssetSweep>,
        now: DateTime<Utc>,
    ) -> Result<i64, DbError> {
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        if let Some(sweep) = sweep {
            set_sweep(&transaction, sweep).await?;
        }
        let codes: Vec<&str> = assets.iter().map(Asset::code).collect();
        let issuers: Vec<&str> = assets.iter().map(Asset::issuer).collect();
        let params: [(&(dyn ToSql + Sync), Type); 3] =
            [(&codes, Type::TEXT_ARRAY), (&issuers, Type::TEXT_ARRAY), (&now, Type::TIMESTAMPTZ)];
        transaction.execute_typed(include_str!("sql/assets/postpone.sql"), &params).await?;
        fenced::commit(transaction, epoch, "assets", &Done::default()).await
    }
}

async fn set_sweep(transaction: &Transaction<'_>, sweep: &AssetSweep) -> Result<(), DbError> {
    let params: [(&(dyn ToSql + Sync), Type); 4] = [
        (&sweep.token, Type::TEXT),
        (&sweep.began_at, Type::TIMESTAMPTZ),
        (&sweep.swept_from, Type::TIMESTAMPTZ),
        (&sweep.finished_at, Type::TIMESTAMPTZ),
    ];
    transaction.execute_typed(include_str!("sql/asset_sweep/set.sql"), &params).await?;
    Ok(())
}

async fn insert_qualified(transaction: &Transaction<'_>, standings: &[AssetStanding]) -> Result<(), DbError> {
    let mut qualified: Vec<&AssetStanding> = standings.iter().filter(|told| told.meets_rules).collect();
    // In the order in which trades make assets, so that the two never wait for each other.
    let key = |told: &AssetStanding| (told.asset.code().to_owned(), told.asset.issuer().to_owned());
    qualified.sort_by_key(|told| key(told));
    let texts =
        |pick: fn(&AssetStanding) -> &str| qualified.iter().map(|told| pick(told)).collect::<Vec<_>>();
    let (codes, issuers) = (texts(|told| told.asset.code()), texts(|told| told.asset.issuer()));
    let (kinds, urls) = (texts(|told| told.asset.kind()), texts(|told| &told.toml_url));
    let assets: [(&(dyn ToSql + Sync), Type); 3] =
        [(&codes, Type::TEXT_ARRAY), (&issuers, Type::TEXT_ARRAY), (&kinds, Type::TEXT_ARRAY)];
    transaction.execute_typed(include_str!("sql/assets/insert_new.sql"), &assets).await?;
    let links: [(&(dyn ToSql + Sync), Type); 2] = [(&issuers, Type::TEXT_ARRAY), (&urls, Type::TEXT_ARRAY)];
    transaction.execute_typed(include_str!("sql/issuers/link.sql"), &links).await?;
    Ok(())
}

async fn update(
    transaction: &Transaction<'_>,
    standings: &[AssetStanding],
    requires_toml: bool,
    now: DateTime<Utc>,
) -> Result<Option<(i64, i64)>, DbError> {
    let bools = |pick: fn(&AssetStanding) -> bool| standings.iter().map(pick).collect::<Vec<_>>();
    let numbers = |pick: fn(&AssetStanding) -> i64| standings.iter().map(pick).collect::<Vec<_>>();
    let texts = |pick: fn(&AssetStanding) -> &str| standings.iter().map(pick).collect::<Vec<_>>();
    let (codes, issuers) = (texts(|told| told.asset.code()), texts(|told| told.asset.issuer()));
    let (meets, required) = (bools(|told| told.meets_rules), bools(|told| told.auth_required));
    let revocable = bools(|told| told.auth_revocable);
    let accounts = numbers(|told| told.num_accounts);
    let amounts: Vec<String> = standings.iter().map(|told| told.amount.to_string()).collect();
    let urls = texts(|told| &told.toml_url);
    let params: [(&(dyn ToSql + Sync), Type); 10] = [
        (&codes, Type::TEXT_ARRAY),
        (&issuers, Type::TEXT_ARRAY),
        (&meets, Type::BOOL_ARRAY),
        (&accounts, Type::INT8_ARRAY),
        (&amounts, Type::TEXT_ARRAY),
        (&required, Type::BOOL_ARRAY),
        (&revocable, Type::BOOL_ARRAY),
        (&urls, Type::TEXT_ARRAY),
        (&requires_toml, Type::BOOL),
        (&now, Type::TIMESTAMPTZ),
    ];
    let row = transaction.query_typed_one(include_str!("sql/assets/record_standings.sql"), &params).await?;
    versions(&row)
}

/// The first and the last version that a statement gave, from its only row.
pub(super) fn versions(row: &tokio_postgres::Row) -> Result<Option<(i64, i64)>, DbError> {
    let (first, last): (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
    Ok(first.zip(last))
}
