//! Candles: written from the trades by the leader, read for answers about spans that memory does not hold.
//!
//! A step takes trades that wait (`progress`), and derives the minutes and hours that they touch from all stored
//! trades of those hours. So a candle is right whatever the order in which its trades came. A day is the sum of its
//! hours. Once the cleaner drops a day of trades, the candles of that day are frozen: they never change again.

mod audit;
mod progress;
mod read;
mod retention;
mod rows;
mod volumes;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    pin::pin,
};

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use futures_util::SinkExt;
use tokio_postgres::types::{ToSql, Type};

use self::{
    progress::{Pending, Progress, TokenRange},
    rows::CandleMarketId,
};
use super::{
    Database, DbError,
    binary::Encoder,
    fenced,
    trades::{columns, rows::read_trades},
    transaction,
};
use crate::domain::{
    candles::{MINUTE_CANDLE_DAYS, Stored},
    conversions::SaturatingFrom,
    coverage::LedgerRange,
    cursor::PagingToken,
    instant::{DAY, HOUR, UnixSeconds},
    trade_stats::{TradeStats, WindowTrade},
    windows::MarketId,
};

pub use audit::{CandleAudit, CandleDifference};
pub(super) use read::LIMITS as READ_LIMITS;
pub use read::{StoredCandles, StoredQuery};
pub use retention::DroppedCandles;
pub use volumes::{VolumeQuery, VolumeSpan};

/// Limits of a step. No write of trades waits for it. As for other writes, every statement uses an index.
const LIMITS: &str = "SET LOCAL statement_timeout = '60s'; SET LOCAL lock_timeout = '3s'; \
                      SET LOCAL idle_in_transaction_session_timeout = '30s'; \
                      SET LOCAL enable_seqscan = off; SET LOCAL jit = off; \
                      SET LOCAL max_parallel_workers_per_gather = 0";
/// Waiting trades of a step. They bound its memory.
const TRADES_MAX: usize = 20_000;
/// Hours whose trades a step reads. They bound its duration.
const HOURS_MAX: usize = 12;

/// Trades after which a step reports that it is alive.
const ADVANCE_EVERY: usize = 10_000;

/// Result of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CandleStep {
    /// Trades that were looked at.
    pub trades: u64,
    /// Candles that were written.
    pub candles: u64,
    /// True if nothing waited any more.
    pub is_caught_up: bool,
}

/// Candles of one interval by start and market.
type Candles = BTreeMap<(UnixSeconds, CandleMarketId), TradeStats>;
/// Numbers of markets in the tables of candles.
type CandleIds = HashMap<MarketId, CandleMarketId>;

impl Database {
    /// Derives the candles of some trades that wait, in one transaction. Does nothing if none waits. Calls `advance`
    /// now and then while it works.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection. Nothing is written then.
    pub async fn derive_candles(
        &self,
        epoch: i64,
        now: DateTime<Utc>,
        advance: impl Fn(),
    ) -> Result<CandleStep, DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin(&mut client, LIMITS).await?;
        let progress = Progress::lock(&transaction).await?;
        let (pending, newest) = progress.pending(&transaction).await?;
        if pending.is_empty() {
            return Ok(CandleStep { is_caught_up: true, ..CandleStep::default() });
        }
        let (touched, reached) = touched(&transaction, progress, &pending).await?;
        let mut step = CandleStep {
            trades: touched.trades,
            candles: 0,
            is_caught_up: reached.rest.is_none() && reached.seq >= Some(newest),
        };
        let mut days: BTreeMap<UnixSeconds, BTreeSet<CandleMarketId>> = BTreeMap::new();
        for (hour, places) in &touched.hours {
            let ids = name_markets(&transaction, places).await?;
            let derived = derive_hour(&transaction, *hour, places, &ids, &advance).await?;
            make_partitions(&transaction, *hour).await?;
            if hour.0 >= minutes_from(now) {
                step.candles += replace(&transaction, Stored::Minute, &derived.minutes).await?;
            }
            step.candles += replace(&transaction, Stored::Hour, &derived.hours).await?;
            days.entry(Stored::Day.buckets().start_of(*hour)).or_default().extend(ids.into_values());
        }
        for (day, markets) in days {
            let markets: Vec<CandleMarketId> = markets.into_iter().collect();
            step.candles += derive_day(&transaction, day, &markets).await?;
        }
        reached.store(&transaction).await?;
        fenced::commit_unnumbered(transaction, epoch).await?;
        Ok(step)
    }
}

/// Keeps the times of complete ledgers whose trades are dropped, before the coverage forgets them. `ranges` are the
/// merged ranges of the coverage.
pub(super) async fn keep_coverage(
    transaction: &Transaction<'_>,
    ranges: &[LedgerRange],
) -> Result<(), DbError> {
    let from: Vec<DateTime<Utc>> = ranges.iter().map(|range| range.from_time.to_utc()).collect();
    let to: Vec<DateTime<Utc>> = ranges.iter().map(|range| range.to_time.to_utc()).collect();
    let params: [(&(dyn ToSql + Sync), Type); 2] =
        [(&from, Type::TIMESTAMPTZ_ARRAY), (&to, Type::TIMESTAMPTZ_ARRAY)];
    transaction.execute_typed(include_str!("sql/candles/keep_coverage.sql"), &params).await?;
    Ok(())
}

/// Buckets that some trades touch.
#[derive(Debug, Default)]
struct Touched {
    /// Touched minutes of each hour, by market.
    hours: BTreeMap<UnixSeconds, BTreeSet<(MarketId, UnixSeconds)>>,
    /// Number of those trades.
    trades: u64,
}

impl Touched {
    /// Adds a trade. Returns false if it is in one hour too many.
    fn add(&mut self, market: MarketId, closed_at: UnixSeconds) -> bool {
        let hour = Stored::Hour.buckets().start_of(closed_at);
        if self.hours.len() >= HOURS_MAX && !self.hours.contains_key(&hour) {
            return false;
        }
        let minute = Stored::Minute.buckets().start_of(closed_at);
        self.hours.entry(hour).or_default().insert((market, minute));
        true
    }
}

/// Returns the buckets that waiting trades touch, and the progress once they are derived.
/// Stops at the limits of a step.
async fn touched(
    transaction: &Transaction<'_>,
    progress: Progress,
    pending: &[Pending],
) -> Result<(Touched, Progress), DbError> {
    let (mut touched, mut reached) = (Touched::default(), progress);
    let mut room = TRADES_MAX;
    for batch in pending {
        let mut rest = batch.trades;
        while let Some(range) = rest {
            if room == 0 {
                break;
            }
            let places = places(transaction, range, room).await?;
            let is_whole = places.len() < room;
            room -= places.len();
            let mut upto = None;
            for (market, token, closed_at) in places {
                let is_frozen = progress.frozen_before.is_some_and(|frozen| closed_at < frozen);
                if !is_frozen && !touched.add(market, closed_at) {
                    room = 0;
                    break;
                }
                touched.trades += 1;
                upto = Some(token);
            }
            rest = if room > 0 && is_whole { None } else { after(range, upto) };
        }
        reached = Progress { seq: Some(batch.seq), rest, ..progress };
        if rest.is_some() {
            break;
        }
    }
    Ok((touched, reached))
}

/// Returns the part of a range after a position, or all of it.
fn after(range: TokenRange, upto: Option<PagingToken>) -> Option<TokenRange> {
    let Some(upto) = upto else { return Some(range) };
    let next = match upto.order.checked_add(1) {
        Some(order) => PagingToken { order, ..upto },
        None => PagingToken { toid: upto.toid.saturating_add(1), order: 0 },
    };
    (next <= range.to).then_some(TokenRange { from: next, to: range.to })
}

/// Returns market, position and time of the first trades of a range.
async fn places(
    transaction: &Transaction<'_>,
    range: TokenRange,
    limit: usize,
) -> Result<Vec<(MarketId, PagingToken, UnixSeconds)>, DbError> {
    let limit = i64::saturating_from(limit);
    let params: [(&(dyn ToSql + Sync), Type); 5] = [
        (&range.from.toid, Type::INT8),
        (&range.from.order, Type::INT4),
        (&range.to.toid, Type::INT8),
        (&range.to.order, Type::INT4),
        (&limit, Type::INT8),
    ];
    let rows = transaction.query_typed(include_str!("sql/candles/touched.sql"), &params).await?;
    rows.iter().map(columns::place).collect()
}

/// Candles of an hour.
#[derive(Debug, Default)]
struct Derived {
    minutes: Candles,
    hours: Candles,
}

/// Derives the touched minutes of an hour, and the hour of their markets, from all of its stored trades.
async fn derive_hour(
    transaction: &Transaction<'_>,
    hour: UnixSeconds,
    places: &BTreeSet<(MarketId, UnixSeconds)>,
    ids: &CandleIds,
    advance: &impl Fn(),
) -> Result<Derived, DbError> {
    let markets = markets(places);
    let wanted: HashSet<(MarketId, UnixSeconds)> = places.iter().copied().collect();
    let mut derived = Derived::default();
    let mut trades = 0_usize;
    trades_of_hour(transaction, hour, &markets, |market, trade| {
        if trades.is_multiple_of(ADVANCE_EVERY) {
            advance();
        }
        trades += 1;
        let Some(id) = ids.get(&market) else { return };
        let stats = TradeStats::of(&trade);
        let minute = Stored::Minute.buckets().start_of(trade.closed_at);
        if wanted.contains(&(market, minute)) {
            derived.minutes.entry((minute, *id)).or_default().merge(&stats);
        }
        derived.hours.entry((hour, *id)).or_default().merge(&stats);
    })
    .await?;
    Ok(derived)
}

fn markets(places: &BTreeSet<(MarketId, UnixSeconds)>) -> Vec<MarketId> {
    let markets: BTreeSet<MarketId> = places.iter().map(|(market, _)| *market).collect();
    markets.into_iter().collect()
}

/// Passes the trades of some markets in an hour to `sink`, in the order of time.
async fn trades_of_hour(
    transaction: &Transaction<'_>,
    hour: UnixSeconds,
    markets: &[MarketId],
    sink: impl FnMut(MarketId, WindowTrade),
) -> Result<(), DbError> {
    let (from, to) = (hour.to_utc(), hour.plus(HOUR).to_utc());
    let params: [(&(dyn ToSql + Sync), Type); 3] =
        [(&from, Type::TIMESTAMPTZ), (&to, Type::TIMESTAMPTZ), (&markets, Type::INT4_ARRAY)];
    let sql = include_str!("sql/candles/trades_of_hour.sql");
    read_trades(transaction, sql, &params, sink).await
}

/// Sums up the hours of some markets of a day. Leaves out unreadable hours, until the audit derives them again.
async fn derive_day(
    transaction: &Transaction<'_>,
    day: UnixSeconds,
    markets: &[CandleMarketId],
) -> Result<u64, DbError> {
    let mut days = Candles::new();
    for (market, _, stats) in between(transaction, Stored::Hour, markets, day, day.plus(DAY)).await? {
        days.entry((day, market)).or_default().merge(&stats);
    }
    replace(transaction, Stored::Day, &days).await
}

/// Start of the first day for which candles of minutes are kept.
fn minutes_from(now: DateTime<Utc>) -> i64 {
    UnixSeconds::from(now).day().saturating_sub(MINUTE_CANDLE_DAYS).saturating_mul(DAY)
}

/// Reads the stored candles of some markets that begin from `from` on and before `to`, in the order of time. Leaves out
/// unreadable ones: they must not stop those of other markets.
async fn between(
    transaction: &Transaction<'_>,
    stored: Stored,
    markets: &[CandleMarketId],
    from: UnixSeconds,
    to: UnixSeconds,
) -> Result<Vec<(CandleMarketId, UnixSeconds, TradeStats)>, DbError> {
    let (from, to) = (from.to_utc(), to.to_utc());
    let params: [(&(dyn ToSql + Sync), Type); 3] =
        [(&markets, Type::INT4_ARRAY), (&from, Type::TIMESTAMPTZ), (&to, Type::TIMESTAMPTZ)];
    let sql = of_table(include_str!("sql/candles/between.sql"), stored);
    let mut candles = Vec::new();
    for row in &transaction.query_typed(&sql, &params).await? {
        match rows::decode(row) {
            Ok(candle) => candles.push(candle),
            Err(error) => {
                let (market, start) = rows::key(row);
                let start = start.map(UnixSeconds::to_rfc3339);
                tracing::warn!(%error, market, start, "unreadable candle left out of its day");
            }
        }
    }
    Ok(candles)
}

/// Makes the partitions for the candles of an hour. Only the holder of the lock on the progress does.
async fn make_partitions(transaction: &Transaction<'_>, hour: UnixSeconds) -> Result<(), DbError> {
    let day = hour.to_utc().date_naive();
    transaction.query_typed(include_str!("sql/candles/make_day.sql"), &[(&day, Type::DATE)]).await?;
    Ok(())
}

/// Returns the numbers of markets in the tables of candles. Gives numbers to those that have none. Leaves out markets
/// without a row: their trades can be in no candle, and must not stop those of others.
async fn name_markets(
    transaction: &Transaction<'_>,
    places: &BTreeSet<(MarketId, UnixSeconds)>,
) -> Result<CandleIds, DbError> {
    let markets = markets(places);
    let params: [(&(dyn ToSql + Sync), Type); 1] = [(&markets, Type::INT4_ARRAY)];
    transaction.execute_typed(include_str!("sql/candles/name_markets.sql"), &params).await?;
    let ids = candle_ids(transaction, &markets).await?;
    for market in markets.iter().filter(|market| !ids.contains_key(market)) {
        tracing::warn!(market, "market without a row in `markets`, its trades are left out of the candles");
    }
    Ok(ids)
}

/// Returns the numbers of those markets that have one.
async fn candle_ids(transaction: &Transaction<'_>, markets: &[MarketId]) -> Result<CandleIds, DbError> {
    let params: [(&(dyn ToSql + Sync), Type); 1] = [(&markets, Type::INT4_ARRAY)];
    let rows = transaction.query_typed(include_str!("sql/candles/ids.sql"), &params).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Returns a statement for the table of these candles. It names the table `:candles`.
fn of_table(statement: &str, stored: Stored) -> String {
    let table = match stored {
        Stored::Minute => "candles_1m",
        Stored::Hour => "candles_1h",
        Stored::Day => "candles_1d",
    };
    statement.replace(":candles", table)
}

/// Replaces the candles at these places.
async fn replace(transaction: &Transaction<'_>, stored: Stored, candles: &Candles) -> Result<u64, DbError> {
    let (Some(((first, _), _)), Some(((last, _), _))) = (candles.first_key_value(), candles.last_key_value())
    else {
        return Ok(0);
    };
    let delete = of_table(include_str!("sql/candles/delete.sql"), stored);
    let (starts, markets): (Vec<DateTime<Utc>>, Vec<CandleMarketId>) =
        candles.keys().map(|(start, market)| (start.to_utc(), *market)).unzip();
    let (from, to) = (first.to_utc(), last.plus(1).to_utc());
    let params: [(&(dyn ToSql + Sync), Type); 4] = [
        (&markets, Type::INT4_ARRAY),
        (&starts, Type::TIMESTAMPTZ_ARRAY),
        (&from, Type::TIMESTAMPTZ),
        (&to, Type::TIMESTAMPTZ),
    ];
    transaction.execute_typed(&delete, &params).await?;
    insert(transaction, stored, candles).await
}

/// Inserts candles at places where there are none.
async fn insert(transaction: &Transaction<'_>, stored: Stored, candles: &Candles) -> Result<u64, DbError> {
    let insert = of_table(include_str!("sql/candles/insert.sql"), stored);
    // COPY needs a named statement. It is closed before the commit, so behind a pooler no other session can meet its
    // name.
    let statement = transaction.prepare(&insert).await?;
    let mut sink = pin!(transaction.copy_in(&statement).await?);
    let mut encoder = Encoder::new();
    for ((start, market), stats) in candles {
        rows::encode(&mut encoder, *market, *start, stats)?;
        if let Some(chunk) = encoder.full_chunk() {
            sink.send(chunk).await?;
        }
    }
    sink.send(encoder.finish()).await?;
    Ok(sink.finish().await?)
}
