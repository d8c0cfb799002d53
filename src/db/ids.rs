//! Ids of assets and markets: looked up, created for new ones, and cached once they are committed.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use deadpool_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};
use tracing::warn;

use super::{
    DbError,
    marks::{self, Mark},
};
use crate::domain::{asset::Asset, directory::AssetId, market::Market, windows::MarketId};

/// Largest number of cached markets. Beyond it the cache is emptied.
const KNOWN_MAX: usize = 1_000_000;

/// Ids of a market and of its two assets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketIds {
    /// Id of the market.
    pub market: MarketId,
    /// Id of its base asset.
    pub base: AssetId,
    /// Id of its counter asset.
    pub counter: AssetId,
}

/// Cache of committed ids. It never holds ids of a transaction that may still be rolled back.
#[derive(Debug, Default)]
pub(super) struct KnownIds(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    markets: HashMap<Market, MarketIds>,
    /// Last batch that added ids to the cache. A database that holds this batch holds all cached ids.
    learned_at: Option<Mark>,
    /// Generation of the ids. It changes when markets or assets are deleted.
    generation: Option<String>,
}

impl KnownIds {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Caches the ids of a committed transaction.
    pub(super) fn learn(&self, resolved: &Resolved, mark: Mark) {
        let mut known = self.lock();
        if known.markets.len() > KNOWN_MAX {
            known.markets.clear();
        }
        known.markets.extend(&resolved.looked_up);
        if known.learned_at.is_none_or(|learned| learned.seq < mark.seq) {
            known.learned_at = Some(mark);
        }
    }

    /// Empties the cache if markets were deleted, or if the database has lost the batch of `learned_at`. A cached id
    /// may then be unused, or belong to another market.
    async fn check(&self, transaction: &Transaction<'_>) -> Result<(), DbError> {
        let row = transaction.query_typed_opt(include_str!("sql/ids/generation.sql"), &[]).await?;
        let generation: Option<String> = row.map(|row| row.try_get(0)).transpose()?.flatten();
        let learned_at = {
            let mut known = self.lock();
            if known.generation != generation {
                *known = Known { generation, ..Known::default() };
            }
            known.learned_at
        };
        let Some(learned_at) = learned_at else { return Ok(()) };
        if !marks::holds(transaction, &[learned_at]).await? {
            warn!(seq = learned_at.seq, "the database has lost batches, looking up all ids again");
            let mut known = self.lock();
            *known = Known { generation: known.generation.take(), ..Known::default() };
        }
        Ok(())
    }
}

/// Ids of the markets of a batch.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// Ids from the cache.
    cached: HashMap<Market, MarketIds>,
    /// Ids from the database. They go into the cache when the transaction is committed.
    looked_up: HashMap<Market, MarketIds>,
    /// Assets that this transaction created.
    pub(super) new_assets: Vec<(AssetId, Asset)>,
    /// Identities of the assets of all markets that were looked up, including those of new markets.
    pub(super) names: Vec<(AssetId, Asset)>,
    /// Markets that this transaction created.
    pub(super) new_markets: Vec<MarketIds>,
}

impl Resolved {
    pub(super) fn get(&self, market: &Market) -> Option<MarketIds> {
        self.cached.get(market).or_else(|| self.looked_up.get(market)).copied()
    }
}

/// Looks up the ids of these markets and their assets, and creates the missing ones.
pub(super) async fn resolve(
    transaction: &Transaction<'_>,
    known: &KnownIds,
    markets: HashSet<Market>,
) -> Result<Resolved, DbError> {
    known.check(transaction).await?;
    let mut resolved = Resolved::default();
    let mut unknown = Vec::new();
    {
        let known = known.lock();
        for market in markets {
            match known.markets.get(&market) {
                Some(ids) => drop(resolved.cached.insert(market, *ids)),
                None => unknown.push(market),
            }
        }
    }
    if unknown.is_empty() {
        return Ok(resolved);
    }
    let wanted: HashSet<Asset> =
        unknown.iter().flat_map(|market| [*market.base(), *market.counter()]).collect();
    // Sorted, here and below: two writers that insert the same rows in different orders would deadlock.
    let mut wanted: Vec<Asset> = wanted.into_iter().collect();
    wanted.sort_unstable_by(|one, other| (one.code(), one.issuer()).cmp(&(other.code(), other.issuer())));
    let (assets, new_assets) = assets(transaction, wanted).await?;
    resolved.new_assets = new_assets;
    resolved.names = assets.iter().map(|(asset, id)| (*id, *asset)).collect();
    let missing = |what: &str, name: String| DbError::Corrupt(format!("the {what} {name} has no id"));
    let id = |asset: &Asset| assets.get(asset).copied().ok_or_else(|| missing("asset", asset.name()));
    let sides: Vec<(AssetId, AssetId)> = unknown
        .iter()
        .map(|market| Ok((id(market.base())?, id(market.counter())?)))
        .collect::<Result<_, DbError>>()?;
    let mut wanted = sides.clone();
    wanted.sort_unstable();
    let (ids, new_markets) = market_ids(transaction, &wanted).await?;
    resolved.new_markets = new_markets;
    for (market, sides) in unknown.into_iter().zip(sides) {
        let ids = ids.get(&sides).copied().ok_or_else(|| missing("market", market.name()))?;
        resolved.looked_up.insert(market, ids);
    }
    Ok(resolved)
}

type Found<K, V> = (HashMap<K, V>, Vec<V>);

async fn assets(
    transaction: &Transaction<'_>,
    wanted: Vec<Asset>,
) -> Result<(HashMap<Asset, AssetId>, Vec<(AssetId, Asset)>), DbError> {
    let before = find_assets(transaction, &wanted).await?;
    if before.len() == wanted.len() {
        return Ok((before, Vec::new()));
    }
    // Insert only the missing ones: a conflict with an existing row would use up a number of the sequence.
    let missing: Vec<Asset> = wanted.iter().filter(|asset| !before.contains_key(asset)).copied().collect();
    let (codes, issuers) = names(&missing);
    let kinds: Vec<&str> = missing.iter().map(Asset::kind).collect();
    let params: [(&(dyn ToSql + Sync), Type); 3] =
        [(&codes, Type::TEXT_ARRAY), (&issuers, Type::TEXT_ARRAY), (&kinds, Type::TEXT_ARRAY)];
    transaction.execute_typed(include_str!("sql/assets/insert_new.sql"), &params).await?;
    let after = find_assets(transaction, &wanted).await?;
    let new = after
        .iter()
        .filter(|(asset, _)| !before.contains_key(asset))
        .map(|(asset, id)| (*id, *asset))
        .collect();
    Ok((after, new))
}

async fn find_assets(
    transaction: &Transaction<'_>,
    wanted: &[Asset],
) -> Result<HashMap<Asset, AssetId>, DbError> {
    let (codes, issuers) = names(wanted);
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&codes, Type::TEXT_ARRAY), (&issuers, Type::TEXT_ARRAY)];
    let rows = transaction.query_typed(include_str!("sql/assets/find.sql"), &params).await?;
    rows.iter().map(|row| Ok((asset(row.try_get(1)?, row.try_get(2)?)?, row.try_get(0)?))).collect()
}

fn names(assets: &[Asset]) -> (Vec<&str>, Vec<&str>) {
    assets.iter().map(|asset| (asset.code(), asset.issuer())).unzip()
}

/// Returns the asset with the code and issuer of a row.
pub(super) fn asset(code: &str, issuer: &str) -> Result<Asset, DbError> {
    if issuer == "native" {
        return Ok(Asset::Native);
    }
    Asset::issued(code, issuer).map_err(|error| DbError::Corrupt(format!("asset {code}:{issuer}: {error}")))
}

async fn market_ids(
    transaction: &Transaction<'_>,
    wanted: &[(AssetId, AssetId)],
) -> Result<Found<(AssetId, AssetId), MarketIds>, DbError> {
    let before = find_markets(transaction, wanted).await?;
    if before.len() == wanted.len() {
        return Ok((before, Vec::new()));
    }
    let (bases, counters): (Vec<AssetId>, Vec<AssetId>) = wanted.iter().copied().unzip();
    let params: [(&(dyn ToSql + Sync), Type); 2] =
        [(&bases, Type::INT4_ARRAY), (&counters, Type::INT4_ARRAY)];
    transaction.execute_typed(include_str!("sql/markets/insert_new.sql"), &params).await?;
    let after = find_markets(transaction, wanted).await?;
    let new = after.iter().filter(|(sides, _)| !before.contains_key(sides)).map(|(_, ids)| *ids).collect();
    Ok((after, new))
}

async fn find_markets(
    transaction: &Transaction<'_>,
    wanted: &[(AssetId, AssetId)],
) -> Result<HashMap<(AssetId, AssetId), MarketIds>, DbError> {
    let (bases, counters): (Vec<AssetId>, Vec<AssetId>) = wanted.iter().copied().unzip();
    let params: [(&(dyn ToSql + Sync), Type); 2] =
        [(&bases, Type::INT4_ARRAY), (&counters, Type::INT4_ARRAY)];
    let rows = transaction.query_typed(include_str!("sql/markets/find.sql"), &params).await?;
    rows.iter()
        .map(|row| {
            let ids = MarketIds { market: row.try_get(0)?, base: row.try_get(1)?, counter: row.try_get(2)? };
            Ok(((ids.base, ids.counter), ids))
        })
        .collect()
}
