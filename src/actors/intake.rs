//! What becomes of a record that came from Horizon. No I/O.

use bytes::Bytes;

use crate::{
    db::trades::{IncomingTrade, QuarantineEntry},
    domain::{
        close_times::{EARLIEST, SLACK_S},
        cursor::PagingToken,
        instant::{DAY, UnixSeconds},
    },
    horizon::wire::{Received, Refused},
};

/// The rules by which records are taken in.
#[derive(Clone, Copy, Debug)]
pub struct Intake {
    /// What came is told by this name in quarantine.
    pub source: &'static str,
    /// No ledger beyond this one can be there yet: a trade of one would carry a cursor past everything to come.
    pub ceiling: u32,
    /// About what time it is for Horizon; none if it does not say.
    pub latest_time: Option<UnixSeconds>,
    /// Trades older than this are passed over.
    pub retention_days: i64,
}

/// What becomes of a record.
#[derive(Debug)]
pub enum IntakeDecision {
    /// It is stored.
    Stored(Box<IncomingTrade>),
    /// It is older than all that is kept.
    PassedOver,
    /// It cannot be stored.
    Quarantined(QuarantineEntry),
}

impl Intake {
    /// Decides on a trade.
    #[must_use]
    pub fn judge(&self, received: Received, now: UnixSeconds) -> IntakeDecision {
        let (token, closed_at) = (received.trade.token, received.trade.closed_at);
        if token.ledger() > self.ceiling {
            let reason = format!("ledger {} is far beyond the newest one", token.ledger());
            return IntakeDecision::Quarantined(self.entry(None, reason, received.raw));
        }
        if closed_at > self.latest_possible(now) {
            let reason = format!("close time {} is ahead of the clock", closed_at.to_rfc3339());
            return IntakeDecision::Quarantined(self.entry(Some(token), reason, received.raw));
        }
        if closed_at < EARLIEST {
            let reason = format!("close time {} is before the first ledger", closed_at.to_rfc3339());
            return IntakeDecision::Quarantined(self.entry(Some(token), reason, received.raw));
        }
        if closed_at < now.minus(self.retention_days.saturating_mul(DAY)) {
            return IntakeDecision::PassedOver;
        }
        IntakeDecision::Stored(Box::new(IncomingTrade { trade: received.trade, raw: received.raw }))
    }

    /// Returns true if ledger and close time of a trade are possible, so that other times may be compared with it.
    #[must_use]
    pub fn can_be(&self, ledger: u32, closed_at: UnixSeconds, now: UnixSeconds) -> bool {
        ledger <= self.ceiling && (EARLIEST..=self.latest_possible(now)).contains(&closed_at)
    }

    /// Latest possible close time, by the later of both clocks, so that a slow one does no harm. If only ours is known, a day
    /// is allowed.
    fn latest_possible(&self, now: UnixSeconds) -> UnixSeconds {
        self.latest_time
            .map_or_else(|| now.plus(DAY), |latest| latest.min(now.plus(DAY)).max(now).plus(SLACK_S))
    }

    /// A trade whose close time does not fit those of the ledgers around it goes to quarantine. The reason names none of
    /// them, so it is the same if the trade is read again beside other ledgers.
    #[must_use]
    pub fn misfit(&self, received: Received) -> QuarantineEntry {
        let (token, closed_at) = (received.trade.token, received.trade.closed_at);
        let reason = format!(
            "close time {} does not fit those of the ledgers around {}",
            closed_at.to_rfc3339(),
            token.ledger()
        );
        self.entry(Some(token), reason, received.raw)
    }

    /// A record that is no trade goes to quarantine; a place that cannot be is none.
    #[must_use]
    pub fn refuse(&self, refused: Refused) -> QuarantineEntry {
        let token = refused.token.filter(|token| token.ledger() <= self.ceiling);
        self.entry(token, refused.reason, refused.raw)
    }

    const fn entry(&self, token: Option<PagingToken>, reason: String, raw: Bytes) -> QuarantineEntry {
        QuarantineEntry { source: self.source, token, reason, raw }
    }
}
