//! Manifest of a data lake (SEP-54), and the keys of its objects.

use serde::Deserialize;
use ticker_domain::plain_text::shown;

/// Ending of an object. Lakes from before SEP-54 have `.xdr.zstd`.
const ENDING: &str = "xdr.zst";
/// First ledger of a network. A batch that would begin before it may be named from 0 or from 2.
const FIRST_LEDGER: u32 = 2;

/// Manifest of a lake: its object `.config.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Passphrase of the network whose ledgers the lake holds.
    pub passphrase: String,
    ledgers_per_batch: u32,
    batches_per_partition: u32,
}

/// Manifest that does not describe a lake that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not a manifest at all.
    #[error("the lake's manifest is not valid: {0}")]
    Form(String),
    /// A version of the layout that is not known.
    #[error("the lake's manifest has version {0}; only 0.1 and 1.0 can be read")]
    Version(String),
    /// A compression that cannot be read.
    #[error("the lake is compressed with {0}; only zstd can be read")]
    Compression(String),
    /// Sizes with which no key can be computed.
    #[error("the lake's manifest has {ledgers} ledgers per batch and {batches} batches per partition")]
    Sizes {
        /// Ledgers per batch.
        ledgers: u32,
        /// Batches per partition.
        batches: u32,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    network_passphrase: String,
    version: String,
    compression: String,
    ledgers_per_batch: u32,
    batches_per_partition: u32,
}

impl Manifest {
    /// Key of the manifest, relative to the lake.
    pub const KEY: &str = ".config.json";

    /// Reads a manifest.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] if the bytes are no manifest, or describe a lake that cannot be read.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let document: Document =
            serde_json::from_slice(bytes).map_err(|error| ManifestError::Form(error.to_string()))?;
        if !["0.1", "0.1.0", "1.0", "1.0.0"].contains(&document.version.as_str()) {
            return Err(ManifestError::Version(shown(&document.version).into_owned()));
        }
        if document.compression != "zstd" {
            return Err(ManifestError::Compression(shown(&document.compression).into_owned()));
        }
        let (ledgers, batches) = (document.ledgers_per_batch, document.batches_per_partition);
        if ledgers == 0 || batches == 0 || ledgers.checked_mul(batches).is_none() {
            return Err(ManifestError::Sizes { ledgers, batches });
        }
        Ok(Self {
            passphrase: document.network_passphrase,
            ledgers_per_batch: ledgers,
            batches_per_partition: batches,
        })
    }

    /// Manifest of a source that gives ledgers one by one and has no manifest itself, such as Stellar RPC.
    #[must_use]
    pub const fn of_single_ledgers(passphrase: String) -> Self {
        Self { passphrase, ledgers_per_batch: 1, batches_per_partition: 1 }
    }

    /// Ledgers in an object, 1 or more.
    #[must_use]
    pub const fn ledgers_per_batch(&self) -> u32 {
        self.ledgers_per_batch
    }

    /// Ledgers of the batch that holds `ledger`: the first and the last.
    #[must_use]
    pub fn batch_of(&self, ledger: u32) -> (u32, u32) {
        let first = aligned(ledger, self.ledgers_per_batch);
        (first.max(FIRST_LEDGER), first.saturating_add(self.ledgers_per_batch - 1))
    }

    /// Keys under which the batch of `ledger` may stand, relative to the lake, the likelier first. There are two only
    /// for the first batch.
    #[must_use]
    pub fn keys_of(&self, ledger: u32) -> Vec<String> {
        let first = aligned(ledger, self.ledgers_per_batch);
        let mut firsts = vec![first];
        if first < FIRST_LEDGER && self.ledgers_per_batch > FIRST_LEDGER {
            firsts.push(FIRST_LEDGER);
        }
        let partition = self.partition_of(ledger);
        let last = first.saturating_add(self.ledgers_per_batch - 1);
        firsts.into_iter().map(|first| format!("{partition}{}.{ENDING}", batch_name(first, last))).collect()
    }

    /// Directory of the ledger, with a slash at its end, or nothing for a lake without partitions.
    fn partition_of(&self, ledger: u32) -> String {
        if self.batches_per_partition == 1 {
            return String::new();
        }
        let size = self.ledgers_per_batch.saturating_mul(self.batches_per_partition);
        let first = aligned(ledger, size);
        format!("{:08X}--{first}-{}/", u32::MAX - first, first.saturating_add(size - 1))
    }
}

/// Name of a batch. The number is reversed, so that the newest batch sorts first.
fn batch_name(first: u32, last: u32) -> String {
    let reversed = u32::MAX - first;
    if first == last { format!("{reversed:08X}--{first}") } else { format!("{reversed:08X}--{first}-{last}") }
}

const fn aligned(ledger: u32, size: u32) -> u32 {
    ledger - ledger % size
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(ledgers: u32, batches: u32) -> Manifest {
        Manifest::parse(document(ledgers, batches, "1.0", "zstd").as_bytes()).unwrap()
    }

    fn document(ledgers: u32, batches: u32, version: &str, compression: &str) -> String {
        format!(
            r#"{{"networkPassphrase": "Test Network", "version": "{version}", "compression": "{compression}",
                 "ledgersPerBatch": {ledgers}, "batchesPerPartition": {batches}}}"#
        )
    }

    #[test]
    fn keys_are_those_of_the_public_lakes() {
        let keys = manifest(1, 64_000).keys_of(63_864);
        assert_eq!(keys, ["FFFFFFFF--0-63999/FFFF0687--63864.xdr.zst"]);
        assert_eq!(
            manifest(8, 64_000).keys_of(600_017),
            ["FFF82FFF--512000-1023999/FFF6D82F--600016-600023.xdr.zst"]
        );
    }

    #[test]
    fn a_partition_of_one_batch_has_no_directory() {
        assert_eq!(manifest(64, 1).keys_of(200), ["FFFFFF3F--192-255.xdr.zst"]);
    }

    #[test]
    fn the_first_batch_has_two_spellings() {
        assert_eq!(manifest(64, 1).keys_of(2), ["FFFFFFFF--0-63.xdr.zst", "FFFFFFFD--2-63.xdr.zst"]);
        assert_eq!(manifest(64, 1).batch_of(5), (2, 63));
        assert_eq!(manifest(1, 64_000).keys_of(2).len(), 1);
    }

    #[test]
    fn the_newest_key_sorts_first() {
        let manifest = manifest(8, 100);
        let keys: Vec<_> = [7_999, 8_000, 8_800, 80_000].map(|ledger| manifest.keys_of(ledger)).into();
        assert!(keys.is_sorted_by(|older, newer| older > newer), "{keys:?}");
    }

    #[test]
    fn refuses_lakes_that_it_cannot_read() {
        let parse = |text: String| Manifest::parse(text.as_bytes());
        assert!(matches!(parse(document(1, 1, "2.0", "zstd")), Err(ManifestError::Version(_))));
        assert!(matches!(parse(document(1, 1, "1.0", "lz4")), Err(ManifestError::Compression(_))));
        assert!(matches!(parse(document(0, 1, "1.0", "zstd")), Err(ManifestError::Sizes { .. })));
        assert!(matches!(parse(document(u32::MAX, 2, "1.0", "zstd")), Err(ManifestError::Sizes { .. })));
        assert!(matches!(parse("{}".to_owned()), Err(ManifestError::Form(_))));
    }

    #[test]
    fn the_last_ledger_has_a_key() {
        assert_eq!(manifest(64, 100).keys_of(u32::MAX).len(), 1);
    }
}
