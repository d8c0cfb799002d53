//! Objects that are damaged at random. Each is refused with a reason, or gives what its hashes prove.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use horizon_sim::{
    SimConfig, SimTrade, Simulation, TradeKind,
    lake::{EncodedLedger, LakeLedger, Shape, batch},
};
use ledger_metadata::{Ledger, LedgerError, Network, ObjectError, Verification, read_object};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

const PASSPHRASE: &str = "Simulated Network ; 2026";
const FIRST: u32 = 50_000_000;
const CASES: u32 = 10_000;
/// Price of all offers. The amounts of [`trades`] explain it, and also prices near it.
const PRICE: (u32, u32) = (700_001, 200_003);

/// Outcome of reading a damaged ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The whole object is refused.
    ObjectRefused,
    /// The ledger alone is refused.
    LedgerRefused,
    /// The ledger is as it was: nothing that is kept was damaged.
    Unchanged,
    /// A price differs, which no hash covers.
    OtherPrice,
}

/// First trades of a ledger with offers, at [`PRICE`].
fn trades(simulation: &Simulation, sequence: u32) -> Vec<SimTrade> {
    let mut trades = simulation.trades(sequence..=sequence);
    trades.retain(|trade| trade.kind == TradeKind::Orderbook);
    trades.truncate(3);
    for trade in &mut trades {
        trade.base_is_seller = true;
        (trade.base.amount, trade.counter.amount) = (2, 7);
        (trade.price_n, trade.price_d) = (PRICE.0.into(), PRICE.1.into());
    }
    trades
}

fn encoded(simulation: &Simulation, sequence: u32, previous: [u8; 32], shape: Shape) -> EncodedLedger {
    let (trades, closed_at) = (trades(simulation, sequence), simulation.closed_at(sequence));
    let ledger = LakeLedger {
        passphrase: PASSPHRASE,
        sequence,
        closed_at,
        previous,
        trades: &trades,
        payments: 1,
        shape,
    };
    ledger.encode().unwrap()
}

/// One ledger of each of the twelve shapes, and a batch of three.
fn plain_objects() -> Vec<Vec<u8>> {
    let simulation = Simulation::new(&SimConfig { trades_per_second: 12.0, ..SimConfig::default() }).unwrap();
    let mut objects = Vec::new();
    for close_meta in 0..3 {
        for transaction_meta in 1..=4 {
            let shape = Shape { close_meta, transaction_meta };
            objects.push(encoded(&simulation, FIRST, [1; 32], shape).xdr);
        }
    }
    let (mut ledgers, mut previous) = (Vec::new(), [1; 32]);
    for sequence in FIRST + 1..=FIRST + 3 {
        let ledger = encoded(&simulation, sequence, previous, Shape::of_ledger(sequence));
        previous = ledger.hash;
        ledgers.push(ledger);
    }
    objects.push(batch(FIRST + 1, &ledgers));
    objects
}

fn read(object: &[u8]) -> Result<Vec<Result<Ledger, LedgerError>>, ObjectError> {
    read_object(object, Network::of(PASSPHRASE), Verification::Full)
}

/// Damage as disks, networks and programs do it.
struct Damage(ChaCha8Rng);

impl Damage {
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap().max(1);
        usize::try_from(self.0.next_u64() % end).unwrap()
    }

    fn damaged(&mut self, object: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = object.to_vec();
        let place = self.below(bytes.len());
        match self.below(5) {
            0 => {
                for _ in 0..=self.below(8) {
                    self.flip_bit(&mut bytes);
                }
            }
            1 => bytes.truncate(place),
            2 => {
                let length = 1 + self.below(64);
                bytes.iter_mut().skip(place).take(length).for_each(|byte| *byte = 0);
            }
            3 => {
                let elsewhere = self.below(other.len());
                let from = if self.below(2) == 0 { place } else { elsewhere };
                bytes.truncate(place);
                bytes.extend(other.iter().skip(from));
            }
            _ => self.change_price(&mut bytes),
        }
        bytes
    }

    fn flip_bit(&mut self, bytes: &mut [u8]) {
        let (place, bit) = (self.below(bytes.len()), self.below(8));
        if let Some(byte) = bytes.get_mut(place) {
            *byte ^= 1_u8 << bit;
        }
    }

    /// Flips one of the seven lowest bits of a price's numerator, or any bit of a compressed object: it does not show
    /// its prices.
    fn change_price(&mut self, bytes: &mut [u8]) {
        let price = [PRICE.0.to_be_bytes(), PRICE.1.to_be_bytes()].concat();
        let windows = bytes.windows(price.len()).enumerate();
        let places: Vec<_> =
            windows.filter(|(_, window)| *window == price.as_slice()).map(|(place, _)| place).collect();
        let Some(place) = places.get(self.below(places.len())) else { return self.flip_bit(bytes) };
        let bit = self.below(7);
        if let Some(byte) = bytes.get_mut(place + 3) {
            *byte ^= 1_u8 << bit;
        }
    }
}

/// Outcomes of an object's ledgers. Fails if a reason is missing, or if a ledger that is believed differs from its
/// original in more than prices.
fn outcomes(object: &[u8], originals: &[Ledger], case: u32) -> Vec<Outcome> {
    let ledgers = match read(object) {
        Ok(ledgers) => ledgers,
        Err(error) => {
            assert!(!error.to_string().is_empty(), "case {case}: {error:?}");
            return vec![Outcome::ObjectRefused];
        }
    };
    let outcome = |ledger: Result<Ledger, LedgerError>| match ledger {
        Ok(ledger) => {
            let original = originals.iter().find(|original| original.hash == ledger.hash);
            assert_eq!(Some(without_prices(&ledger)), original.map(without_prices), "case {case}");
            if original == Some(&ledger) { Outcome::Unchanged } else { Outcome::OtherPrice }
        }
        Err(error) => {
            assert!(!error.problem.to_string().is_empty(), "case {case}: {error:?}");
            Outcome::LedgerRefused
        }
    };
    ledgers.into_iter().map(outcome).collect()
}

fn without_prices(ledger: &Ledger) -> Ledger {
    let mut ledger = ledger.clone();
    ledger.trades.iter_mut().for_each(|trade| (trade.price_n, trade.price_d) = (0, 0));
    ledger
}

#[test]
fn ten_thousand_damaged_objects_are_refused_with_a_reason_or_give_what_their_hashes_prove() {
    let plain = plain_objects();
    let originals: Vec<Ledger> =
        plain.iter().flat_map(|object| read(object).unwrap()).map(Result::unwrap).collect();
    assert_eq!(originals.len(), 15);
    assert!(originals.iter().all(|ledger| !ledger.trades.is_empty()), "{originals:?}");
    let compressed = plain.iter().map(|object| compress_to_vec(object.as_slice(), CompressionLevel::Fastest));
    let objects: Vec<Vec<u8>> = plain.iter().cloned().chain(compressed).collect();
    let (mut damage, mut seen) = (Damage(ChaCha8Rng::seed_from_u64(21)), BTreeMap::new());
    for case in 0..CASES {
        let (object, other) = (damage.below(objects.len()), damage.below(objects.len()));
        let damaged = damage.damaged(&objects[object], &objects[other]);
        for outcome in outcomes(&damaged, &originals, case) {
            *seen.entry(outcome).or_insert(0_u32) += 1;
        }
    }
    assert_eq!(seen.len(), 4, "every class of outcome occurs: {seen:?}");
}
