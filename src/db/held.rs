//! Complete rows of `trades`, for comparison with the trades of their source.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{
    Database, DbError,
    trades::columns::{self, StoredFigures, StoredParties, TradeReader},
    transaction,
};
use crate::domain::{
    conversions::SaturatingFrom, coverage::ClosedLedger, cursor::PagingToken, instant::UnixSeconds,
    trade::Trade,
};

/// Largest number of rows read at once. A page of Horizon holds 200 trades, so this allows for many that Horizon lacks.
const ROWS_MAX: usize = 2_000;
const LIMITS: &str = "SET LOCAL statement_timeout = '30s'; SET LOCAL lock_timeout = '3s'";

/// Rows between two positions.
#[derive(Clone, Debug)]
pub struct HeldRows {
    /// Rows by identity.
    pub rows: BTreeMap<PagingToken, HeldRow>,
    /// Position from which on `rows` is complete. It is later than the requested one if there were too many rows.
    pub from: PagingToken,
}

/// A row, with its assets spelt out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldRow {
    /// Number of rows with this identity. More than one is an error, even if they are equal.
    copies: u32,
    figures: StoredFigures,
    parties: StoredParties,
    /// Base and counter of the market, then base and counter of the row itself, as Horizon spells them.
    assets: [Option<String>; 4],
}

impl HeldRow {
    /// Makes the rows that hold a trade this many times.
    #[cfg(test)]
    pub(crate) fn of(trade: &Trade, copies: u32) -> Self {
        let [base, counter] =
            [trade.market.base(), trade.market.counter()].map(|asset| Some(asset.to_string()));
        let assets = [base.clone(), counter.clone(), base, counter];
        Self { copies, figures: StoredFigures::from(trade), parties: StoredParties::from(trade), assets }
    }

    /// Returns the close time of the trade's ledger.
    #[must_use]
    pub const fn closed_at(&self) -> UnixSeconds {
        self.figures.closed_at
    }

    /// Returns true if the row is exactly this trade, and the only one of its identity.
    #[must_use]
    pub fn is(&self, trade: &Trade) -> bool {
        let spelt = |asset: &crate::domain::asset::Asset| Some(asset.to_string());
        let [base, counter] = [trade.market.base(), trade.market.counter()].map(spelt);
        self.copies == 1
            && self.figures == StoredFigures::from(trade)
            && self.parties.match_trade(trade)
            && self.assets == [base.clone(), counter.clone(), base, counter]
    }
}

impl Database {
    /// Returns the last 2,000 rows at or after `from` and before `to`.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn held_between(&self, from: PagingToken, to: PagingToken) -> Result<HeldRows, DbError> {
        let limit = i64::saturating_from(ROWS_MAX);
        let params: [(&(dyn ToSql + Sync), Type); 5] = [
            (&from.toid, Type::INT8),
            (&from.order, Type::INT4),
            (&to.toid, Type::INT8),
            (&to.order, Type::INT4),
            (&limit, Type::INT8),
        ];
        let mut client = self.client().await?;
        let transaction = transaction::begin_read(&mut client, LIMITS).await?;
        let rows = transaction.query_typed(include_str!("sql/trades/held_between.sql"), &params).await?;
        transaction.commit().await?;
        let mut held: BTreeMap<PagingToken, HeldRow> = BTreeMap::new();
        let mut reader = TradeReader::default();
        for row in &rows {
            let (token, row) = held_row(row, &mut reader)?;
            held.entry(token).and_modify(|held| held.copies = held.copies.saturating_add(1)).or_insert(row);
        }
        if rows.len() < ROWS_MAX {
            return Ok(HeldRows { rows: held, from });
        }
        // The limit may have cut off further rows of the lowest identity, so `copies` of that one is unknown.
        held.pop_first();
        let from = held.first_key_value().map_or(to, |(token, _)| *token);
        Ok(HeldRows { rows: held, from })
    }
}

impl Database {
    /// Returns identity and close time of the newest trade at or after `from` and before `to`.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn newest_held_between(
        &self,
        from: PagingToken,
        to: PagingToken,
    ) -> Result<Option<(PagingToken, UnixSeconds)>, DbError> {
        self.one_between(include_str!("sql/trades/newest_between.sql"), from, to).await
    }

    /// Returns identity and close time of the oldest trade at or after `from` and before `to`.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn oldest_held_between(
        &self,
        from: PagingToken,
        to: PagingToken,
    ) -> Result<Option<(PagingToken, UnixSeconds)>, DbError> {
        self.one_between(include_str!("sql/trades/oldest_between.sql"), from, to).await
    }

    /// Returns ledger and close time of the newest `count` trades, the newest first.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn newest_held(&self, count: i64) -> Result<Vec<ClosedLedger>, DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin_read(&mut client, LIMITS).await?;
        let sql = include_str!("sql/trades/newest.sql");
        let rows = transaction.query_typed(sql, &[(&count, Type::INT8)]).await?;
        transaction.commit().await?;
        rows.iter()
            .map(|row| columns::identity(row).map(|(token, closed_at)| (token.ledger(), closed_at)))
            .collect()
    }

    /// Time from which the ages of what is kept are counted: now, or the close time of the newest
    /// ledger or trade that is held if that is earlier. So nothing is dropped because a clock is ahead
    /// of the network. `None` if nothing is held.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn retention_time(&self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, DbError> {
        self.bounded(async {
            let sql = include_str!("sql/trades/newest_time.sql");
            let newest: Option<DateTime<Utc>> =
                self.client().await?.query_typed_one(sql, &[]).await?.try_get(0)?;
            Ok(newest.map(|newest| newest.min(now)))
        })
        .await
    }

    async fn one_between(
        &self,
        sql: &str,
        from: PagingToken,
        to: PagingToken,
    ) -> Result<Option<(PagingToken, UnixSeconds)>, DbError> {
        let params: [(&(dyn ToSql + Sync), Type); 4] = [
            (&from.toid, Type::INT8),
            (&from.order, Type::INT4),
            (&to.toid, Type::INT8),
            (&to.order, Type::INT4),
        ];
        let mut client = self.client().await?;
        let transaction = transaction::begin_read(&mut client, LIMITS).await?;
        let row = transaction.query_typed_opt(sql, &params).await?;
        transaction.commit().await?;
        row.as_ref().map(columns::identity).transpose()
    }
}

fn held_row(row: &Row, reader: &mut TradeReader) -> Result<(PagingToken, HeldRow), DbError> {
    let asset = |name: &str| -> Result<Option<String>, DbError> { Ok(row.try_get(name)?) };
    let figures = reader.figures(row)?;
    let held = HeldRow {
        copies: 1,
        figures,
        parties: columns::stored_parties(row)?,
        assets: [asset("market_base")?, asset("market_counter")?, asset("row_base")?, asset("row_counter")?],
    };
    Ok((figures.token, held))
}
