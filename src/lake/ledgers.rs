//! Bytes of an object to verified ledgers, with their trades in the form in which they are stored. Pure.

use bytes::Bytes;
use ledger_metadata::{Hash, Ledger, LedgerTrade, Network, Verification, read_object};

use super::FIRST_LEDGER;
use crate::domain::{
    cursor::PagingToken,
    instant::UnixSeconds,
    trade::{Trade, TradeError},
};

/// Ledger whose hashes agree.
#[derive(Clone, Debug)]
pub struct VerifiedLedger {
    /// Number of the ledger.
    pub sequence: u32,
    /// Hash of its header.
    pub hash: Hash,
    /// Hash of the ledger before it.
    pub previous: Hash,
    /// When it closed.
    pub closed_at: UnixSeconds,
    /// Its trades, in the order of their paging tokens.
    pub trades: Vec<LakeTrade>,
    /// Trades that break a rule of the exchange. They go to quarantine, like such records of Horizon.
    pub refused: Vec<RefusedTrade>,
}

/// Trade of a ledger.
#[derive(Clone, Debug)]
pub struct LakeTrade {
    /// The trade, normalised like a record of Horizon.
    pub trade: Trade,
    /// The claim as JSON.
    pub raw: Bytes,
}

/// Trade that cannot be stored.
#[derive(Clone, Debug)]
pub struct RefusedTrade {
    /// Identity of the trade.
    pub token: PagingToken,
    /// Reason why it cannot be stored.
    pub reason: String,
    /// The claim as JSON.
    pub raw: Bytes,
}

/// Ledger that cannot be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedLedger {
    /// Number of the ledger, as its place in the object says.
    pub sequence: u32,
    /// Reason why it is not believed.
    pub reason: String,
}

/// Ledgers of an object, or the reason why the whole object is refused.
pub(super) type Decoded = Result<Vec<Result<VerifiedLedger, RefusedLedger>>, String>;

/// Reads the ledgers of the object that holds `first` to `last`.
pub(super) fn decode(
    bytes: &[u8],
    first: u32,
    last: u32,
    network: Network,
    verification: Verification,
) -> Decoded {
    let ledgers = read_object(bytes, network, verification).map_err(|error| error.to_string())?;
    let found =
        ledgers.iter().map(|ledger| ledger.as_ref().map_or_else(|error| error.sequence, |of| of.sequence));
    // The first object of a lake may lack the ledgers before the first one.
    let expected = first.max(FIRST_LEDGER)..=last;
    if !found.clone().eq(expected.clone()) {
        let range = found.clone().min().zip(found.max());
        let (from, to) = range.unwrap_or_default();
        return Err(format!("it holds ledgers {from} to {to}, not {} to {last}", expected.start()));
    }
    let verified = ledgers.into_iter().zip(expected).map(|(ledger, sequence)| match ledger {
        Ok(ledger) => Ok(verified(&ledger)),
        Err(error) => Err(RefusedLedger { sequence, reason: error.problem.to_string() }),
    });
    Ok(verified.collect())
}

fn verified(ledger: &Ledger) -> VerifiedLedger {
    let (mut trades, mut refused) = (Vec::with_capacity(ledger.trades.len()), Vec::new());
    for claim in &ledger.trades {
        let raw = Bytes::from(serde_json::to_vec(claim).unwrap_or_default());
        match normalised(claim) {
            Ok(trade) => trades.push(LakeTrade { trade, raw }),
            Err(error) => refused.push(RefusedTrade { token: claim.token, reason: error.to_string(), raw }),
        }
    }
    VerifiedLedger {
        sequence: ledger.sequence,
        hash: ledger.hash,
        previous: ledger.previous,
        closed_at: ledger.closed_at,
        trades,
        refused,
    }
}

fn normalised(claim: &LedgerTrade) -> Result<Trade, TradeError> {
    claim.record()?.normalise()
}
