//! Assets: the ones that are due for a look-up, and the results of look-ups at Horizon.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use super::{
    Database, DbError,
    fenced::{self, ChangedRows},
    ids,
    refused::{self, Parts},
};
use crate::domain::{asset::Asset, directory::AssetId};

/// An asset as Horizon's `/assets` returns it, with the verdict of the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetStanding {
    /// Code and issuer.
    pub asset: Asset,
    /// True if the rules for `/assets` allow it to be valid. An asset that fails them is stored only if it was traded.
    pub meets_rules: bool,
    /// Number of authorised accounts that hold it.
    pub num_accounts: i64,
    /// Sum of their balances in stroops; never negative.
    pub amount: i128,
    /// True if holders need the issuer's authorisation.
    pub auth_required: bool,
    /// True if the issuer can revoke the authorisation.
    pub auth_revocable: bool,
    /// URL of its stellar.toml; empty if it names none. Contains no NUL.
    pub toml_url: String,
}

impl AssetStanding {
    /// Standing of an asset that Horizon does not know, or not any more.
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

/// Progress of the sweep through all assets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssetSweep {
    /// Paging token of the last stored page; none between sweeps and before the first page.
    pub token: Option<String>,
    /// Start of the current sweep; none between sweeps.
    pub began_at: Option<DateTime<Utc>>,
    /// Start of the last completed sweep. An asset that was checked before this was not in the sweep.
    pub swept_from: Option<DateTime<Utc>>,
    /// End of the last completed sweep.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Largest number of due assets that is counted. Beyond it their number does not matter.
pub const DUE_COUNTED_MAX: i64 = 1_000;

/// Assets that wait for a look-up of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueAssets {
    /// The first of them up to the limit, the highest ranked first.
    pub assets: Vec<Asset>,
    /// Number of due assets. Those that are not ranked are counted up to [`DUE_COUNTED_MAX`].
    pub count: i64,
    /// Number of due assets that are ranked.
    pub ranked: i64,
}

impl Database {
    /// Returns the number of assets that are due now, counted up to `most`. Reads no more rows than that.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn count_due_assets(&self, most: i64, now: DateTime<Utc>) -> Result<i64, DbError> {
        self.bounded(async {
            let client = self.client().await?;
            let sql = include_str!("sql/assets/count_due.sql");
            let params: [(&(dyn ToSql + Sync), Type); 2] = [(&most, Type::INT8), (&now, Type::TIMESTAMPTZ)];
            Ok(client.query_typed_one(sql, &params).await?.try_get(0)?)
        })
        .await
    }

    /// Returns assets that were never looked up, or that were missing from the last completed sweep. A sweep that
    /// began later than `now` does not count.
    ///
    /// # Errors
    ///
    /// Any error of the connection, or [`DbError::Corrupt`].
    pub async fn due_assets(
        &self,
        ranked: &[AssetId],
        limit: i64,
        now: DateTime<Utc>,
    ) -> Result<DueAssets, DbError> {
        self.bounded(async {
            let client = self.client().await?;
            let searched = limit.max(DUE_COUNTED_MAX);
            let params: [(&(dyn ToSql + Sync), Type); 4] = [
                (&ranked, Type::INT4_ARRAY),
                (&limit, Type::INT8),
                (&searched, Type::INT8),
                (&now, Type::TIMESTAMPTZ),
            ];
            let rows = client.query_typed(include_str!("sql/assets/due.sql"), &params).await?;
            let mut due = DueAssets::default();
            for row in &rows {
                due.assets.push(ids::asset(row.try_get(0)?, row.try_get(1)?)?);
                (due.count, due.ranked) = (row.try_get(2)?, row.try_get(3)?);
            }
            Ok(due)
        })
        .await
    }

    /// Returns assets that Horizon had a record of when they were last looked up.
    ///
    /// # Errors
    ///
    /// Any error of the connection, or [`DbError::Corrupt`].
    pub async fn listed_assets(&self, limit: i64) -> Result<Vec<Asset>, DbError> {
        self.bounded(async {
            let client = self.client().await?;
            let params: [(&(dyn ToSql + Sync), Type); 1] = [(&limit, Type::INT8)];
            let rows = client.query_typed(include_str!("sql/assets/listed.sql"), &params).await?;
            rows.iter().map(|row| ids::asset(row.try_get(0)?, row.try_get(1)?)).collect()
        })
        .await
    }

    /// Returns true if any issued asset is known, from a look-up or from a trade.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn any_issued_asset(&self) -> Result<bool, DbError> {
        self.bounded(async {
            let client = self.client().await?;
            Ok(client.query_typed_one(include_str!("sql/assets/any_issued.sql"), &[]).await?.try_get(0)?)
        })
        .await
    }

    /// Returns true if any issued asset was ever looked up.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn any_asset_checked(&self) -> Result<bool, DbError> {
        self.bounded(async {
            let client = self.client().await?;
            Ok(client.query_typed_one(include_str!("sql/assets/any_checked.sql"), &[]).await?.try_get(0)?)
        })
        .await
    }

    /// Returns the progress of the sweep.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn asset_sweep(&self) -> Result<AssetSweep, DbError> {
        self.bounded(async {
            let client = self.client().await?;
            let row = client.query_typed_opt(include_str!("sql/asset_sweep/get.sql"), &[]).await?;
            // If somebody deleted the row, the next sweep creates it again.
            let Some(row) = row else { return Ok(AssetSweep::default()) };
            Ok(AssetSweep {
                token: row.try_get(0)?,
                began_at: row.try_get(1)?,
                swept_from: row.try_get(2)?,
                finished_at: row.try_get(3)?,
            })
        })
        .await
    }

    /// Stores the standings of assets, and the progress of the sweep if they are one of its pages. Returns the number
    /// of the last batch.
    ///
    /// `requires_toml` is false if validity does not depend on stellar.toml. An asset that PostgreSQL refuses stays as
    /// it is, and is due again after the next sweep.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection. The sweep has not advanced then.
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
            // The sweep advances with the last part only, when all rows of the page are stored.
            let sweep = sweep.filter(|_| part.end() == standings.len());
            match self.record_standings_part(epoch, part.rows, requires_toml, sweep, now).await {
                Ok(seq) => written = Some(seq),
                Err(error) => parts.failed(&part, error)?,
            }
        }
        let mut left_out = Vec::new();
        for (place, error) in parts.refused() {
            let Some(standing) = standings.get(place) else { continue };
            refused::report("assets", &standing.asset.to_string(), &error);
            left_out.push(standing.asset);
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
        fenced::commit(transaction, epoch, "assets", &ChangedRows::versions(versions)).await
    }

    /// Leaves assets unchanged for which Horizon gave no credible answer. They are due again after the next sweep.
    /// Returns the number of the batch.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection. Nothing is stored then.
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
        let codes: Vec<&str> = assets.iter().map(Asset::code).collect();
        let issuers: Vec<&str> = assets.iter().map(Asset::issuer).collect();
        let params: [(&(dyn ToSql + Sync), Type); 3] =
            [(&codes, Type::TEXT_ARRAY), (&issuers, Type::TEXT_ARRAY), (&now, Type::TIMESTAMPTZ)];
        transaction.execute_typed(include_str!("sql/assets/postpone.sql"), &params).await?;
        if let Some(sweep) = sweep {
            set_sweep(&transaction, sweep).await?; // assets first, as in `record_standings_part`
        }
        fenced::commit(transaction, epoch, "assets", &ChangedRows::default()).await
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
    let mut qualified: Vec<&AssetStanding> =
        standings.iter().filter(|standing| standing.meets_rules).collect();
    // The same order as in `ids::resolve`: two writers that insert the same rows in different orders would deadlock.
    let key =
        |standing: &AssetStanding| (standing.asset.code().to_owned(), standing.asset.issuer().to_owned());
    qualified.sort_by_key(|standing| key(standing));
    let texts = |pick: fn(&AssetStanding) -> &str| {
        qualified.iter().map(|standing| pick(standing)).collect::<Vec<_>>()
    };
    let (codes, issuers) =
        (texts(|standing| standing.asset.code()), texts(|standing| standing.asset.issuer()));
    let (kinds, urls) = (texts(|standing| standing.asset.kind()), texts(|standing| &standing.toml_url));
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
    let (codes, issuers) =
        (texts(|standing| standing.asset.code()), texts(|standing| standing.asset.issuer()));
    let (meets, required) =
        (bools(|standing| standing.meets_rules), bools(|standing| standing.auth_required));
    let revocable = bools(|standing| standing.auth_revocable);
    let accounts = numbers(|standing| standing.num_accounts);
    let amounts: Vec<String> = standings.iter().map(|standing| standing.amount.to_string()).collect();
    let urls = texts(|standing| &standing.toml_url);
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
    // A statement sees what was committed before it began. If it waited for a row that the TOML checker is writing, it
    // would replace the new verdict by one without the file. So wait in a statement of its own.
    let rows: [(&(dyn ToSql + Sync), Type); 2] = [(&codes, Type::TEXT_ARRAY), (&issuers, Type::TEXT_ARRAY)];
    transaction.execute_typed(include_str!("sql/assets/lock.sql"), &rows).await?;
    let row = transaction.query_typed_one(include_str!("sql/assets/record_standings.sql"), &params).await?;
    versions(&row)
}

/// Returns the first and the last version that a statement assigned, from its only row; none if it changed nothing.
pub(super) fn versions(row: &tokio_postgres::Row) -> Result<Option<(i64, i64)>, DbError> {
    let (first, last): (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
    Ok(first.zip(last))
}
