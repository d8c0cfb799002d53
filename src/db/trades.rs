//! Writing batches of trades: rows, new assets and markets, quarantine, coverage, cursor and fence in one
//! transaction.

pub(super) mod columns;
pub(super) mod rows;

use std::{
    collections::{HashMap, hash_map::Entry},
    time::Instant,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio_postgres::error::SqlState;

use super::{
    Database, DbError, coverage, cursors,
    fenced::{self, ChangedRows},
    ids::{self, Resolved},
    quarantine,
    refused::{self, Parts},
};
pub use super::{
    cursors::CursorMove,
    ids::MarketIds,
    quarantine::{NewlyQuarantined, QuarantineEntry},
};
use crate::domain::{
    asset::Asset, conversions::SaturatingFrom, coverage::LedgerRange, cursor::PagingToken,
    directory::AssetId, trade::Trade, trade_stats::WindowTrade, windows::MarketId,
};

/// Name of the stream's cursor in `ingest_cursor`. History has no cursor: the coverage says which ledgers are missing.
pub const LIVE_CURSOR: &str = "live";
/// Largest number of trades in a batch.
const BATCH_TRADES_MAX: usize = 100_000;
/// Attempts to write a batch that conflicts with another writer of this process.
const TRIES_MAX: u32 = 4;

/// Source of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchKind {
    /// New trades: from Horizon's stream, a lake or RPC.
    Live,
    /// History: from Horizon's pages or a lake.
    Backfill,
    /// Ledgers that were read again because trades were missing.
    Repair,
}

impl BatchKind {
    /// Returns the name in `ingest_batches` and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Backfill => "backfill",
            Self::Repair => "repair",
        }
    }

    /// Returns the kind of this name; none for a batch without trades.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Live, Self::Backfill, Self::Repair].into_iter().find(|kind| kind.name() == name)
    }
}

/// A trade with its record.
#[derive(Clone, Debug)]
pub struct IncomingTrade {
    /// The decoded trade.
    pub trade: Trade,
    /// Bytes of the record. They go to quarantine if the trade contradicts the stored one.
    pub raw: Bytes,
}

/// Rows to write in one transaction.
#[derive(Clone, Debug)]
pub struct TradeBatch {
    /// Source of the batch.
    pub kind: BatchKind,
    /// Step of the stream's cursor; none for history.
    pub cursor: Option<CursorMove>,
    /// Trades, in any order.
    pub trades: Vec<IncomingTrade>,
    /// Records of the same source that are no valid trades.
    pub quarantine: Vec<QuarantineEntry>,
    /// Ledgers that are complete with this batch.
    pub covered: Option<LedgerRange>,
}

/// Result of writing a batch.
#[derive(Clone, Debug, Default)]
pub struct CommittedBatch {
    /// Number of the batch.
    pub seq: i64,
    /// Start of its transaction, by the clock of the server.
    pub committed_at: DateTime<Utc>,
    /// Trades that were not stored before.
    pub trades: Vec<(MarketId, WindowTrade)>,
    /// Assets that were not stored before.
    pub new_assets: Vec<(AssetId, Asset)>,
    /// Identities of the assets of new markets, and of some others. A new market may have
    /// assets that are stored already.
    pub names: Vec<(AssetId, Asset)>,
    /// Markets that were not stored before.
    pub new_markets: Vec<MarketIds>,
    /// Ledgers that are complete with this batch.
    pub covered: Option<LedgerRange>,
    /// Number of trades that were stored before.
    pub repeats: u64,
    /// Number of trades whose identity was stored with other figures. They are in quarantine.
    pub conflicts: u64,
    /// Records that this batch added to quarantine.
    pub quarantined: Vec<NewlyQuarantined>,
    /// Number of records that the hourly limit kept out of quarantine.
    pub quarantine_left_out: u64,
}

/// Trades of a batch, classified by comparison with the stored ones.
#[derive(Debug, Default)]
struct Classified<'a> {
    new: Vec<&'a Trade>,
    conflicts: Vec<QuarantineEntry>,
    repeats: u64,
}

impl Database {
    /// Writes a batch. Repeats change nothing. An identity that is stored with other figures goes to quarantine.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`] or [`DbError::CursorMoved`] if another writer was faster, [`DbError::TooLarge`], or an
    /// error of the connection. Nothing of the batch is written then, with one exception: if the connection broke
    /// during the commit, the outcome is unknown, and the position of the cursor shows it.
    pub async fn write_trades(&self, epoch: i64, batch: &TradeBatch) -> Result<CommittedBatch, DbError> {
        check_size(batch.trades.len())?;
        match self.write_trades_with_retries(epoch, batch).await {
            // One row with an impossible value must not block the batch for ever.
            Err(error) if error.refuses_a_row() => {
                let batch = self.without_refused(batch).await?;
                self.write_trades_with_retries(epoch, &batch).await
            }
            other => other,
        }
    }

    async fn write_trades_with_retries(
        &self,
        epoch: i64,
        batch: &TradeBatch,
    ) -> Result<CommittedBatch, DbError> {
        let mut tries = 1;
        loop {
            match self.try_write_trades(epoch, batch).await {
                // 23514: no partition accepts the row. The cleaner dropped a partition that the cache still names.
                Err(error) if error.is(&SqlState::CHECK_VIOLATION) && tries < TRIES_MAX => self.days.forget(),
                // Another writer of this replica committed the same trade meanwhile. The next attempt finds a repeat.
                Err(error) if error.is(&SqlState::UNIQUE_VIOLATION) && tries < TRIES_MAX => {}
                other => return other,
            }
            tries += 1;
        }
    }

    /// Returns the batch with each refused trade moved to its quarantine. Finds them by trial inserts, and writes
    /// nothing.
    async fn without_refused(&self, batch: &TradeBatch) -> Result<TradeBatch, DbError> {
        let mut parts = Parts::of(&batch.trades);
        while let Some(part) = parts.next() {
            if let Err(error) = self.insert_and_roll_back(part.rows).await {
                parts.failed(&part, error)?;
            }
        }
        let mut kept = TradeBatch { trades: Vec::new(), ..batch.clone() };
        let mut refusals = parts.refused().into_iter().peekable();
        for (place, incoming) in batch.trades.iter().enumerate() {
            match refusals.next_if(|(refused, _)| *refused == place) {
                None => kept.trades.push(incoming.clone()),
                Some((_, error)) => {
                    refused::report("trades", &incoming.trade.token.to_string(), &error);
                    kept.quarantine.push(refusal(incoming, &error));
                }
            }
        }
        Ok(kept)
    }

    /// Checks that PostgreSQL accepts these trades.
    async fn insert_and_roll_back(&self, trades: &[IncomingTrade]) -> Result<(), DbError> {
        self.ensure_days(trades.iter().map(|incoming| incoming.trade.closed_at.day())).await?;
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        let markets = trades.iter().map(|incoming| incoming.trade.market).collect();
        let resolved = ids::resolve(&transaction, &self.ids, markets).await?;
        let (unique, mut classified) = deduplicated(trades);
        let held = rows::find(&transaction, &unique).await?;
        classify(&unique, &held, &resolved, &mut classified);
        rows::insert(&transaction, &classified.new, &resolved).await?;
        transaction.rollback().await?;
        Ok(())
    }

    async fn try_write_trades(&self, epoch: i64, batch: &TradeBatch) -> Result<CommittedBatch, DbError> {
        self.ensure_days(batch.trades.iter().map(|incoming| incoming.trade.closed_at.day())).await?;
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        let markets = batch.trades.iter().map(|incoming| incoming.trade.market).collect();
        let resolved = ids::resolve(&transaction, &self.ids, markets).await?;
        let (unique, mut classified) = deduplicated(&batch.trades);
        let held = rows::find(&transaction, &unique).await?;
        classify(&unique, &held, &resolved, &mut classified);
        let written = rows::insert(&transaction, &classified.new, &resolved).await?;
        let mut refused = batch.quarantine.clone();
        refused.append(&mut classified.conflicts.clone());
        let fitting = self.quarantine_limit.fitting(refused, Instant::now());
        let quarantined = quarantine::insert(&transaction, &fitting.entries).await?;
        if let Some(covered) = batch.covered {
            coverage::add(&transaction, covered).await?;
        }
        if let Some(cursor) = &batch.cursor {
            cursors::advance(&transaction, cursor).await?;
        }
        let mark =
            fenced::commit_marked(transaction, epoch, batch.kind.name(), &changes(&classified.new)).await?;
        // Only now: ids of a transaction that was rolled back must never get into the cache.
        self.ids.learn(&resolved, mark);
        let quarantine_left_out = fitting.kept(quarantined.len());
        Ok(CommittedBatch {
            seq: mark.seq,
            committed_at: mark.committed_at,
            trades: written,
            new_assets: resolved.new_assets,
            names: resolved.names,
            new_markets: resolved.new_markets,
            covered: batch.covered,
            repeats: classified.repeats,
            conflicts: u64::saturating_from(classified.conflicts.len()),
            quarantined,
            quarantine_left_out,
        })
    }
}

/// Refuses a batch of more than [`BATCH_TRADES_MAX`] trades.
fn check_size(trades: usize) -> Result<(), DbError> {
    if trades > BATCH_TRADES_MAX {
        return Err(DbError::TooLarge(format!("{trades} trades")));
    }
    Ok(())
}

/// Returns each identity once, in order. Of two trades with one identity the first counts. The other is a repeat or a
/// conflict.
fn deduplicated(trades: &[IncomingTrade]) -> (Vec<&IncomingTrade>, Classified<'_>) {
    let mut first: HashMap<PagingToken, &IncomingTrade> = HashMap::with_capacity(trades.len());
    let (mut unique, mut classified) = (Vec::with_capacity(trades.len()), Classified::default());
    for incoming in trades {
        match first.entry(incoming.trade.token) {
            Entry::Vacant(place) => {
                place.insert(incoming);
                unique.push(incoming);
            }
            Entry::Occupied(there) if there.get().trade == incoming.trade => classified.repeats += 1,
            Entry::Occupied(_) => classified.conflicts.push(conflict(incoming)),
        }
    }
    unique.sort_unstable_by_key(|incoming| incoming.trade.token);
    (unique, classified)
}

fn classify<'a>(
    unique: &[&'a IncomingTrade],
    held: &HashMap<PagingToken, rows::Held>,
    resolved: &Resolved,
    classified: &mut Classified<'a>,
) {
    for incoming in unique {
        match held.get(&incoming.trade.token) {
            None => classified.new.push(&incoming.trade),
            Some(held) if held.is(&incoming.trade, resolved) => classified.repeats += 1,
            Some(_) => classified.conflicts.push(conflict(incoming)),
        }
    }
}

fn conflict(incoming: &IncomingTrade) -> QuarantineEntry {
    QuarantineEntry {
        source: "conflict",
        token: Some(incoming.trade.token),
        reason: "conflict: a trade of this identity is held with other figures".into(),
        raw: incoming.raw.clone(),
    }
}

fn refusal(incoming: &IncomingTrade, error: &DbError) -> QuarantineEntry {
    QuarantineEntry {
        source: "refused",
        token: Some(incoming.trade.token),
        reason: format!("refused by the {error}"),
        raw: incoming.raw.clone(),
    }
}

fn changes(new: &[&Trade]) -> ChangedRows {
    let tokens = || new.iter().map(|trade| trade.token);
    ChangedRows {
        from_token: tokens().min().map(|token| token.to_string()),
        to_token: tokens().max().map(|token| token.to_string()),
        trades: i32::saturating_from(new.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_the_largest_size_is_accepted_and_a_larger_one_is_refused() {
        assert!(check_size(100_000).is_ok());
        assert!(matches!(check_size(100_001), Err(DbError::TooLarge(_))));
    }
}
