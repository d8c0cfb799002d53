//! Reading of candles out of the database: bounded, on connections of its own and with a deadline, so that no other
//! answer waits for it.

use std::{sync::Arc, time::Duration};

use ticker_formats::listings::{
    ListingView,
    history::{MarketHistory, StoredPart, held_from, oldest_held},
};
use tokio::sync::Semaphore;
use tracing::debug;

use super::{error::ApiError, parameters::BEHIND_S};
use crate::{
    db::{
        Database, DbError,
        candles::{StoredQuery, VolumeQuery},
    },
    domain::{
        asset::Asset,
        candles::{Buckets, MINUTE_CANDLE_DAYS, Stored},
        conversions::SaturatingFrom,
        coverage::TimeSpan,
        identity::SpelledAsset,
        instant::{DAY, UnixSeconds},
        market::Market,
        trade_stats::TradeStats,
        volume::VolumePart,
    },
};

/// Connections of the reader's own pool, and reads at the same time.
pub const CONNECTIONS: usize = 2;
/// Longest time that a reader waits for all reads of an answer, its turns included.
const DEADLINE: Duration = Duration::from_secs(4);
/// Most stored candles of an answer.
const CANDLES_MAX: usize = 50_000;

/// Reader of stored candles.
#[derive(Clone)]
pub struct CandleReader {
    database: Database,
    /// Days for which candles of hours and days are kept.
    keep_days: i64,
    turns: Arc<Semaphore>,
}

/// Buckets of a market that an answer is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct CandleRange {
    pub(super) buckets: Buckets,
    /// First start of a bucket.
    pub(super) from: UnixSeconds,
    /// End of the buckets, exclusive.
    pub(super) to: UnixSeconds,
    /// Most buckets.
    pub(super) limit: usize,
    /// True for the newest buckets, false for the oldest.
    pub(super) newest: bool,
    /// True if only buckets with a price use up the limit: the answer leaves out the others, or fills them.
    pub(super) priced: bool,
}

impl CandleReader {
    /// Reader of this database. It should have [`CONNECTIONS`] of its own.
    #[must_use]
    pub fn new(database: Database, keep_days: i64) -> Self {
        Self { database, keep_days, turns: Arc::new(Semaphore::new(CONNECTIONS)) }
    }

    /// Second since which candles of this length are kept.
    fn kept_since(&self, view: &ListingView, buckets: Buckets) -> UnixSeconds {
        let days = match buckets.stored() {
            Stored::Minute => MINUTE_CANDLE_DAYS.min(self.keep_days),
            Stored::Hour | Stored::Day => self.keep_days,
        };
        view.as_of().minus(days.saturating_mul(DAY))
    }

    /// First start of a bucket that may be held.
    pub(super) fn oldest(&self, view: &ListingView, buckets: Buckets) -> UnixSeconds {
        let since = self.kept_since(view, buckets);
        let start = buckets.start_of(since);
        // Only whole days of UTC are dropped, so the day of `since` is held from its beginning.
        if start >= Stored::Day.buckets().start_of(since) { start } else { buckets.next_start(since) }
    }

    /// First start of a bucket of an answer that begins with the bucket of a second, or with the oldest bucket that is
    /// held if that one began too early. `name` is the parameter that names the second.
    ///
    /// # Errors
    ///
    /// [`ApiError::Gone`] for a second of the time before candles are kept.
    pub(super) fn first(
        &self,
        view: &ListingView,
        buckets: Buckets,
        second: UnixSeconds,
        name: &str,
    ) -> Result<UnixSeconds, ApiError> {
        let (oldest, since) = (self.oldest(view, buckets), self.kept_since(view, buckets));
        if second < oldest.min(since.minus(BEHIND_S)) {
            return Err(gone(name, oldest.min(since)));
        }
        Ok(buckets.start_of(second).max(oldest))
    }

    /// Error for buckets that begin before the oldest that may be held.
    pub(super) fn check(
        &self,
        view: &ListingView,
        buckets: Buckets,
        from: UnixSeconds,
        name: &str,
    ) -> Result<(), ApiError> {
        let oldest = self.oldest(view, buckets);
        if from >= oldest {
            return Ok(());
        }
        Err(gone(name, oldest))
    }

    /// Error unless memory knows the market, or it has these candles or any others in the database.
    pub(super) async fn require(
        &self,
        view: &ListingView,
        market: Market,
        stored: &StoredPart,
    ) -> Result<(), ApiError> {
        if MarketHistory::new(view, market, stored).is_known()
            || view.holds_market(&market)
            || self.within(async |database| database.had_candles(market).await).await?
        {
            return Ok(());
        }
        Err(never_traded(&market.name()))
    }

    /// Error unless the asset has trades in memory, or candles in the database.
    pub(super) async fn require_asset(&self, view: &ListingView, asset: Asset) -> Result<(), ApiError> {
        if view.find(&SpelledAsset::Classic(asset)).is_some()
            || self.within(async |database| database.had_candles_of(asset).await).await?
        {
            return Ok(());
        }
        Err(never_traded(&asset.name()))
    }

    /// Like [`Self::read`], but an error as of [`Self::require`] for a market that is not known. Both reads have one
    /// deadline.
    pub(super) async fn read_known(
        &self,
        view: &ListingView,
        market: Market,
        wanted: CandleRange,
    ) -> Result<StoredPart, ApiError> {
        Self::all(async {
            let stored = self.read(view, market, wanted).await?;
            self.require(view, market, &stored).await?;
            Ok(stored)
        })
        .await
    }

    /// Reads the newest stored candle with a price of a market without a trade in memory. An error as of
    /// [`Self::require`] for a market that is not known.
    pub(super) async fn read_last(&self, view: &ListingView, market: Market) -> Result<StoredPart, ApiError> {
        let nothing = StoredPart::default();
        if MarketHistory::new(view, market, &nothing).is_known() {
            return Ok(nothing);
        }
        let buckets = Stored::Day.buckets();
        let (from, to) = (self.oldest(view, buckets), UnixSeconds(i64::MAX));
        let wanted = CandleRange { buckets, from, to, limit: 1, newest: true, priced: true };
        self.read_known(view, market, wanted).await
    }

    /// Reads the candles that memory does not hold. Asks the database only if `wanted` begins before memory.
    pub(super) async fn read(
        &self,
        view: &ListingView,
        market: Market,
        wanted: CandleRange,
    ) -> Result<StoredPart, ApiError> {
        let stored = wanted.buckets.stored();
        let to = wanted.to.min(held_from(view, stored));
        if wanted.from >= oldest_held(view) || wanted.from >= to {
            return Ok(StoredPart::default());
        }
        let parts = usize::saturating_from(wanted.buckets.seconds / stored.seconds());
        let enough = wanted.limit.saturating_mul(parts);
        let limit = enough.min(CANDLES_MAX);
        let CandleRange { from, newest, priced, .. } = wanted;
        let query = StoredQuery { market, stored, from, to, limit, newest, priced };
        let read = self.within(async |database| database.candles(query).await).await?;
        let candles = if limit < enough { whole(read.candles, wanted, limit) } else { read.candles };
        Ok(StoredPart { candles, complete: read.complete })
    }

    /// Start of the last bucket with a price that begins before `end`, out of memory or else of the database.
    pub(super) async fn last_priced(
        &self,
        view: &ListingView,
        market: Market,
        buckets: Buckets,
        end: UnixSeconds,
    ) -> Result<Option<UnixSeconds>, ApiError> {
        let nothing = StoredPart::default();
        let found = MarketHistory::new(view, market, &nothing).last_priced(buckets.stored(), end);
        let found = match found {
            Some(start) => Some(start),
            None => {
                let from = self.oldest(view, buckets);
                let wanted = CandleRange { buckets, from, to: end, limit: 1, newest: true, priced: true };
                let stored = self.read(view, market, wanted).await?;
                let priced = stored.candles.iter().rfind(|(_, stats)| stats.prices.is_some());
                priced.map(|(start, _)| *start)
            }
        };
        Ok(found.map(|start| buckets.start_of(start)))
    }

    /// Sums up the volumes of an asset's markets, and returns the times of complete ledgers.
    pub(super) async fn volumes(
        &self,
        query: VolumeQuery,
    ) -> Result<(Vec<VolumePart>, Vec<TimeSpan>), ApiError> {
        self.within(async |database| database.candle_volumes(&query).await).await
    }

    /// Ends several reads for one answer by the deadline of one.
    pub(super) async fn all<T>(reads: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        tokio::time::timeout(DEADLINE, reads).await.map_err(|_| ApiError::Busy)?
    }

    async fn within<T>(
        &self,
        read: impl AsyncFnOnce(&Database) -> Result<T, DbError>,
    ) -> Result<T, ApiError> {
        let reading = async {
            let _turn = self.turns.acquire().await.map_err(|_| ApiError::Busy)?;
            read(&self.database).await.map_err(|error| {
                debug!(%error, "stored candles could not be read");
                ApiError::CandlesUnreadable
            })
        };
        tokio::time::timeout(DEADLINE, reading).await.map_err(|_| ApiError::Busy)?
    }
}

/// Candles of whole buckets. If a selection has reached its limit, the last bucket that it reached may lack candles.
fn whole(
    mut candles: Vec<(UnixSeconds, TradeStats)>,
    wanted: CandleRange,
    limit: usize,
) -> Vec<(UnixSeconds, TradeStats)> {
    let counts = |(_, stats): &&(UnixSeconds, TradeStats)| !wanted.priced || stats.prices.is_some();
    if candles.iter().filter(counts).count() < limit {
        return candles;
    }
    let reached = if wanted.newest { candles.first() } else { candles.last() };
    let reached = reached.map(|(start, _)| wanted.buckets.start_of(*start));
    candles.retain(|(start, _)| Some(wanted.buckets.start_of(*start)) != reached);
    candles
}

fn gone(name: &str, oldest: UnixSeconds) -> ApiError {
    ApiError::Gone(format!("older candles are not held: {name} must be at least {}", oldest.0))
}

/// Error for a market or an asset without trades and candles.
fn never_traded(name: &str) -> ApiError {
    ApiError::NotFound(format!("{name} has no trades and no candles here"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{candles::Interval, instant::HOUR};

    #[test]
    fn a_bucket_that_the_limit_cuts_is_left_out() {
        const NOON: i64 = 1_790_000_000 / DAY * DAY + 12 * HOUR;
        // Eight hours from 10:00 on, of buckets that begin at 8:00, 12:00 and 16:00.
        let hour = |number: i64| (UnixSeconds(NOON + (number - 2) * HOUR), TradeStats::default());
        let hours = |newest: bool, priced: bool, limit: usize| {
            let buckets = Interval::FourHours.buckets();
            let (from, to) = (UnixSeconds(NOON - 4 * HOUR), UnixSeconds(NOON + 8 * HOUR));
            let wanted = CandleRange { buckets, from, to, limit: 3, newest, priced };
            let candles = whole((0..8).map(hour).collect(), wanted, limit);
            let hours: Vec<i64> = candles.iter().map(|(start, _)| (start.0 - NOON) / HOUR).collect();
            (hours.first().copied(), hours.last().copied(), hours.len())
        };
        assert_eq!(hours(true, false, 8), (Some(0), Some(5), 6));
        assert_eq!(hours(false, false, 8), (Some(-2), Some(3), 6));
        assert_eq!(hours(true, false, 9), (Some(-2), Some(5), 8), "there are no others");
        assert_eq!(
            hours(true, true, 8),
            (Some(-2), Some(5), 8),
            "none has a price, so none uses up the limit"
        );
    }
}
