//! Listing of the valid assets with all their data.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{Database, DbError, transaction};
use crate::domain::{
    amount::Total,
    directory::{AssetId, Directory},
    issuer_file::{Currency, Organisation},
    listed_asset::ListedAsset,
};

impl Database {
    /// Returns all valid assets, sorted by the bytes of code and then issuer.
    ///
    /// # Errors
    ///
    /// Any error of the connection, or [`DbError::Corrupt`].
    pub async fn asset_listing(&self) -> Result<Arc<Vec<Arc<ListedAsset>>>, DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin(&mut client, "").await?;
        let mut directory = Directory::default();
        directory.update_assets(read(&transaction, None).await?);
        transaction.commit().await?;
        Ok(directory.listing())
    }
}

/// Returns all valid assets, or the assets with a version in a range, both ends inclusive. None stands for an asset
/// that is not valid any more.
pub(super) async fn read(
    transaction: &Transaction<'_>,
    versions: Option<(i64, i64)>,
) -> Result<Vec<(AssetId, Option<ListedAsset>)>, DbError> {
    let (first, last) = versions.unzip();
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&first, Type::INT8), (&last, Type::INT8)];
    let rows = transaction.query_typed(include_str!("sql/assets/listing.sql"), &params).await?;
    let mut organisations = Organisations::default();
    let asset = |row: &Row| {
        let is_valid: bool = row.try_get("is_valid")?;
        Ok((row.try_get("id")?, is_valid.then(|| listed(row, &mut organisations)).transpose()?))
    };
    rows.iter().map(asset).collect()
}

/// Organisations of this listing by the id of the issuer's row, one for all assets of an issuer.
type Organisations = HashMap<i32, Arc<Organisation>>;

fn listed(row: &Row, organisations: &mut Organisations) -> Result<ListedAsset, DbError> {
    let last_valid: Option<DateTime<Utc>> = row.try_get("last_valid")?;
    let amount: &str = row.try_get("amount")?;
    let stroops = amount.parse().map_err(|_| DbError::Corrupt(format!("a supply of {amount}")))?;
    let issuer_id = row.try_get("issuer_id")?;
    let issuer = match organisations.entry(issuer_id) {
        Entry::Occupied(known) => Arc::clone(known.get()),
        Entry::Vacant(vacant) => Arc::clone(vacant.insert(Arc::new(organisation(row)?))),
    };
    Ok(ListedAsset {
        kind: row.try_get("type")?,
        num_accounts: row.try_get("num_accounts")?,
        auth_required: row.try_get("auth_required")?,
        auth_revocable: row.try_get("auth_revocable")?,
        amount: Total::from_stroops(stroops).map_err(|error| DbError::Corrupt(error.to_string()))?,
        is_controlled_by_domain: row.try_get("asset_controlled_by_domain")?,
        currency: currency(row)?,
        issuer_id,
        issuer,
        toml_url: row.try_get("toml_url")?,
        last_valid: last_valid.unwrap_or_default().into(),
    })
}

/// Reads an organisation. Rows of earlier versions may hold longer texts than a file may have now.
fn organisation(row: &Row) -> Result<Organisation, DbError> {
    let organisation = Organisation {
        name: row.try_get("org_name")?,
        url: row.try_get("org_url")?,
        twitter: row.try_get("org_twitter")?,
        federation_server: row.try_get("federation_server")?,
        auth_server: row.try_get("auth_server")?,
        transfer_server: row.try_get("transfer_server")?,
        web_auth_endpoint: row.try_get("web_auth_endpoint")?,
        deposit_server: row.try_get("deposit_server")?,
    };
    Ok(organisation.shortened())
}

fn currency(row: &Row) -> Result<Currency, DbError> {
    let currency = Currency {
        code: row.try_get("code")?,
        issuer: row.try_get("issuer")?,
        anchor_asset: row.try_get("anchor_asset_code")?,
        anchor_asset_type: row.try_get("anchor_asset_type")?,
        name: row.try_get("name")?,
        desc: row.try_get("desc")?,
        conditions: row.try_get("conditions")?,
        redemption_instructions: row.try_get("redemption_instructions")?,
        status: row.try_get("status")?,
        display_decimals: row.try_get("display_decimals")?,
        fixed_number: row.try_get("fixed_number")?,
        max_number: row.try_get("max_number")?,
        is_asset_anchored: row.try_get("is_asset_anchored")?,
        is_unlimited: row.try_get("is_unlimited")?,
        collateral_addresses: row.try_get("collateral_addresses")?,
        collateral_address_signatures: row.try_get("collateral_address_signatures")?,
    };
    Ok(currency.shortened())
}
