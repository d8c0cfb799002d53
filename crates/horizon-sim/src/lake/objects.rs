//! The lake (SEP-54): manifest and objects, as a directory or for the server, with the faults that lakes have.

use std::{
    collections::HashMap,
    fs, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::json;

use super::{EncodedLedger, LakeError, LakeLedger, Shape, batch, chain::Chain, layout::LakeLayout};
use crate::model::SimTrade;

/// Bytes that a bomb decompresses to.
const BOMB_BYTES: u64 = 300 << 20;
/// Bytes of one of its blocks, the most that zstd allows.
const BOMB_BLOCK_BYTES: u64 = 128 << 10;

/// Fault of the object that holds a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LakeFault {
    /// The object is missing.
    Hole,
    /// The server fails for this object, whenever it is asked.
    Refused,
    /// A byte of the ledger is changed, below a valid compression.
    Damaged,
    /// The ledger names another predecessor. In itself it is consistent.
    ChainBreak,
    /// The object ends in its middle.
    Truncated,
    /// The object is not compressed with zstd.
    WrongCompression,
    /// The object decompresses to 300 MB.
    Bomb,
    /// The ledger belongs to another network.
    OtherNetwork,
    /// The object holds the ledgers of another one.
    OtherLedger,
    /// The ledger lacks its last trade. In itself it is consistent, and it names the right predecessor.
    Rewritten,
    /// The prices of offers are other fractions of the same value, which no hash covers. RPC has the right ones.
    OtherPrices,
}

/// Answer of a server for an object that it does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MissingAnswer {
    /// 404.
    #[default]
    NotFound,
    /// 403, as S3 gives it if the bucket may not be listed.
    Forbidden,
    /// 200, with a page for people.
    Page,
}

/// Lake of a simulation. Clones share its faults.
#[derive(Debug, Clone)]
pub struct SimLake {
    chain: Chain,
    layout: LakeLayout,
    faults: Arc<Mutex<Faults>>,
}

#[derive(Debug, Default)]
struct Faults {
    ledgers: HashMap<u32, LakeFault>,
    /// Ledgers by which RPC's newest one is above the one that it has.
    boasted: u32,
    /// Passphrase in the manifest, if it is not that of the ledgers.
    announced: Option<String>,
    /// Newest ledger that the lake has, if it is behind the network.
    newest: Option<u32>,
    /// Answer for what the lake does not have.
    missing: MissingAnswer,
    /// True if the server has nothing of the lake, not even its manifest.
    is_gone: bool,
}

impl SimLake {
    /// Lake of a chain. Its first object is the first one whose ledgers all belong to the chain.
    pub fn new(chain: Chain, layout: LakeLayout) -> Self {
        Self { chain, layout, faults: Arc::default() }
    }

    /// Ledgers with their hashes.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Puts a fault into the object that holds this ledger.
    pub fn spoil(&self, ledger: u32, fault: LakeFault) {
        self.faults().ledgers.insert(ledger, fault);
    }

    /// Takes the fault out of the object that holds this ledger.
    pub fn mend(&self, ledger: u32) {
        self.faults().ledgers.remove(&ledger);
    }

    /// Makes the server answer 404 to everything, or ends that.
    pub fn be_gone(&self, is_gone: bool) {
        self.faults().is_gone = is_gone;
    }

    /// True if the server has nothing of the lake.
    pub fn is_gone(&self) -> bool {
        self.faults().is_gone
    }

    /// Announces another network in the manifest.
    pub fn announce(&self, passphrase: &str) {
        self.faults().announced = Some(passphrase.to_owned());
    }

    /// Keeps the lake behind the network: it has no object with a newer ledger than this. `None` ends that.
    pub fn stop_at(&self, newest: Option<u32>) {
        self.faults().newest = newest;
    }

    /// Sets the server's answer for missing objects.
    pub fn answer_missing_with(&self, answer: MissingAnswer) {
        self.faults().missing = answer;
    }

    /// Server's answer for missing objects.
    pub fn missing_answer(&self) -> MissingAnswer {
        self.faults().missing
    }

    /// Makes RPC name a newest ledger that is this many above the one that it has.
    pub fn boast(&self, ledgers: u32) {
        self.faults().boasted = ledgers;
    }

    /// Newest ledger that RPC names.
    pub fn claimed_newest(&self) -> u32 {
        self.newest().saturating_add(self.faults().boasted)
    }

    fn faults(&self) -> std::sync::MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passphrase that the lake announces.
    pub fn passphrase(&self) -> String {
        let announced = self.faults().announced.clone();
        announced.unwrap_or_else(|| self.chain.passphrase().to_owned())
    }

    /// Newest ledger that the lake may have.
    pub fn newest(&self) -> u32 {
        self.chain.simulation().head().latest.min(self.faults().newest.unwrap_or(u32::MAX))
    }

    /// Ledger as RPC gives it, with its fault. `None` for a hole, and for ledgers that RPC does not have.
    ///
    /// # Errors
    ///
    /// [`LakeError`] for a trade that no ledger can hold.
    pub fn ledger(&self, sequence: u32) -> Result<Option<EncodedLedger>, LakeError> {
        let fault = self.faults().ledgers.get(&sequence).copied();
        if fault == Some(LakeFault::Hole) || !(self.chain.first()..=self.newest()).contains(&sequence) {
            return Ok(None);
        }
        let fault = fault.filter(|fault| *fault != LakeFault::OtherPrices);
        self.spoilt_ledger(sequence, fault).map(Some)
    }

    /// The manifest, `.config.json`.
    pub fn manifest(&self) -> String {
        json!({
            "networkPassphrase": self.passphrase(),
            "version": "1.0",
            "compression": "zstd",
            "ledgersPerBatch": self.layout.ledgers_per_batch,
            "batchesPerPartition": self.layout.batches_per_partition,
        })
        .to_string()
    }

    /// First and last ledger of the object that holds this ledger.
    pub fn batch_of(&self, ledger: u32) -> (u32, u32) {
        let size = self.layout.ledgers_per_batch.max(1);
        let first = ledger - ledger % size;
        (first, first.saturating_add(size - 1))
    }

    /// Key of the object that holds this ledger.
    pub fn key_of(&self, ledger: u32) -> String {
        let (first, last) = self.batch_of(ledger);
        let name = if first == last { first.to_string() } else { format!("{first}-{last}") };
        let name = format!("{:08X}--{name}.xdr.zst", u32::MAX - first);
        if self.layout.batches_per_partition <= 1 {
            return name;
        }
        let size = self.layout.ledgers_per_batch.max(1).saturating_mul(self.layout.batches_per_partition);
        let start = ledger - ledger % size;
        format!("{:08X}--{start}-{}/{name}", u32::MAX - start, start.saturating_add(size - 1))
    }

    /// Answer to `ListObjectsV2` of the first entries below a prefix, which is empty or that of the newest partition.
    pub fn listing(&self, prefix: &str) -> String {
        // The newest object that is complete.
        let newest = self.newest().saturating_add(1).saturating_sub(self.layout.ledgers_per_batch.max(1));
        let key = self.key_of(newest);
        let entry = match key.split_once('/') {
            Some((partition, _)) if prefix.is_empty() => {
                format!("<CommonPrefixes><Prefix>{partition}/</Prefix></CommonPrefixes>")
            }
            _ if key.starts_with(prefix) => format!("<Contents><Key>{key}</Key></Contents>"),
            _ => String::new(),
        };
        format!(
            "<?xml version=\"1.0\"?><ListBucketResult><Prefix>{prefix}</Prefix>{entry}</ListBucketResult>"
        )
    }

    /// Object with this key. `None` if the lake does not have it.
    ///
    /// # Errors
    ///
    /// [`LakeError`] for a trade that no ledger can hold.
    pub fn object(&self, key: &str) -> Result<Option<Vec<u8>>, LakeError> {
        let name = key.rsplit('/').next().unwrap_or(key);
        let reversed = name.split_once("--").and_then(|(hex, _)| u32::from_str_radix(hex, 16).ok());
        let Some(first) = reversed.map(|reversed| u32::MAX - reversed) else { return Ok(None) };
        if self.key_of(first) == key { self.object_of(first) } else { Ok(None) }
    }

    fn object_of(&self, ledger: u32) -> Result<Option<Vec<u8>>, LakeError> {
        let (first, last) = self.batch_of(ledger);
        let newest = self.newest();
        if first < self.chain.first() || last > newest {
            return Ok(None);
        }
        let fault = (first..=last).find_map(|ledger| {
            let fault = self.faults().ledgers.get(&ledger).copied()?;
            Some((ledger, fault))
        });
        self.spoilt_object(first, last, fault)
    }

    fn spoilt_object(
        &self,
        first: u32,
        last: u32,
        fault: Option<(u32, LakeFault)>,
    ) -> Result<Option<Vec<u8>>, LakeError> {
        if let Some((_, LakeFault::Hole)) = fault {
            return Ok(None);
        }
        if let Some((_, LakeFault::Refused)) = fault {
            return Err(LakeError::Refused);
        }
        if let Some((_, LakeFault::Bomb)) = fault {
            return Ok(Some(bomb()));
        }
        let shift = if matches!(fault, Some((_, LakeFault::OtherLedger))) { 1 } else { 0 };
        let mut ledgers = Vec::new();
        for sequence in first..=last {
            let fault = fault.filter(|(spoilt, _)| *spoilt == sequence).map(|(_, fault)| fault);
            ledgers.push(self.spoilt_ledger(sequence.saturating_add(shift), fault)?);
        }
        let plain = batch(first.saturating_add(shift), &ledgers);
        let object = match fault {
            Some((_, LakeFault::WrongCompression)) => plain.into_iter().map(|byte| !byte).collect(),
            _ => compress_to_vec(plain.as_slice(), CompressionLevel::Fastest),
        };
        Ok(Some(match fault {
            Some((_, LakeFault::Truncated)) => object.iter().take(object.len() / 2).copied().collect(),
            _ => object,
        }))
    }

    fn spoilt_ledger(&self, sequence: u32, fault: Option<LakeFault>) -> Result<EncodedLedger, LakeError> {
        match fault {
            Some(LakeFault::ChainBreak) => self.chain.encode(sequence, [0x5a; 32]),
            Some(LakeFault::OtherNetwork) => {
                let trades = self.chain.simulation().trades(sequence..=sequence);
                self.other_ledger(sequence, "Another Network", [0; 32], &trades)
            }
            Some(LakeFault::Rewritten) => {
                let previous = self.chain.hash(sequence.saturating_sub(1))?;
                let trades = self.chain.simulation().trades(sequence..=sequence);
                let kept = trades.split_last().map_or(&[][..], |(_, kept)| kept);
                self.other_ledger(sequence, self.chain.passphrase(), previous, kept)
            }
            Some(LakeFault::OtherPrices) => {
                let previous = self.chain.hash(sequence.saturating_sub(1))?;
                let mut trades = self.chain.simulation().trades(sequence..=sequence);
                trades.iter_mut().for_each(double_price);
                self.chain.encode_with(sequence, previous, &trades)
            }
            Some(LakeFault::Damaged) => {
                let mut ledger = self.chain.ledger(sequence)?;
                // A byte of the header, after its hash: the hash does not agree any more.
                let header = ledger.xdr.windows(32).position(|bytes| ledger.header_xdr.starts_with(bytes));
                if let Some(byte) = header.and_then(|header| ledger.xdr.get_mut(header + 40)) {
                    *byte ^= 1;
                }
                Ok(ledger)
            }
            _ => self.chain.ledger(sequence),
        }
    }

    /// Ledger that is not the one of the chain.
    fn other_ledger(
        &self,
        sequence: u32,
        passphrase: &str,
        previous: [u8; 32],
        trades: &[SimTrade],
    ) -> Result<EncodedLedger, LakeError> {
        let closed_at = self.chain.simulation().closed_at(sequence);
        let shape = Shape::of_ledger(sequence);
        LakeLedger { passphrase, sequence, closed_at, previous, trades, payments: 0, shape }.encode()
    }

    /// Writes the manifest and all objects that hold these ledgers to a directory, except those that are there. An
    /// object appears under its name once it is complete.
    ///
    /// # Errors
    ///
    /// Those of the file system, and `InvalidData` for a trade that no ledger can hold.
    pub fn write_to(&self, directory: &Path, from: u32, to: u32) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        replace(&directory.join(".config.json"), self.manifest().as_bytes())?;
        let mut next = from;
        while next <= to {
            let path = directory.join(self.key_of(next));
            if !path.exists() {
                let object = self.object_of(next).map_err(io::Error::other)?;
                if let Some(object) = object {
                    path.parent().map_or(Ok(()), fs::create_dir_all)?;
                    replace(&path, &object)?;
                }
            }
            let Some(after) = self.batch_of(next).1.checked_add(1) else { break };
            next = after;
        }
        Ok(())
    }
}

/// Doubles both numbers of an offer's price, if a ledger can hold them.
fn double_price(trade: &mut SimTrade) {
    let fits = |number: i64| number.checked_mul(2).is_some_and(|double| i32::try_from(double).is_ok());
    if fits(trade.price_n) && fits(trade.price_d) {
        trade.price_n *= 2;
        trade.price_d *= 2;
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    fs::write(&part, bytes)?;
    fs::rename(part, path)
}

/// Zeros as a frame of zstd (RFC 8878) whose blocks repeat a byte. A compressor takes seconds for it, and a busy
/// machine so long that the reader gives up.
fn bomb() -> Vec<u8> {
    // The magic number, no options, and a window of 128 KiB.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    let blocks = BOMB_BYTES / BOMB_BLOCK_BYTES;
    for number in 1..=blocks {
        // Size, type (1: a repeated byte) and, in the lowest bit, whether it is the last block.
        let header = BOMB_BLOCK_BYTES << 3 | 1 << 1 | u64::from(number == blocks);
        frame.extend(header.to_le_bytes().into_iter().take(3));
        frame.push(0);
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::SimConfig, simulation::Simulation};

    fn lake(layout: LakeLayout) -> SimLake {
        let config = SimConfig { trades_per_second: 1.0, history_hours: 1, ..SimConfig::default() };
        let sim = Arc::new(Simulation::new(&config).unwrap());
        let first = sim.head().elder;
        SimLake::new(Chain::new(sim, "Test", first), layout)
    }

    #[test]
    fn keys_are_those_of_the_public_lake() {
        assert_eq!(lake(LakeLayout::default()).key_of(63_864), "FFFFFFFF--0-63999/FFFF0687--63864.xdr.zst");
        let flat = LakeLayout { ledgers_per_batch: 64, batches_per_partition: 1, ..LakeLayout::default() };
        assert_eq!(lake(flat).key_of(200), "FFFFFF3F--192-255.xdr.zst");
    }

    #[test]
    fn the_lake_has_the_objects_of_its_ledgers_and_no_others() {
        let lake =
            lake(LakeLayout { ledgers_per_batch: 8, batches_per_partition: 64, ..LakeLayout::default() });
        let first = lake.chain().first();
        let has = |ledger: u32| lake.object(&lake.key_of(ledger)).unwrap().is_some();
        assert!(has(first + 8) && !has(first - 8) && !has(first + 100_000));
        let last_of_next = lake.batch_of(first + 8).1;
        lake.stop_at(Some(last_of_next));
        assert!(has(first + 8) && !has(first + 16), "the lake is behind");
        assert_eq!(lake.object("x").unwrap(), None);
        assert_eq!(lake.object(&format!("no{}", lake.key_of(first + 8))).unwrap(), None);
        lake.spoil(first + 8, LakeFault::Hole);
        assert!(!has(first + 8));
    }

    #[test]
    fn a_bomb_is_a_valid_frame_of_zeros() {
        let bomb = bomb();
        let mut decoder = ruzstd::decoding::StreamingDecoder::new(bomb.as_slice()).unwrap();
        assert_eq!(io::copy(&mut decoder, &mut io::sink()).unwrap(), BOMB_BYTES);
        assert!(bomb.len() < 20_000, "{}", bomb.len());
    }

    #[test]
    fn each_ledger_names_the_hash_of_the_one_before_it() {
        let lake = lake(LakeLayout::default());
        let first = lake.chain().first();
        let third = lake.chain().ledger(first + 2).unwrap();
        let second = lake.chain().hash(first + 1).unwrap();
        assert!(third.header_xdr.windows(32).any(|window| window == second));
        assert_eq!(lake.chain().hash(first + 2).unwrap(), third.hash);
    }
}
