//! The chain of ledgers: every ledger with the hash of the one before it.

use std::sync::{Arc, Mutex, PoisonError};

use super::{EncodedLedger, LakeError, LakeLedger, Shape};
use crate::{model::SimTrade, simulation::Simulation};

/// Hash that the first ledger of a chain names as its predecessor.
const BEFORE_FIRST: [u8; 32] = [0; 32];

/// Ledgers of a simulation, from a first one on. Clones share the computed hashes.
///
/// The hash of a ledger depends on all ledgers before it. The chain computes them once, when they are first wanted.
#[derive(Debug, Clone)]
pub struct Chain(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sim: Arc<Simulation>,
    passphrase: String,
    first: u32,
    /// Payments in each ledger beside its trades.
    payments: u32,
    /// Hash of each ledger from `first` on.
    hashes: Mutex<Vec<[u8; 32]>>,
}

impl Chain {
    /// Chain of a simulation whose first ledger is `first`. Computes nothing yet.
    pub fn new(sim: Arc<Simulation>, passphrase: &str, first: u32) -> Self {
        Self::with_payments(sim, passphrase, first, 0)
    }

    /// Such a chain, whose ledgers have this number of payments beside their trades.
    pub fn with_payments(sim: Arc<Simulation>, passphrase: &str, first: u32, payments: u32) -> Self {
        let passphrase = passphrase.to_owned();
        Self(Arc::new(Inner { sim, passphrase, first, payments, hashes: Mutex::default() }))
    }

    /// First ledger.
    pub fn first(&self) -> u32 {
        self.0.first
    }

    /// Network of the ledgers.
    pub fn passphrase(&self) -> &str {
        &self.0.passphrase
    }

    /// Simulation that the ledgers belong to.
    pub fn simulation(&self) -> &Simulation {
        &self.0.sim
    }

    /// Ledger with this number, at least [`Self::first`]. Costs a hash for each ledger before it that was never wanted.
    ///
    /// # Errors
    ///
    /// [`LakeError`] for a trade that no ledger can hold.
    pub fn ledger(&self, sequence: u32) -> Result<EncodedLedger, LakeError> {
        let previous = match sequence.checked_sub(1).filter(|before| *before >= self.0.first) {
            Some(before) => self.hash(before)?,
            None => BEFORE_FIRST,
        };
        let ledger = self.encode(sequence, previous)?;
        // Reading from old to new then computes each ledger once.
        let mut hashes = self.0.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        if hashes.len() == self.index(sequence) {
            hashes.push(ledger.hash);
        }
        Ok(ledger)
    }

    fn index(&self, sequence: u32) -> usize {
        usize::try_from(sequence.saturating_sub(self.0.first)).unwrap_or(usize::MAX)
    }

    /// Hash of a ledger, at least [`Self::first`].
    ///
    /// # Errors
    ///
    /// [`LakeError`] for a trade that no ledger can hold.
    pub fn hash(&self, sequence: u32) -> Result<[u8; 32], LakeError> {
        let index = self.index(sequence);
        let mut hashes = self.0.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        while hashes.len() <= index {
            let next = self.0.first.saturating_add(u32::try_from(hashes.len()).unwrap_or(u32::MAX));
            let previous = hashes.last().copied().unwrap_or(BEFORE_FIRST);
            hashes.push(self.encode(next, previous)?.hash);
        }
        Ok(hashes.get(index).copied().unwrap_or(BEFORE_FIRST))
    }

    /// Ledger whose predecessor has this hash.
    pub(super) fn encode(&self, sequence: u32, previous: [u8; 32]) -> Result<EncodedLedger, LakeError> {
        self.encode_with(sequence, previous, &self.0.sim.trades(sequence..=sequence))
    }

    /// The same with these trades instead of its own.
    pub(super) fn encode_with(
        &self,
        sequence: u32,
        previous: [u8; 32],
        trades: &[SimTrade],
    ) -> Result<EncodedLedger, LakeError> {
        let shape = Shape::of_ledger(sequence);
        let closed_at = self.0.sim.closed_at(sequence);
        let (passphrase, payments) = (&self.0.passphrase, self.0.payments);
        LakeLedger { passphrase, sequence, closed_at, previous, trades, payments, shape }.encode()
    }
}
