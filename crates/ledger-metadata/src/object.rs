//! Objects: the bytes in which ledgers are stored and sent.

use std::io::Read as _;

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use stellar_xdr::{self as xdr, Limits, ReadXdr as _};

use crate::{
    error::LedgerError,
    hashes::Network,
    ledger::{Ledger, Verification},
    metadata,
};

/// First bytes of a zstd frame.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Most bytes that an object may decompress to. A batch of 64 large ledgers has about 90 MB.
pub const MAX_DECOMPRESSED: usize = 256 << 20;
/// Deepest nesting that stellar-core itself accepts.
const MAX_DEPTH: u32 = 1500;
/// Mark of a record in a stream: the top bit says that the record ends here, the others are its length.
const RECORD_END: u32 = 1 << 31;

/// Object that holds no ledgers that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// Damaged compression.
    #[error("it cannot be decompressed: {0}")]
    Compression(String),
    /// Compressed bytes that would fill the memory.
    #[error("it decompresses to more than {MAX_DECOMPRESSED} bytes")]
    TooLarge,
    /// Neither a batch, a ledger nor a stream of ledgers.
    #[error("it is neither a LedgerCloseMetaBatch, a LedgerCloseMeta nor a stream of them: {0}")]
    Form(String),
    /// Ledgers of a batch that are not the ones it announces.
    #[error("it announces ledgers {start} to {end} and holds others")]
    Range {
        /// First ledger that the batch announces.
        start: u32,
        /// Last ledger that the batch announces.
        end: u32,
    },
}

/// Reads the ledgers of an object: a `LedgerCloseMetaBatch` (SEP-54), one `LedgerCloseMeta`, or a stream of records,
/// each plain or compressed with zstd.
///
/// A ledger that cannot be believed is an error in its place. The ledgers beside it can still be read.
///
/// # Errors
///
/// [`ObjectError`] if the object as a whole cannot be read.
pub fn read_object(
    bytes: &[u8],
    network: Network,
    verification: Verification,
) -> Result<Vec<Result<Ledger, LedgerError>>, ObjectError> {
    let plain;
    let bytes = if bytes.starts_with(&ZSTD_MAGIC) {
        plain = decompress(bytes)?;
        plain.as_slice()
    } else {
        bytes
    };
    let ledgers = decode(bytes)?;
    Ok(ledgers.iter().map(|meta| Ledger::of(meta, network, verification)).collect())
}

/// Decompresses all frames, and compares their checksums.
fn decompress(mut bytes: &[u8]) -> Result<Vec<u8>, ObjectError> {
    let failed = |error: &dyn ToString| ObjectError::Compression(error.to_string());
    let mut plain = Vec::new();
    while !bytes.is_empty() {
        let mut frame = StreamingDecoder::new_with_decoder(&mut bytes, FrameDecoder::new())
            .map_err(|error| failed(&error))?;
        let room = MAX_DECOMPRESSED.saturating_sub(plain.len());
        let read = frame.by_ref().take(u64::try_from(room).unwrap_or(u64::MAX)).read_to_end(&mut plain);
        read.map_err(|error| failed(&error))?;
        let decoder = frame.into_frame_decoder();
        if !decoder.is_finished() {
            return Err(if plain.len() >= MAX_DECOMPRESSED {
                ObjectError::TooLarge
            } else {
                failed(&"it is cut")
            });
        }
        let claimed = decoder.get_checksum_from_data();
        if claimed.is_some() && claimed != decoder.get_calculated_checksum() {
            return Err(failed(&"its checksum is wrong"));
        }
    }
    Ok(plain)
}

fn decode(bytes: &[u8]) -> Result<Vec<xdr::LedgerCloseMeta>, ObjectError> {
    if first_number(bytes).is_some_and(|mark| mark & RECORD_END != 0) {
        return decode_stream(bytes);
    }
    match xdr::LedgerCloseMetaBatch::from_xdr(bytes, limits(bytes)) {
        Ok(batch) => checked_range(batch),
        // A single ledger begins with its version, which is less than the number of any batch's first ledger.
        Err(error) => match xdr::LedgerCloseMeta::from_xdr(bytes, limits(bytes)) {
            Ok(ledger) => Ok(vec![ledger]),
            Err(_) => Err(ObjectError::Form(error.to_string())),
        },
    }
}

fn decode_stream(mut bytes: &[u8]) -> Result<Vec<xdr::LedgerCloseMeta>, ObjectError> {
    let cut = || ObjectError::Form("a record is cut".to_owned());
    let mut ledgers = Vec::new();
    while !bytes.is_empty() {
        let mark = first_number(bytes).filter(|mark| mark & RECORD_END != 0).ok_or_else(cut)?;
        let length = usize::try_from(mark & !RECORD_END).map_err(|_| cut())?;
        let rest = bytes.get(4..).ok_or_else(cut)?;
        let (record, after) = rest.split_at_checked(length).ok_or_else(cut)?;
        let ledger = xdr::LedgerCloseMeta::from_xdr(record, limits(record));
        ledgers.push(ledger.map_err(|error| ObjectError::Form(error.to_string()))?);
        bytes = after;
    }
    Ok(ledgers)
}

/// The ledgers of a batch, if they are those that it announces.
fn checked_range(batch: xdr::LedgerCloseMetaBatch) -> Result<Vec<xdr::LedgerCloseMeta>, ObjectError> {
    let (start, end) = (batch.start_sequence, batch.end_sequence);
    let ledgers: Vec<_> = batch.ledger_close_metas.into();
    let announced = (start..=end).map(Some).chain(std::iter::repeat(None));
    let count = u32::try_from(ledgers.len()).ok();
    let as_announced = end.checked_sub(start).and_then(|last| last.checked_add(1)) == count
        && ledgers
            .iter()
            .zip(announced)
            .all(|(ledger, number)| Some(metadata::header(ledger).header.ledger_seq) == number);
    if as_announced { Ok(ledgers) } else { Err(ObjectError::Range { start, end }) }
}

fn limits(bytes: &[u8]) -> Limits {
    Limits { depth: MAX_DEPTH, len: bytes.len() }
}

fn first_number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_be_bytes)
}
