//! Retention of candles: drops old partitions, and forgets markets that have no candle any more.

use std::collections::BTreeSet;

use chrono::{DateTime, Months, NaiveDate, NaiveTime, Utc};
use tokio_postgres::{
    error::SqlState,
    types::{ToSql, Type},
};

use super::{LIMITS, progress::Progress, rows::CandleMarketId};
use crate::{
    db::{Database, DbError, fenced, transaction},
    domain::{
        candles::MINUTE_CANDLE_DAYS,
        conversions::SaturatingFrom,
        instant::{DAY, HOUR, UnixSeconds},
    },
};

/// Longest wait for a table's lock before dropping candles. Readers queue behind this wait.
const DROP_LOCK_LIMITS: &str = "SET LOCAL lock_timeout = '50ms'";
/// Seconds for which candles are kept beyond their days. Answers reach back from the time of their figures, which may
/// be behind the clock.
const KEPT_LONGER_S: i64 = HOUR;
/// Names of markets that are looked at in one transaction. It holds the lock of the progress.
const MARKETS_AT_ONCE: i64 = 2_000;

/// Result of dropping old candles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DroppedCandles {
    /// Number of dropped partitions.
    pub partitions: u64,
    /// Number of old days of minute candles, and of old months of hourly and daily ones, that were not dropped. The
    /// first of each kind was in use, and the later ones wait for it. The next call tries again.
    pub left: u64,
    /// Number of markets that were forgotten.
    pub markets: u64,
}

/// Dates up to which a step drops candles: those of minutes, and all others.
type Edges = [NaiveDate; 2];

impl Database {
    /// Drops candles of hours and days that are older than `keep_days`, and of minutes that are older than that or 30
    /// days. Candles whose trades are still stored stay, apart from minutes older than 30 days: the audit would miss
    /// them. A partition that others are reading is left, with all later ones of its kind. Once a month is dropped,
    /// also forgets the markets that have no daily candle any more and are not stored. Calls `advance` before each
    /// transaction.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`], or an error of the connection. Earlier steps stay committed.
    pub async fn drop_candles(
        &self,
        epoch: i64,
        keep_days: i64,
        now: DateTime<Utc>,
        advance: impl Fn(),
    ) -> Result<DroppedCandles, DbError> {
        let edge =
            |days: i64| UnixSeconds::from(now).minus(days.saturating_mul(DAY)).minus(KEPT_LONGER_S).to_utc();
        let traded = self.days_before(UnixSeconds::from(now).day()).await?;
        let traded = traded.first().map_or(now, |day| day.and_time(NaiveTime::MIN).and_utc());
        let others = edge(keep_days).min(traded);
        let minutes = others.max(edge(MINUTE_CANDLE_DAYS));
        let old =
            old_partitions(&self.candle_partitions().await?, [minutes.date_naive(), others.date_naive()]);
        // No candle is of 1970: such an edge drops none of its kind.
        let never = UnixSeconds(0).to_utc().date_naive();
        let days = old.days.into_iter().map(|end| [end, never]).collect();
        let months: Vec<Edges> = old.months.into_iter().map(|end| [never, end]).collect();
        let days = self.drop_in_turn(epoch, days, &advance).await?;
        let mut dropped = self.drop_in_turn(epoch, months, &advance).await?;
        if dropped.left == 0 {
            advance();
            self.trim_candle_coverage(epoch, others).await?;
        }
        // The search reads all names. If it fails, the next month makes up for it.
        if dropped.partitions > 0 && dropped.left == 0 {
            dropped.markets = self.forget_markets(epoch, &advance).await?;
        }
        dropped.partitions += days.partitions;
        dropped.left += days.left;
        Ok(dropped)
    }

    /// Returns the names of all partitions of candles.
    async fn candle_partitions(&self) -> Result<Vec<String>, DbError> {
        self.bounded(async {
            let sql = include_str!("../sql/candles/partitions.sql");
            let rows = self.client().await?.query_typed(sql, &[]).await?;
            rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
        })
        .await
    }

    /// Drops candles in steps, the oldest first, each in a transaction of its own. Stops at candles that are in use.
    async fn drop_in_turn(
        &self,
        epoch: i64,
        steps: Vec<Edges>,
        advance: &impl Fn(),
    ) -> Result<DroppedCandles, DbError> {
        let mut dropped = DroppedCandles::default();
        let mut steps = steps.into_iter();
        while let Some(edges) = steps.next() {
            advance();
            match self.drop_candles_before(epoch, edges).await {
                Ok(partitions) => dropped.partitions += partitions,
                Err(error) if error.is(&SqlState::LOCK_NOT_AVAILABLE) => {
                    // A later step would drop these candles too.
                    dropped.left = u64::saturating_from(steps.len()).saturating_add(1);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(dropped)
    }

    /// Drops all candles before two dates. Returns the number of dropped partitions.
    async fn drop_candles_before(&self, epoch: i64, [minutes, others]: Edges) -> Result<u64, DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin(&mut client, &format!("{LIMITS}; {DROP_LOCK_LIMITS}")).await?;
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&minutes, Type::DATE), (&others, Type::DATE)];
        let row = transaction.query_typed_one(include_str!("../sql/candles/drop.sql"), &params).await?;
        let partitions: i64 = row.try_get(0)?;
        fenced::commit_unnumbered(transaction, epoch).await?;
        Ok(u64::saturating_from(partitions))
    }

    /// Forgets the times of complete ledgers whose candles are dropped.
    async fn trim_candle_coverage(&self, epoch: i64, before: DateTime<Utc>) -> Result<(), DbError> {
        let mut client = self.client().await?;
        let transaction = transaction::begin(&mut client, LIMITS).await?;
        let params: [(&(dyn ToSql + Sync), Type); 1] = [(&before, Type::TIMESTAMPTZ)];
        transaction.execute_typed(include_str!("../sql/candles/trim_coverage.sql"), &params).await?;
        fenced::commit_unnumbered(transaction, epoch).await
    }

    /// Deletes the names of markets that have no daily candle and are not in `markets`. Returns their number.
    async fn forget_markets(&self, epoch: i64, advance: &impl Fn()) -> Result<u64, DbError> {
        let (mut forgotten, mut after): (u64, CandleMarketId) = (0, 0);
        loop {
            advance();
            let mut client = self.client().await?;
            let transaction = transaction::begin(&mut client, LIMITS).await?;
            // Otherwise a step that derives the first candles of a market could use a name that is being deleted.
            Progress::lock(&transaction).await?;
            let params: [(&(dyn ToSql + Sync), Type); 2] =
                [(&after, Type::INT4), (&MARKETS_AT_ONCE, Type::INT8)];
            let sql = include_str!("../sql/candles/forget_markets.sql");
            let row = transaction.query_typed_one(sql, &params).await?;
            let (last, deleted): (Option<CandleMarketId>, i64) = (row.try_get(0)?, row.try_get(1)?);
            fenced::commit_unnumbered(transaction, epoch).await?;
            forgotten += u64::saturating_from(deleted);
            match last {
                Some(last) => after = last,
                None => return Ok(forgotten),
            }
        }
    }
}

/// Ends of the days of old candles of minutes, and of the months of other old ones.
#[derive(Debug, Default, PartialEq, Eq)]
struct OldPartitions {
    days: BTreeSet<NaiveDate>,
    months: BTreeSet<NaiveDate>,
}

/// Returns the old ones of some partitions. Leaves out other names: somebody attached those by hand.
fn old_partitions(names: &[String], [minutes_before, before]: Edges) -> OldPartitions {
    let mut old = OldPartitions::default();
    for name in names {
        if let Some(digits) = name.strip_prefix("candles_1m_p") {
            let end = day_of(digits).and_then(|day| day.succ_opt());
            old.days.extend(end.filter(|end| *end <= minutes_before));
        }
        let month = name.strip_prefix("candles_1h_p").or_else(|| name.strip_prefix("candles_1d_p"));
        let first = month.and_then(|digits| day_of(&format!("{digits}01")));
        let end = first.and_then(|first| first.checked_add_months(Months::new(1)));
        old.months.extend(end.filter(|end| *end <= before));
    }
    old
}

/// Returns the day of eight digits.
fn day_of(digits: &str) -> Option<NaiveDate> {
    let day = NaiveDate::parse_from_str(digits, "%Y%m%d").ok()?;
    (digits.len() == "20260101".len()).then_some(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_days_and_months_before_the_edges_are_old() {
        let date = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap();
        let names = [
            "candles_1m_p20261123",
            "candles_1m_p20261124",
            "candles_1h_p202610",
            "candles_1d_p202610",
            "candles_1d_p202611",
            "candles_1m_p20260230",
            "candles_1m_p202601",
            "candles_1h_p20260101",
            "candles_1m_p",
            "candles_1d_p2026",
            "odd",
        ]
        .map(str::to_owned);
        let old = old_partitions(&names, [date(2026, 11, 24), date(2026, 11, 30)]);
        let (days, months) = (BTreeSet::from([date(2026, 11, 24)]), BTreeSet::from([date(2026, 11, 1)]));
        assert_eq!(old, OldPartitions { days, months });
        let later = old_partitions(&names, [date(2026, 11, 23), date(2026, 12, 1)]);
        assert!(later.days.is_empty() && later.months.contains(&date(2026, 12, 1)));
    }
}
