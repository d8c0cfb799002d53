//! Audit of stored candles: those of an hour and its day are compared with a recomputation from the raw trades, and
//! derived again if they differ.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    pin::pin,
};

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use futures_util::TryStreamExt;
use tokio_postgres::types::{ToSql, Type};

use super::{
    ADVANCE_EVERY, LIMITS, candle_ids, derive_day, derive_hour, insert, make_partitions, minutes_from,
    name_markets, of_table,
    progress::Progress,
    rows::{self, CandleMarketId},
    touched,
};
use crate::{
    audit::{candles::CandleSums, sums::RawTrade},
    db::{Database, DbError, fenced, recomputation::raw_trade, trades::columns::TradeReader, transaction},
    domain::{
        candles::Stored,
        instant::{DAY, HOUR, UnixSeconds},
        trade_stats::TradeStats,
        windows::MarketId,
    },
};

/// Result of the audit of an hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CandleAudit {
    /// Number of compared candles.
    pub compared: u64,
    /// Candles that differ.
    pub differences: Vec<CandleDifference>,
}

/// Stored candle that differs from the raw trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CandleDifference {
    /// Length of the candle.
    pub stored: Stored,
    /// Number of the market in the tables of candles.
    pub market: i32,
    /// Start of the candle.
    pub start: UnixSeconds,
    /// Figure that differs, or the reason why there is none to compare.
    pub figure: &'static str,
}

/// Limits of a read of the audit. Rows that cannot be read must not hold a pass up.
const AUDIT_LIMITS: &str = "SET LOCAL statement_timeout = '20s'; SET LOCAL lock_timeout = '1s'";

/// Key of a candle in its table.
type CandleKey = (CandleMarketId, UnixSeconds);
/// Raw trades by market and minute.
type RawHour = BTreeMap<(MarketId, UnixSeconds), Vec<RawTrade>>;

impl Database {
    /// Returns the hours whose candles can be compared with their trades: the first and the last start. `None` without
    /// trades.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn audited_hours(&self) -> Result<Option<(UnixSeconds, UnixSeconds)>, DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin_snapshot(&mut client, AUDIT_LIMITS).await?;
        let row = transaction.query_typed_one(include_str!("../sql/candles/span.sql"), &[]).await?;
        transaction.commit().await?;
        let time = |at: usize| -> Result<Option<UnixSeconds>, DbError> {
            Ok(row.try_get::<_, Option<DateTime<Utc>>>(at)?.map(UnixSeconds::from))
        };
        let hour = |at: UnixSeconds| Stored::Hour.buckets().start_of(at);
        let first = time(0)?.map(hour).max(time(2)?);
        Ok(first.zip(time(1)?.map(hour)))
    }

    /// Compares the stored candles of an hour, and of its day, with a recomputation. Leaves out what waiting trades
    /// touch. Returns `None` if too many wait.
    ///
    /// # Errors
    ///
    /// Any error of the connection.
    pub async fn audit_candles(
        &self,
        hour: UnixSeconds,
        now: DateTime<Utc>,
        advance: impl Fn(),
    ) -> Result<Option<CandleAudit>, DbError> {
        let mut client = self.client().await?;
        let transaction =
            transaction::begin_snapshot(&mut client, &format!("{LIMITS}; {AUDIT_LIMITS}")).await?;
        let progress = Progress::read(&transaction).await?;
        if progress.frozen_before.is_some_and(|frozen| hour < frozen) {
            return Ok(Some(CandleAudit::default()));
        }
        let (pending, newest) = progress.pending(&transaction).await?;
        let (waiting, reached) = touched(&transaction, progress, &pending).await?;
        let is_everything = pending.is_empty() || reached.rest.is_none() && reached.seq >= Some(newest);
        if !is_everything {
            return Ok(None);
        }
        let raw = raw_hour(&transaction, hour, &advance).await?;
        let waiting: BTreeSet<(MarketId, UnixSeconds)> = waiting.hours.into_values().flatten().collect();
        let known = raw.keys().chain(&waiting).map(|(market, _)| *market);
        let known: Vec<MarketId> = known.collect::<BTreeSet<_>>().into_iter().collect();
        let ids = candle_ids(&transaction, &known).await?;
        let mut excluded: [HashSet<CandleKey>; 3] = Default::default();
        // A market without a number has no candle. A negative number stands for it.
        let id_of = |market: MarketId| ids.get(&market).copied().unwrap_or(market.saturating_neg());
        for (market, minute) in &waiting {
            for (stored, excluded) in Stored::ALL.iter().zip(&mut excluded) {
                excluded.insert((id_of(*market), stored.buckets().start_of(*minute)));
            }
        }
        let [mut minutes, mut hours] = [BTreeMap::new(), BTreeMap::new()];
        for ((market, minute), trades) in &raw {
            let id = id_of(*market);
            for trade in trades {
                minutes.entry((id, *minute)).or_insert_with(CandleSums::default).add(trade);
                hours.entry((id, hour)).or_insert_with(CandleSums::default).add(trade);
            }
        }
        let mut audit = CandleAudit::default();
        let [not_minutes, not_hours, not_days] = &excluded;
        if hour.0 >= minutes_from(now) {
            let rows = all_between(&transaction, Stored::Minute, hour, HOUR).await?;
            audit.compare(Stored::Minute, &minutes, &rows, not_minutes, CandleSums::difference);
        }
        let rows = all_between(&transaction, Stored::Hour, hour, HOUR).await?;
        audit.compare(Stored::Hour, &hours, &rows, not_hours, CandleSums::difference);
        let day = Stored::Day.buckets().start_of(hour);
        let mut sums: BTreeMap<CandleKey, TradeStats> = BTreeMap::new();
        let mut hours_of_day: Vec<_> =
            all_between(&transaction, Stored::Hour, day, DAY).await?.into_iter().collect();
        hours_of_day.sort_by_key(|((_, start), _)| *start);
        for ((id, _), stats) in hours_of_day {
            sums.entry((id, day)).or_default().merge(&stats);
        }
        let days = all_between(&transaction, Stored::Day, day, DAY).await?;
        let of_hours = |sum: &TradeStats, stored: &TradeStats| (sum != stored).then_some("sum of its hours");
        audit.compare(Stored::Day, &sums, &days, not_days, of_hours);
        transaction.commit().await?;
        Ok(Some(audit))
    }

    /// Derives all candles of an hour and its day again, and deletes those without trades. Leaves frozen ones as they
    /// are.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection. Nothing is changed then.
    pub async fn mend_candles(
        &self,
        epoch: i64,
        hour: UnixSeconds,
        now: DateTime<Utc>,
        advance: impl Fn(),
    ) -> Result<(), DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin(&mut client, LIMITS).await?;
        let progress = Progress::lock(&transaction).await?;
        if progress.frozen_before.is_some_and(|frozen| hour < frozen) {
            return Ok(());
        }
        let places: BTreeSet<(MarketId, UnixSeconds)> =
            raw_hour(&transaction, hour, &advance).await?.into_keys().collect();
        make_partitions(&transaction, hour).await?;
        let ids = name_markets(&transaction, &places).await?;
        let derived = derive_hour(&transaction, hour, &places, &ids, &advance).await?;
        let day = Stored::Day.buckets().start_of(hour);
        clear(&transaction, Stored::Hour, hour, HOUR).await?;
        clear(&transaction, Stored::Day, day, DAY).await?;
        if hour.0 >= minutes_from(now) {
            clear(&transaction, Stored::Minute, hour, HOUR).await?;
            insert(&transaction, Stored::Minute, &derived.minutes).await?;
        }
        insert(&transaction, Stored::Hour, &derived.hours).await?;
        let hours = all_between(&transaction, Stored::Hour, day, DAY).await?;
        let markets: BTreeSet<CandleMarketId> = hours.into_keys().map(|(id, _)| id).collect();
        let markets: Vec<CandleMarketId> = markets.into_iter().collect();
        derive_day(&transaction, day, &markets).await?;
        fenced::commit_unnumbered(transaction, epoch).await
    }
}

impl CandleAudit {
    /// Compares the candles of one interval. `difference` names a figure that differs.
    fn compare<T>(
        &mut self,
        stored: Stored,
        expected: &BTreeMap<CandleKey, T>,
        rows: &BTreeMap<CandleKey, TradeStats>,
        excluded: &HashSet<CandleKey>,
        difference: impl Fn(&T, &TradeStats) -> Option<&'static str>,
    ) {
        let keys: BTreeSet<&CandleKey> = expected.keys().chain(rows.keys()).collect();
        for key in keys.into_iter().filter(|key| !excluded.contains(key)) {
            self.compared = self.compared.saturating_add(1);
            let figure = match (expected.get(key), rows.get(key)) {
                (Some(expected), Some(row)) => difference(expected, row),
                (Some(_), None) => Some("missing"),
                (None, _) => Some("without trades"),
            };
            let (market, start) = *key;
            let found = figure.map(|figure| CandleDifference { stored, market, start, figure });
            self.differences.extend(found);
        }
    }
}

/// Reads all trades of an hour.
async fn raw_hour(
    transaction: &Transaction<'_>,
    hour: UnixSeconds,
    advance: &impl Fn(),
) -> Result<RawHour, DbError> {
    let (from, to) = (hour.to_utc(), hour.plus(HOUR).to_utc());
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&from, Type::TIMESTAMPTZ), (&to, Type::TIMESTAMPTZ)];
    let sql = include_str!("../sql/candles/all_trades_of_hour.sql");
    let mut rows = pin!(transaction.query_typed_raw(sql, params).await?);
    let (mut reader, mut raw, mut count) = (TradeReader::default(), RawHour::new(), 0_usize);
    while let Some(row) = rows.try_next().await? {
        if count.is_multiple_of(ADVANCE_EVERY) {
            advance();
        }
        count += 1;
        let (market, trade) = (reader.market(&row)?, raw_trade(&row, &mut reader)?);
        let minute = Stored::Minute.buckets().start_of(trade.closed_at);
        raw.entry((market, minute)).or_default().push(trade);
    }
    Ok(raw)
}

/// Reads all candles of one interval that begin within `seconds` from a time on. Leaves out impossible ones, so that
/// they count as missing.
async fn all_between(
    transaction: &Transaction<'_>,
    stored: Stored,
    from: UnixSeconds,
    seconds: i64,
) -> Result<BTreeMap<CandleKey, TradeStats>, DbError> {
    let sql = of_table(include_str!("../sql/candles/all_between.sql"), stored);
    let (from, to) = (from.to_utc(), from.plus(seconds).to_utc());
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&from, Type::TIMESTAMPTZ), (&to, Type::TIMESTAMPTZ)];
    let rows = transaction.query_typed(&sql, &params).await?;
    let mut candles = BTreeMap::new();
    for row in &rows {
        match rows::decode(row) {
            Ok((market, start, stats)) => drop(candles.insert((market, start), stats)),
            Err(DbError::Corrupt(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(candles)
}

async fn clear(
    transaction: &Transaction<'_>,
    stored: Stored,
    from: UnixSeconds,
    seconds: i64,
) -> Result<(), DbError> {
    let sql = of_table(include_str!("../sql/candles/clear.sql"), stored);
    let (from, to) = (from.to_utc(), from.plus(seconds).to_utc());
    let params: [(&(dyn ToSql + Sync), Type); 2] = [(&from, Type::TIMESTAMPTZ), (&to, Type::TIMESTAMPTZ)];
    transaction.execute_typed(&sql, &params).await?;
    Ok(())
}
