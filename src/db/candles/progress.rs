//! Progress of the derivation of candles: which trades wait for it. It is stored with the candles, so neither a restart
//! nor a take-over loses a correction.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use crate::{
    db::DbError,
    domain::{cursor::PagingToken, instant::UnixSeconds},
};

/// Batches that are looked at in one step.
const BATCHES_MAX: i64 = 500;
/// All possible positions of trades.
const EVERYTHING: TokenRange = TokenRange { from: PagingToken::FIRST, to: PagingToken::LAST };

/// Range of positions, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TokenRange {
    pub(super) from: PagingToken,
    pub(super) to: PagingToken,
}

/// Progress as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Batches up to this one are derived, except for `rest`. `None` before the first derivation.
    pub(super) seq: Option<i64>,
    /// Trades of these batches that wait.
    pub(super) rest: Option<TokenRange>,
    /// Candles that begin earlier have lost trades and must not change.
    pub(super) frozen_before: Option<UnixSeconds>,
}

/// Trades of one batch that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    /// Batch up to which everything is derived once these trades are.
    pub(super) seq: i64,
    /// The trades. A range may contain trades of other batches. `None` for a batch without trades.
    pub(super) trades: Option<TokenRange>,
}

impl Progress {
    /// Reads the progress, and locks it until the end of the transaction.
    pub(super) async fn lock(transaction: &Transaction<'_>) -> Result<Self, DbError> {
        let sql = include_str!("../sql/candles/lock_progress.sql");
        Self::of(&transaction.query_typed_one(sql, &[]).await?)
    }

    /// Reads the progress.
    pub(super) async fn read(transaction: &Transaction<'_>) -> Result<Self, DbError> {
        let sql = include_str!("../sql/candles/progress.sql");
        Self::of(&transaction.query_typed_one(sql, &[]).await?)
    }

    fn of(row: &Row) -> Result<Self, DbError> {
        let token = |toid: usize| -> Result<Option<PagingToken>, DbError> {
            let (toid, order): (Option<i64>, Option<i32>) = (row.try_get(toid)?, row.try_get(toid + 1)?);
            Ok(toid.zip(order).map(|(toid, order)| PagingToken { toid, order }))
        };
        let rest = token(1)?.zip(token(3)?).map(|(from, to)| TokenRange { from, to });
        let frozen_before: Option<DateTime<Utc>> = row.try_get(5)?;
        Ok(Self { seq: row.try_get(0)?, rest, frozen_before: frozen_before.map(UnixSeconds::from) })
    }

    /// Stores the position.
    pub(super) async fn store(&self, transaction: &Transaction<'_>) -> Result<(), DbError> {
        let ends = [self.rest.map(|rest| rest.from), self.rest.map(|rest| rest.to)];
        let [from_toid, to_toid] = ends.map(|end| end.map(|token| token.toid));
        let [from_order, to_order] = ends.map(|end| end.map(|token| token.order));
        let params: [(&(dyn ToSql + Sync), Type); 5] = [
            (&self.seq, Type::INT8),
            (&from_toid, Type::INT8),
            (&from_order, Type::INT4),
            (&to_toid, Type::INT8),
            (&to_order, Type::INT4),
        ];
        transaction.execute_typed(include_str!("../sql/candles/move_progress.sql"), &params).await?;
        Ok(())
    }

    /// Returns what waits, in the order in which it is to be derived, and the newest batch. At most [`BATCHES_MAX`]
    /// batches.
    pub(super) async fn pending(
        &self,
        transaction: &Transaction<'_>,
    ) -> Result<(Vec<Pending>, i64), DbError> {
        let sql = include_str!("../sql/lease/seq.sql");
        let newest: i64 = transaction.query_typed_one(sql, &[]).await?.try_get(0)?;
        let everything = || Ok((vec![Pending { seq: newest, trades: Some(EVERYTHING) }], newest));
        let Some(seq) = self.seq else { return everything() };
        if self.rest.is_some() {
            return Ok((vec![Pending { seq, trades: self.rest }], newest));
        }
        let sql = include_str!("../sql/candles/batches.sql");
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&seq, Type::INT8), (&BATCHES_MAX, Type::INT8)];
        let rows = transaction.query_typed(sql, &params).await?;
        let pending: Vec<Pending> = rows.iter().map(pending).collect::<Result<_, _>>()?;
        // The cleaner has deleted batches that were never derived, or numbers were assigned again.
        let is_contiguous = pending.first().map_or(newest == seq, |first| first.seq == seq.saturating_add(1));
        if is_contiguous { Ok((pending, newest)) } else { everything() }
    }
}

fn pending(row: &Row) -> Result<Pending, DbError> {
    let (seq, kind): (i64, &str) = (row.try_get(0)?, row.try_get(1)?);
    let tokens: (Option<&str>, Option<&str>) = (row.try_get(2)?, row.try_get(3)?);
    let token = |text: &str| -> Result<PagingToken, DbError> {
        text.parse().map_err(|error| DbError::Corrupt(format!("batch {seq}: {error}")))
    };
    let trades = match (kind, tokens) {
        ("live" | "backfill" | "repair", (Some(from), Some(to))) => {
            Some(TokenRange { from: token(from)?, to: token(to)? })
        }
        _ => None,
    };
    Ok(Pending { seq, trades })
}
