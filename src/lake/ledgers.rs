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

#[cfg(test)]
impl VerifiedLedger {
    /// Ledger without trades, whose hash and whose predecessor's hash repeat these bytes.
    pub(crate) fn without_trades(sequence: u32, hash: u8, previous: u8, closed_at: i64) -> Self {
        Self {
            sequence,
            hash: Hash([hash; 32]),
            previous: Hash([previous; 32]),
            closed_at: UnixSeconds(closed_at),
            trades: Vec::new(),
            refused: Vec::new(),
        }
    }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::{Rng as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Ledgers of a simulated network, as the fuzz target of ledger metadata gets them.
    const BATCH: &[u8] = include_bytes!("../../fuzz/seeds/ledger_metadata/batch");
    const PASSPHRASE: &str = "Fuzz Network";
    const FIRST: u32 = 50_000_000;
    const CASES: u32 = 1_000;

    fn decoded(bytes: &[u8]) -> Decoded {
        decode(bytes, FIRST, FIRST + 3, Network::of(PASSPHRASE), Verification::Full)
    }

    /// Flips bits, cuts the object, or zeroes some bytes.
    fn damaged(random: &mut ChaCha8Rng) -> Vec<u8> {
        let mut bytes = BATCH.to_vec();
        let place = random.random_range(0..bytes.len());
        match random.random_range(0..3) {
            0 => {
                for _ in 0..random.random_range(1..=8) {
                    let place = random.random_range(0..bytes.len());
                    bytes[place] ^= 1_u8 << random.random_range(0..8_u32);
                }
            }
            1 => bytes.truncate(place),
            _ => bytes.iter_mut().skip(place).take(64).for_each(|byte| *byte = 0),
        }
        bytes
    }

    /// All that hashes prove of a ledger's trades.
    fn proven(ledger: &VerifiedLedger) -> Vec<Trade> {
        let without_price = |trade: &LakeTrade| Trade { price_n: 0, price_d: 0, ..trade.trade };
        ledger.trades.iter().map(without_price).collect()
    }

    #[test]
    fn a_damaged_object_gives_no_row_of_a_ledger_that_fails_its_hashes() {
        let originals: Vec<_> = decoded(BATCH).unwrap().into_iter().map(Result::unwrap).collect();
        assert!(originals.iter().any(|ledger| !ledger.trades.is_empty()));
        let (mut random, mut seen) = (ChaCha8Rng::seed_from_u64(22), BTreeMap::new());
        for case in 0..CASES {
            let ledgers = match decoded(&damaged(&mut random)) {
                Ok(ledgers) => ledgers,
                Err(reason) => {
                    assert!(!reason.is_empty(), "case {case}");
                    *seen.entry("object refused").or_insert(0_u32) += 1;
                    continue;
                }
            };
            assert_eq!(ledgers.len(), originals.len(), "case {case}");
            for (ledger, original) in ledgers.iter().zip(&originals) {
                let outcome = match ledger {
                    Ok(ledger) => {
                        assert_eq!(ledger.hash, original.hash, "case {case}");
                        assert_eq!(proven(ledger), proven(original), "case {case}");
                        assert_eq!(ledger.refused.len(), original.refused.len(), "case {case}");
                        "believed"
                    }
                    Err(refused) => {
                        assert_eq!(refused.sequence, original.sequence, "case {case}");
                        assert!(!refused.reason.is_empty(), "case {case}");
                        "ledger refused"
                    }
                };
                *seen.entry(outcome).or_insert(0_u32) += 1;
            }
        }
        assert_eq!(seen.len(), 3, "every class of outcome occurs: {seen:?}");
    }
}
