//! Audit of stored candles: some hours a pass, one after the other, so that all hours with raw trades have their turn.

use std::time::Duration;

use metrics::counter;
use tracing::{debug, warn};

use super::{Audit, DIFFERENCES_LOGGED_MAX, Tally, WorkContext};
use crate::{
    db::{DbError, candles::CandleAudit},
    domain::{
        conversions::SaturatingFrom,
        instant::{HOUR, UnixSeconds},
    },
};

/// Hours of a pass by schedule. An audit that an operator asks for covers all hours.
const HOURS_PER_PASS: usize = 6;
/// Failed hours in a row after which a pass ends. A few unreadable hours must not keep the later ones from their turn.
const FAILED_HOURS_MAX: u32 = 6;
/// Factor by which the rest after an hour is longer than its audit took.
const REST_FACTOR: u32 = 20;
/// Longest rest after an hour.
const REST_MAX: Duration = Duration::from_secs(10);

impl Audit {
    /// Compares the stored candles of some hours with their trades. The leader derives those again that differ.
    pub(super) async fn audit_candles(&self, context: &WorkContext, is_hurried: bool, tally: &mut Tally) {
        let hours = match self.database.audited_hours().await {
            Ok(Some((first, last))) => self.hours_of_pass(first, last, is_hurried),
            Ok(None) => return,
            Err(error) => {
                tally.is_partial = true;
                warn!(%error, "hours of candles could not be read, the next pass tries again");
                return;
            }
        };
        let (mut failed, mut is_postponed) = (0_u32, false);
        for hour in hours {
            let begun = self.clock.monotonic();
            match self.audit_hour(context, hour, tally).await {
                Ok(true) => failed = 0,
                Ok(false) => {
                    tally.is_partial = true;
                    // The next pass begins with the first such hour. None starves: what waits concerns all hours.
                    if !is_postponed {
                        self.next_candle_hour.set(hour.hour());
                    }
                    (failed, is_postponed) = (0, true);
                }
                Err(error) => {
                    tally.is_partial = true;
                    warn!(%error, hour = %hour.to_rfc3339(), "audit of candles failed, a later pass tries again");
                    failed = failed.saturating_add(1);
                    if error.is_outage() || matches!(error, DbError::LeaseLost) || failed >= FAILED_HOURS_MAX
                    {
                        return;
                    }
                }
            }
            let took = self.since(begun);
            tally.spent = tally.spent.saturating_add(took);
            if !is_hurried && !self.is_hurried.get() {
                context.pause(took.saturating_mul(REST_FACTOR).min(REST_MAX)).await;
            }
        }
    }

    /// Hours from where the last pass ended, the first hour after the last.
    fn hours_of_pass(&self, first: UnixSeconds, last: UnixSeconds, is_hurried: bool) -> Vec<UnixSeconds> {
        let hours: Vec<UnixSeconds> =
            (first.hour()..=last.hour()).map(|hour| UnixSeconds(hour.saturating_mul(HOUR))).collect();
        if is_hurried {
            return hours;
        }
        let next = hours.partition_point(|hour| hour.hour() < self.next_candle_hour.get());
        let (earlier, later) = hours.split_at(next);
        let chosen: Vec<UnixSeconds> = later.iter().chain(earlier).take(HOURS_PER_PASS).copied().collect();
        self.next_candle_hour.set(chosen.last().map_or(0, |hour| hour.hour().saturating_add(1)));
        chosen
    }

    /// Returns false if the hour could not be compared, because too many trades wait to be in candles.
    async fn audit_hour(
        &self,
        context: &WorkContext,
        hour: UnixSeconds,
        tally: &mut Tally,
    ) -> Result<bool, DbError> {
        let now = self.clock.now();
        let now = self.database.retention_time(now).await?.unwrap_or(now);
        let Some(CandleAudit { compared, differences }) =
            self.database.audit_candles(hour, now, context.heartbeat()).await?
        else {
            debug!(hour = %hour.to_rfc3339(), "too many trades wait to be in candles, hour not audited");
            return Ok(false);
        };
        counter!("ticker_audit_candles_total").increment(compared);
        if differences.is_empty() {
            return Ok(true);
        }
        let count = u64::saturating_from(differences.len());
        self.count_differences(tally, count);
        for difference in differences.iter().take(DIFFERENCES_LOGGED_MAX) {
            warn!(
                market = difference.market,
                start = %difference.start.to_rfc3339(),
                seconds = difference.stored.seconds(),
                figure = difference.figure,
                "stored candle differs from the trades"
            );
        }
        // Only the leader writes. It finds the same difference.
        let Some(epoch) = self.leadership.epoch() else { return Ok(true) };
        self.database.mend_candles(epoch, hour, now, context.heartbeat()).await?;
        tally.repaired = tally.repaired.saturating_add(count);
        counter!("ticker_audit_mended_candles_total").increment(count);
        Ok(true)
    }
}
