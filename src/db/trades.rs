//! Writing batches of trades: rows, new assets and markets, quarantine, coverage, cursor and fence in one
//! transaction.

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
    fenced::{self, Done},
    ids::{self, Resolved},
    quarantine,
    refused::{self, Parts},
};
pub use super::{
    ids::MarketIds,
    quarantine::{NewlyQuarantined, QuarantineEntry},
};
use crate::domain::{
    asset::Asset, coverage::LedgerRange, cursor::PagingToken, directory::AssetId, trade::Trade,
    trade_stats::WindowTrade, windows::MarketId,
};

/// The stream's cursor in `ingest_cursor`, the only one there is: history goes on from what the coverage lacks.
pub const LIVE_CURSOR: &str = "live";
/// A batch holds no more trades than these.
const BATCH_TRADES_MAX: usize = 100_000;

/// Tries to write a batch that another writer of this process got in the way of.
const TRIES_MAX: u32 = 4;

/// What a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchKind {
    /// From the stream.
    Live,
    /// History.
    Backfill,
    /// What was missing.
    Repair,
}

impl BatchKind {
    /// As it stands in `ingest_batches` and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Backfill => "backfill",
            Self::Repair => "repair",
        }
    }
}

/// A trade as it came.
#[derive(Clone, Debug)]
pub struct IncomingTrade {
    /// The trade.
    pub trade: Trade,
    /// Its bytes, for quarantine if it contradicts what is held.
    pub raw: Bytes,
}

/// A step of a cursor.
#[derive(Clone, Debug)]
pub struct CursorMove {
    /// Which cursor.
    pub name: String,
    /// Where it must stand.
    pub expected: Option<PagingToken>,
    /// Where it stands afterwards.
    pub to: PagingToken,
}

/// What is to be written in one transaction.
#[derive(Clone, Debug)]
pub struct TradeBatch {
    /// What it is.
    pub kind: BatchKind,
    /// The cursor that it moves; none for history, which goes on from what the coverage lacks.
    pub cursor: Option<CursorMove>,
    /// The trades, in any order.
    pub trades: Vec<IncomingTrade>,
    /// What came with them and is no trade.
    pub quarantine: Vec<QuarantineEntry>,
    /// Ledgers that it completes.
    pub covered: Option<LedgerRange>,
}

/// What was written.
#[derive(Clone, Debug, Default)]
pub struct CommittedBatch {
    /// Its number.
    pub seq: i64,
    /// When its transaction began, by the server's clock.
    pub committed_at: DateTime<Utc>,
    /// The trades that were not there before.
    pub trades: Vec<(MarketId, WindowTrade)>,
    /// Assets that were not there before.
    pub new_assets: Vec<(AssetId, Asset)>,
    /// Markets that were not there before.
    pub new_markets: Vec<MarketIds>,
    /// Trades that were there already.
    pub repeats: u64,
    /// Trades whose identity was there with other figures; they are in quarantine.
    pub conflicts: u64,
    /// What of all this went to quarantine and had not been there.
    pub quarantined: Vec<NewlyQuarantined>,
    /// Records that were not kept, because too many came within the hour.
    pub quarantine_left_out: u64,
}

/// A batch's trades, sorted by what becomes of them.
#[derive(Debug, Default)]
struct Sorted<'a> {
    new: Vec<&'a Trade>,
    conflicts: Vec<QuarantineEntry>,
    repeats: u64,
}

impl Database {
    /// Writes a batch. Repeats change nothing; an identity that is there with other figures goes to quarantine.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`] and [`DbError::CursorMoved`] where another writer was here, [`DbError::TooLarge`], or
    /// what the connection said. Nothing of the batch is written then, unless the connection broke at the very end:
    /// the cursor tells.
    pub async fn write_trades(&self, epoch: i64, batch: &TradeBatch) -> Result<CommittedBatch, DbError> {
        if batch.trades.len() > BATCH_TRADES_MAX {
            return Err(DbError::TooLarge(format!("{} trades", batch.trades.len())));
        }
        match self.write_trades_patiently(epoch, batch).await {
            Err(error) if error.refuses_a_row() => {
                let batch = self.without_refused(batch).await?;
                self.write_trades_patiently(epoch, &batch).await
            }
            other => other,
        }
    }

    async fn write_trades_patiently(
        &self,
        epoch: i64,
        batch: &TradeBatch,
    ) -> Result<CommittedBatch, DbError> {
        let mut tries = 1;
        loop {
            match self.try_write_trades(epoch, batch).await {
                // A partition that was there has been dropped: 23514 says that no partition takes the row.
                Err(error) if error.is(&SqlState::CHECK_VIOLATION) && tries < TRIES_MAX => self.days.forget(),
                // Another writer of this replica committed the same trade a moment ago: now it is a repeat.
                Err(error) if error.is(&SqlState::UNIQUE_VIOLATION) && tries < TRIES_MAX => {}
                other => return other,
            }
            tries += 1;
        }
    }

    /// The batch with each trade that PostgreSQL refuses moved to its quarantine. Writes nothing itself.
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
                    refused::tell("trades", &incoming.trade.token.to_string(), &error);
                    kept.quarantine.push(refusal(incoming, &error));
                }
            }
        }
        Ok(kept)
    }

    /// Checks that PostgreSQL would accept these trades.
    async fn insert_and_roll_back(&self, trades: &[IncomingTrade]) -> Result<(), DbError> {
        self.ensure_days(trades.iter().map(|incoming| incoming.trade.closed_at.day())).await?;
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        let markets = trades.iter().map(|incoming| incoming.trade.market).collect();
        let resolved = ids::resolve(&transaction, &self.ids, markets).await?;
        let (unique, mut sorted) = without_twins(trades);
        let held = rows::find(&transaction, &unique).await?;
        sort_by_held(&unique, &held, &resolved, &mut sorted);
        rows::insert(&transaction, &sorted.new, &resolved).await?;
        transaction.rollback().await?;
        Ok(())
    }

    async fn try_write_trades(&self, epoch: i64, batch: &TradeBatch) -> Result<CommittedBatch, DbError> {
        self.ensure_days(batch.trades.iter().map(|incoming| incoming.trade.closed_at.day())).await?;
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        let markets = batch.trades.iter().map(|incoming| incoming.trade.market).collect();
        let resolved = ids::resolve(&transaction, &self.ids, markets).await?;
        let (unique, mut sorted) = without_twins(&batch.trades);
        let held = rows::find(&transaction, &unique).await?;
        sort_by_held(&unique, &held, &resolved, &mut sorted);
        let written = rows::insert(&transaction, &sorted.new, &resolved).await?;
        let mut refused = batch.quarantine.clone();
        refused.append(&mut sorted.conflicts.clone());
        let fitting = self.quarantine_limit.fitting(refused, Instant::now());
        let quarantined = quarantine::insert(&transaction, &fitting.entries).await?;
        if let Some(covered) = batch.covered {
            coverage::add(&transaction, covered).await?;
        }
        if let Some(cursor) = &batch.cursor {
            cursors::advance(&transaction, cursor).await?;
        }
        let mark = fenced::commit_marked(transaction, epoch, batch.kind.name(), &done(&sorted.new)).await?;
        self.ids.learn(&resolved, mark);
        let quarantine_left_out = fitting.kept(quarantined.len());
        Ok(CommittedBatch {
            seq: mark.seq,
            committed_at: mark.committed_at,
            trades: written,
            new_assets: resolved.new_assets,
            new_markets: resolved.new_markets,
            repeats: sorted.repeats,
            conflicts: u64::try_from(sorted.conflicts.len()).unwrap_or(u64::MAX),
            quarantined,
            quarantine_left_out,
        })
    }
}

/// Each identity once, in their order; of two in one batch the first counts, and the other is a repeat or contradicts it.
fn without_twins(trades: &[IncomingTrade]) -> (Vec<&IncomingTrade>, Sorted<'_>) {
    let mut first: HashMap<PagingToken, &IncomingTrade> = HashMap::with_capacity(trades.len());
    let (mut unique, mut sorted) = (Vec::with_capacity(trades.len()), Sorted::default());
    for incoming in trades {
        match first.entry(incoming.trade.token) {
            Entry::Vacant(place) => {
                place.insert(incoming);
                unique.push(incoming);
            }
            Entry::Occupied(there) if there.get().trade == incoming.trade => sorted.repeats += 1,
            Entry::Occupied(_) => sorted.conflicts.push(conflict(incoming)),
        }
    }
    unique.sort_unstable_by_key(|incoming| incoming.trade.token);
    (unique, sorted)
}

fn sort_by_held<'a>(
    unique: &[&'a IncomingTrade],
    held: &HashMap<PagingToken, rows::Held>,
    resolved: &Resolved,
    sorted: &mut Sorted<'a>,
) {
    for incoming in unique {
        match held.get(&incoming.trade.token) {
            None => sorted.new.push(&incoming.trade),
            Some(held) if held.is(&incoming.trade, resolved) => sorted.repeats += 1,
            Some(_) => sorted.conflicts.push(conflict(incoming)),
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

fn done(new: &[&Trade]) -> Done {
    let tokens = || new.iter().map(|trade| trade.token);
    Done {
        from_token: tokens().min().map(|token| token.to_string()),
        to_token: tokens().max().map(|token| token.to_string()),
        trades: i32::try_from(new.len()).unwrap_or(i32::MAX),
    }
}
