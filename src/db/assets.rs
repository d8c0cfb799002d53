//! Assets: which are due to be looked up, and what was found.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::types::{ToSql, Type};

use super::{
    Database, DbError,
    fenced::{self, Done},
    ids,
};
use crate::domain::{asset::Asset, ticker::AssetId};

/// An asset that is due to be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueAsset {
    /// Its number.
    pub id: AssetId,
    /// Who it is.
    pub asset: Asset,
}

/// What was found of an asset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssetStanding {
    /// Its number.
    pub id: AssetId,
    /// Whether its trades count.
    pub is_valid: bool,
    /// Accounts that hold it and may.
    pub num_accounts: i64,
    /// What those hold, in stroops.
    pub amount: i64,
    /// Holders need the issuer's leave.
    pub auth_required: bool,
    /// The issuer can take that leave back.
    pub auth_revocable: bool,
    /// Where its stellar.toml lies; empty where none is named. Holds no NUL.
    pub toml_url: String,
    /// The code that it is anchored to; empty where it is not. Holds no NUL.
    pub anchor_asset_code: String,
}

impl Database {
    /// Assets that were never looked up, then those looked up longer than `again_after` ago.
    ///
    /// # Errors
    ///
    /// What the connection said, or [`DbError::Corrupt`].
    pub async fn due_assets(
        &self,
        limit: i64,
        now: DateTime<Utc>,
        again_after: Duration,
    ) -> Result<Vec<DueAsset>, DbError> {
        let client = self.client().await?;
        let before = now
            .checked_sub_signed(chrono::TimeDelta::from_std(again_after).unwrap_or_default())
            .unwrap_or(now);
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&before, Type::TIMESTAMPTZ), (&limit, Type::INT8)];
        let rows = client.query_typed(include_str!("sql/assets/due.sql"), &params).await?;
        rows.iter()
            .map(|row| {
                Ok(DueAsset { id: row.try_get(0)?, asset: ids::asset(row.try_get(1)?, row.try_get(2)?)? })
            })
            .collect()
    }

    /// Stores what was found. Gives the batch's number, or none if nothing changed but the time of the look.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or what the connection said; nothing is stored then.
    pub async fn record_standings(
        &self,
        epoch: i64,
        standings: &[AssetStanding],
        now: DateTime<Utc>,
    ) -> Result<i64, DbError> {
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        let ids: Vec<i32> = standings.iter().map(|told| told.id).collect();
        let bools = |pick: fn(&AssetStanding) -> bool| standings.iter().map(pick).collect::<Vec<_>>();
        let numbers = |pick: fn(&AssetStanding) -> i64| standings.iter().map(pick).collect::<Vec<_>>();
        let texts = |pick: fn(&AssetStanding) -> &str| standings.iter().map(pick).collect::<Vec<_>>();
        let (valid, required) = (bools(|told| told.is_valid), bools(|told| told.auth_required));
        let revocable = bools(|told| told.auth_revocable);
        let (accounts, amounts) = (numbers(|told| told.num_accounts), numbers(|told| told.amount));
        let (urls, anchors) = (texts(|told| &told.toml_url), texts(|told| &told.anchor_asset_code));
        let params: [(&(dyn ToSql + Sync), Type); 9] = [
            (&ids, Type::INT4_ARRAY),
            (&valid, Type::BOOL_ARRAY),
            (&accounts, Type::INT8_ARRAY),
            (&amounts, Type::INT8_ARRAY),
            (&required, Type::BOOL_ARRAY),
            (&revocable, Type::BOOL_ARRAY),
            (&urls, Type::TEXT_ARRAY),
            (&anchors, Type::TEXT_ARRAY),
            (&now, Type::TIMESTAMPTZ),
        ];
        let row =
            transaction.query_typed_one(include_str!("sql/assets/record_standings.sql"), &params).await?;
        let versions: (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
        let text = |version: Option<i64>| version.map(|version| version.to_string());
        let done = Done { from_token: text(versions.0), to_token: text(versions.1), trades: 0 };
        fenced::commit(transaction, epoch, "assets", &done).await
    }
}
