//! Batches out of ledgers: the trades to store, and what is kept in quarantine.

use super::SOURCE;
use crate::{
    actors::intake::{Intake, IntakeDecision},
    db::trades::{IncomingTrade, QuarantineEntry},
    domain::instant::UnixSeconds,
    horizon::wire::{ReceivedTrade, RecordError},
    lake::VerifiedLedger,
};

/// Content of consecutive ledgers for one batch.
#[derive(Debug, Default)]
pub struct Collected {
    /// Trades to store.
    pub trades: Vec<IncomingTrade>,
    /// Trades that cannot be stored, and refused ranges.
    pub quarantine: Vec<QuarantineEntry>,
    /// Number of trades that are older than the retention.
    pub skipped: u64,
}

impl Collected {
    /// Adds the trades of a ledger, except those older than the retention.
    ///
    /// `newest_at` is the close time of the lake's newest stored ledger. The retention counts from there, or from this
    /// ledger if it is newer.
    pub fn add(
        &mut self,
        ledger: VerifiedLedger,
        newest_at: Option<UnixSeconds>,
        retention_days: i64,
        now: UnixSeconds,
    ) {
        // The ledgers prove themselves, and their numbers are those of their objects.
        let intake = Intake {
            source: SOURCE,
            ceiling: u32::MAX,
            latest_time: None,
            newest_at: newest_at.max(Some(ledger.closed_at)),
            retention_days,
        };
        for trade in ledger.trades {
            let received = ReceivedTrade { trade: trade.trade, raw: trade.raw };
            match intake.decide(received, now) {
                IntakeDecision::Store(trade) => self.trades.push(*trade),
                IntakeDecision::Quarantine(entry) => self.quarantine.push(entry),
                IntakeDecision::Skip => self.skipped = self.skipped.saturating_add(1),
            }
        }
        for refused in ledger.refused {
            let refused =
                RecordError { token: Some(refused.token), reason: refused.reason, raw: refused.raw };
            self.quarantine.push(intake.refuse(refused));
        }
    }
}
