//! The numbers of assets and markets: found, made where they are new, remembered once they are committed.

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

/// Remembered numbers; beyond it all are forgotten and looked up again.
const KNOWN_MAX: usize = 1_000_000;

/// A market and its two assets, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarketIds {
    /// The market.
    pub market: MarketId,
    /// Its base asset.
    pub base: AssetId,
    /// Its counter asset.
    pub counter: AssetId,
}

/// Numbers that are committed. Never those of a transaction that may yet be rolled back.
#[derive(Debug, Default)]
pub(super) struct KnownIds(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    markets: HashMap<Market, MarketIds>,
    /// The last batch of those that the numbers were learned with. A database that holds it holds them too.
    learned_at: Option<Mark>,
    /// The generation of numbers that they are of; it changes when markets or assets are deleted.
    generation: Option<String>,
}

impl KnownIds {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The transaction that found or made these is committed.
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

    /// Forgets all numbers if markets were deleted since, or if the database has lost the batch that they were learned
    /// with. They may be unused or another market's by now.
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
            warn!(seq = learned_at.seq, "the database has lost batches: all numbers are looked up anew");
            let mut known = self.lock();
            *known = Known { generation: known.generation.take(), ..Known::default() };
        }
        Ok(())
    }
}

/// The numbers of a batch's markets.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    remembered: HashMap<Market, MarketIds>,
    looked_up: HashMap<Market, MarketIds>,
    /// Assets that this transaction made.
    pub(super) new_assets: Vec<(AssetId, Asset)>,
    /// Markets that this transaction made.
    pub(super) new_markets: Vec<MarketIds>,
}

impl Resolved {
    pub(super) fn get(&self, market: &Market) -> Option<MarketIds> {
        self.remembered.get(market).or_else(|| self.looked_up.get(market)).copied()
    }
}

/// Finds or makes the numbers of these markets and their assets.
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
                Some(ids) => drop(resolved.remembered.insert(market, *ids)),
                None => unknown.push(market),
            }
        }
    }
    if unknown.is_empty() {
        return Ok(resolved);
    }
    let wanted: HashSet<Asset> =
        unknown.iter().flat_map(|market| [*market.base(), *market.counter()]).collect();
    // In one order, here and below: two writers that make the same rows in different orders wait for each other.
    let mut wanted: Vec<Asset> = wanted.into_iter().collect();
    wanted.sort_unstable_by(|one, other| (one.code(), one.issuer()).cmp(&(other.code(), other.issuer())));
    let (assets, new_assets) = assets(transaction, wanted).await?;
    resolved.new_assets = new_assets;
    let missing = |what: &dyn std::fmt::Debug| DbError::Corrupt(format!("{what:?} has no number"));
    let id = |asset: &Asset| assets.get(asset).copied().ok_or_else(|| missing(asset));
    let sides: Vec<(AssetId, AssetId)> = unknown
        .iter()
        .map(|market| Ok((id(market.base())?, id(market.counter())?)))
        .collect::<Result<_, DbError>>()?;
    let mut wanted = sides.clone();
    wanted.sort_unstable();
    let (ids, new_markets) = market_ids(transaction, &wanted).await?;
    resolved.new_markets = new_markets;
    for (market, sides) in unknown.into_iter().zip(sides) {
        let ids = ids.get(&sides).copied().ok_or_else(|| missing(&market))?;
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
    // Only what is missing: a row that is there would use up a number of the sequence.
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

/// The asset of a row's code and issuer.
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
