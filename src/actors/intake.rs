//! Decision on records received from Horizon: store, skip or quarantine. Pure.

use bytes::Bytes;

use crate::{
    db::trades::{IncomingTrade, QuarantineEntry},
    domain::{
        close_times::{EARLIEST, SLACK_S},
        cursor::PagingToken,
        instant::{DAY, UnixSeconds},
    },
    horizon::wire::{ReceivedTrade, RecordError},
};

/// Rules by which records are accepted.
#[derive(Clone, Copy, Debug)]
pub struct Intake {
    /// Name of the source in quarantine.
    pub source: &'static str,
    /// Highest ledger that can exist yet. A trade of a higher one would move a cursor past real trades to come.
    pub ceiling: u32,
    /// Horizon's current time, estimated from its newest ledger; none if Horizon does not report it.
    pub latest_time: Option<UnixSeconds>,
    /// Close time of the newest ledger that is known. A clock that is ahead of the network makes no trade too old.
    pub newest_at: Option<UnixSeconds>,
    /// Age in days beyond which trades are skipped.
    pub retention_days: i64,
}

/// Decision on a record.
#[derive(Debug)]
pub enum IntakeDecision {
    /// Store it.
    Store(Box<IncomingTrade>),
    /// Skip it: it is older than the retention.
    Skip,
    /// Quarantine it: it cannot be stored.
    Quarantine(QuarantineEntry),
}

impl Intake {
    /// Decides on a trade.
    #[must_use]
    pub fn decide(&self, received: ReceivedTrade, now: UnixSeconds) -> IntakeDecision {
        let (token, closed_at) = (received.trade.token, received.trade.closed_at);
        if token.ledger() > self.ceiling {
            let reason = format!("ledger {} is far beyond the newest one", token.ledger());
            // No token: the claimed position cannot exist, so it must not move a cursor.
            return IntakeDecision::Quarantine(self.entry(None, reason, received.raw));
        }
        if closed_at > self.latest_possible(now) {
            let reason = format!("close time {} is ahead of the clock", closed_at.to_rfc3339());
            return IntakeDecision::Quarantine(self.entry(Some(token), reason, received.raw));
        }
        if closed_at < EARLIEST {
            let reason = format!("close time {} is before the first ledger", closed_at.to_rfc3339());
            return IntakeDecision::Quarantine(self.entry(Some(token), reason, received.raw));
        }
        if closed_at < self.oldest_kept(now) {
            return IntakeDecision::Skip;
        }
        IntakeDecision::Store(Box::new(IncomingTrade { trade: received.trade, raw: received.raw }))
    }

    /// Returns the earliest close time of the trades that are not skipped.
    #[must_use]
    pub fn oldest_kept(&self, now: UnixSeconds) -> UnixSeconds {
        oldest_kept(self.newest_at, now, self.retention_days)
    }

    /// Returns true if the ledger and close time can exist, so that they may serve to check others.
    #[must_use]
    pub fn is_possible(&self, ledger: u32, closed_at: UnixSeconds, now: UnixSeconds) -> bool {
        ledger <= self.ceiling && (EARLIEST..=self.latest_possible(now)).contains(&closed_at)
    }

    /// Returns true if the close time is too late for our clock, though Horizon's newest ledger is as late. Then our
    /// clock is wrong and not the trade.
    #[must_use]
    pub fn is_ahead_of_a_slow_clock(&self, closed_at: UnixSeconds, now: UnixSeconds) -> bool {
        closed_at > self.latest_possible(now)
            && self.latest_time.is_some_and(|latest| closed_at <= latest.plus(SLACK_S))
    }

    /// Returns the latest possible close time: that of the later clock, plus a tolerance. Horizon's time counts for
    /// at most a day ahead of ours. If Horizon's time is unknown, the limit is a day ahead of ours.
    fn latest_possible(&self, now: UnixSeconds) -> UnixSeconds {
        self.latest_time
            .map_or_else(|| now.plus(DAY), |latest| latest.min(now.plus(DAY)).max(now).plus(SLACK_S))
    }

    /// Makes the quarantine entry of a trade whose close time does not fit its ledger. The reason names no other
    /// ledger, so it is the same when the trade is read again beside others.
    #[must_use]
    pub fn misfit(&self, received: ReceivedTrade) -> QuarantineEntry {
        let (token, closed_at) = (received.trade.token, received.trade.closed_at);
        let reason = format!(
            "close time {} does not fit those of the ledgers around {}",
            closed_at.to_rfc3339(),
            token.ledger()
        );
        self.entry(Some(token), reason, received.raw)
    }

    /// Makes the quarantine entry of a trade far below the position that was asked for.
    #[must_use]
    pub fn unasked(&self, received: ReceivedTrade) -> QuarantineEntry {
        let token = received.trade.token;
        let reason = format!("ledger {} is far below those that were asked for", token.ledger());
        self.entry(Some(token), reason, received.raw)
    }

    /// Makes the quarantine entry of a record that is no trade. A position that cannot exist is dropped.
    #[must_use]
    pub fn refuse(&self, refused: RecordError) -> QuarantineEntry {
        let token = refused.token.filter(|token| token.ledger() <= self.ceiling);
        self.entry(token, refused.reason, refused.raw)
    }

    const fn entry(&self, token: Option<PagingToken>, reason: String, raw: Bytes) -> QuarantineEntry {
        QuarantineEntry { source: self.source, token, reason, raw }
    }
}

/// Returns the start of the first day whose trades are kept. The cleaner drops whole days, so the whole day is kept.
/// `newest_at` is the close time of the newest known ledger: a clock of ours that is ahead drops nothing.
#[must_use]
pub fn oldest_kept(newest_at: Option<UnixSeconds>, now: UnixSeconds, retention_days: i64) -> UnixSeconds {
    let newest_at = newest_at.map_or(now, |newest_at| newest_at.min(now));
    let first = newest_at.minus(retention_days.saturating_mul(DAY)).day();
    UnixSeconds(first.saturating_mul(DAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trades_are_kept_from_the_start_of_a_day_on() {
        let now = UnixSeconds(20 * DAY + 7);
        let of = |newest_at: Option<i64>| oldest_kept(newest_at.map(UnixSeconds), now, 8).0;
        assert_eq!(of(None), 12 * DAY);
        assert_eq!(of(Some(20 * DAY - 1)), 11 * DAY, "the network is behind our clock");
        assert_eq!(of(Some(30 * DAY)), 12 * DAY, "the network is ahead of it");
    }

    #[test]
    fn a_trade_as_late_as_horizons_newest_ledger_shows_that_our_clock_is_slow() {
        let now = UnixSeconds(1_795_457_237);
        let is_slow = |latest: Option<i64>, closed_in: i64| {
            let intake = Intake {
                source: "pages",
                ceiling: 1_000,
                latest_time: latest.map(|latest| now.plus(latest)),
                newest_at: None,
                retention_days: 8,
            };
            intake.is_ahead_of_a_slow_clock(now.plus(closed_in), now)
        };
        assert!(is_slow(Some(2 * DAY), 2 * DAY) && is_slow(Some(2 * DAY), DAY + SLACK_S + 1));
        assert!(!is_slow(Some(2 * DAY), DAY + SLACK_S), "it is stored");
        assert!(!is_slow(Some(0), 2 * DAY), "the trade is false");
        assert!(!is_slow(None, 2 * DAY), "Horizon does not say");
    }
}
