//! Accounts behind the trades of markets: counting, storing and reading.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use tokio_postgres::{
    Row,
    types::{ToSql, Type},
};

use super::{
    Database, DbError,
    fenced::{self, ChangedRows},
    transaction,
};
use crate::domain::{
    conversions::SaturatingFrom,
    instant::{DAY, UnixSeconds},
    trading_accounts::{AccountCount, AccountCounts, MarketAccounts},
    windows::MarketId,
};

/// Limits of the count, which reads all trades of a day.
const COUNT_LIMITS: &str =
    "SET LOCAL statement_timeout = '120s'; SET LOCAL lock_timeout = '3s'; SET LOCAL work_mem = '64MB'";

impl Database {
    /// Counts the accounts behind the trades of the 24 hours up to `until`. Views show the count from `counts_from` on.
    /// Takes seconds on a busy network.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn count_market_accounts(
        &self,
        until: UnixSeconds,
        counts_from: UnixSeconds,
    ) -> Result<AccountCount, DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin_snapshot(&mut client, COUNT_LIMITS).await?;
        let (since, end) = (until.plus(-DAY).to_utc(), until.to_utc());
        let params: [(&(dyn ToSql + Sync), Type); 2] =
            [(&since, Type::TIMESTAMPTZ), (&end, Type::TIMESTAMPTZ)];
        let rows = transaction.query_typed(include_str!("sql/market_accounts/count.sql"), &params).await?;
        transaction.commit().await?;
        drop(client);
        let ids = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<MarketId>, _>>()?;
        let is_flipped: HashMap<MarketId, bool> =
            self.market_assets(&ids).await?.iter().map(|sides| (sides.market, sides.is_flipped())).collect();
        let mut count = AccountCount { until, counts_from, markets: Default::default() };
        for row in rows {
            let market = row.try_get(0)?;
            let share = if is_flipped.get(&market) == Some(&true) { 4 } else { 3 };
            count.markets.insert(market, accounts(row.try_get(1)?, row.try_get(2)?, row.try_get(share)?));
        }
        Ok(count)
    }

    /// Stores a count unless one up to the same time is stored, and deletes all but it and the one before it. Returns
    /// the stored counts: another leader may have counted before, and every replica must show the same.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection.
    pub async fn record_market_accounts(
        &self,
        epoch: i64,
        count: &AccountCount,
    ) -> Result<AccountCounts, DbError> {
        let (until, counts_from) = (count.until.to_utc(), count.counts_from.to_utc());
        let markets: Vec<MarketId> = count.markets.keys().copied().collect();
        let all = || count.markets.values();
        let takers: Vec<i32> = all().map(|accounts| i32::saturating_from(accounts.takers)).collect();
        let makers: Vec<i32> = all().map(|accounts| i32::saturating_from(accounts.makers)).collect();
        let pairs: Vec<i16> = all().map(|accounts| i16::saturating_from(accounts.largest_pair)).collect();
        let params: [(&(dyn ToSql + Sync), Type); 6] = [
            (&until, Type::TIMESTAMPTZ),
            (&counts_from, Type::TIMESTAMPTZ),
            (&markets, Type::INT4_ARRAY),
            (&takers, Type::INT4_ARRAY),
            (&makers, Type::INT4_ARRAY),
            (&pairs, Type::INT2_ARRAY),
        ];
        let mut client = self.client().await?;
        let transaction = fenced::begin(&mut client).await?;
        transaction.execute_typed(include_str!("sql/market_accounts/record.sql"), &params).await?;
        let newest: [(&(dyn ToSql + Sync), Type); 1] = [(&until, Type::TIMESTAMPTZ)];
        transaction.execute_typed(include_str!("sql/market_accounts/keep_two.sql"), &newest).await?;
        let rows = transaction.query_typed(include_str!("sql/market_accounts/all.sql"), &[]).await?;
        fenced::commit(transaction, epoch, "clean", &ChangedRows::default()).await?;
        counts(&rows)
    }

    /// Returns the stored counts, or none if `known` is the newest of them. A stored count never changes.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn newer_market_accounts(
        &self,
        known: Option<UnixSeconds>,
    ) -> Result<Option<AccountCounts>, DbError> {
        self.bounded(async {
            let client = self.client().await?;
            let newest = client.query_typed_one(include_str!("sql/market_accounts/newest.sql"), &[]).await?;
            let newest: Option<DateTime<Utc>> = newest.try_get(0)?;
            if newest.map(UnixSeconds::from) == known {
                return Ok(None);
            }
            let rows = client.query_typed(include_str!("sql/market_accounts/all.sql"), &[]).await?;
            Ok(Some(counts(&rows)?))
        })
        .await
    }
}

/// Returns the counts of rows, the newest first.
fn counts(rows: &[Row]) -> Result<AccountCounts, DbError> {
    let mut counts = AccountCounts::default();
    for row in rows {
        let (until, counts_from): (DateTime<Utc>, DateTime<Utc>) = (row.try_get(0)?, row.try_get(1)?);
        let until = UnixSeconds::from(until);
        if counts.0.last().is_none_or(|last| last.until != until) {
            let counts_from = counts_from.into();
            counts.0.push(AccountCount { until, counts_from, markets: Default::default() });
        }
        if let Some(count) = counts.0.last_mut() {
            let accounts = accounts(row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
            count.markets.insert(row.try_get(2)?, accounts);
        }
    }
    Ok(counts)
}

fn accounts(takers: i32, makers: i32, largest_pair: i16) -> MarketAccounts {
    MarketAccounts {
        takers: u32::saturating_from(takers),
        makers: u32::saturating_from(makers),
        largest_pair: u16::saturating_from(largest_pair),
    }
}
