//! Objects: the bytes in which ledgers are stored and sent.

use std::{io::Read as _, ops::RangeInclusive};

use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use stellar_xdr as xdr;
use ticker_domain::conversions::SaturatingFrom;

use crate::{
    error::LedgerError,
    hashes::Network,
    ledger::{Ledger, Verification},
    limits::{OBJECT_TRADES_MAX, VALUE_MAX},
    reader::Reader,
};

/// First bytes of a zstd frame.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// First bytes of a zstd frame that holds none of the content (RFC 8878), as a little-endian number.
const SKIPPABLE_MAGIC: RangeInclusive<u32> = 0x184d_2a50..=0x184d_2a5f;
/// Most bytes that an object may decompress to. A batch of 64 large ledgers has about 90 MB.
pub const MAX_DECOMPRESSED: usize = 256 << 20;
/// Most memory that is reserved because a frame announces its size.
const RESERVED_MAX: usize = 16 << 20;
/// Last version of `LedgerCloseMeta`.
const LAST_VERSION: u32 = 2;
/// Fault of an object that goes on after its last ledger.
const TRAILING: &str = "bytes follow its last ledger";
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
    /// A list or a value that is larger than the network allows.
    #[error("it holds more than a ledger can: {0}")]
    Excessive(String),
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
    let bytes = if bytes.starts_with(&ZSTD_MAGIC) || after_skippable_frame(bytes).is_some() {
        plain = decompress(bytes)?;
        plain.as_slice()
    } else {
        bytes
    };
    decode(bytes, network, verification)
}

/// Decompresses all frames, and compares their checksums.
///
/// # Errors
///
/// [`ObjectError::Compression`] for damaged bytes, and [`ObjectError::TooLarge`] beyond [`MAX_DECOMPRESSED`].
pub fn decompress(mut bytes: &[u8]) -> Result<Vec<u8>, ObjectError> {
    // The decoder's own errors are in terms of its code.
    const DAMAGED: &str = "its zstd frame is damaged or cut short";
    let failed = |reason: &str| ObjectError::Compression(reason.to_owned());
    let mut plain = Vec::new();
    while !bytes.is_empty() {
        if let Some(rest) = after_skippable_frame(bytes) {
            bytes = rest;
            continue;
        }
        let mut frame = StreamingDecoder::new_with_decoder(&mut bytes, FrameDecoder::new())
            .map_err(|_| failed(DAMAGED))?;
        // One byte more than is allowed shows that there are more.
        let room = MAX_DECOMPRESSED.saturating_sub(plain.len()).saturating_add(1);
        // The frame says how large it is, if its writer knew. That is not believed beyond a limit.
        let announced = usize::saturating_from(frame.decoder.content_size());
        plain.reserve(announced.min(RESERVED_MAX));
        let read = frame.by_ref().take(u64::saturating_from(room)).read_to_end(&mut plain);
        read.map_err(|_| failed(DAMAGED))?;
        if plain.len() > MAX_DECOMPRESSED {
            return Err(ObjectError::TooLarge);
        }
        let decoder = frame.into_frame_decoder();
        if !decoder.is_finished() {
            return Err(failed(DAMAGED));
        }
        let claimed = decoder.get_checksum_from_data();
        if claimed.is_some() && claimed != decoder.get_calculated_checksum() {
            return Err(failed("its checksum is wrong"));
        }
    }
    Ok(plain)
}

/// Bytes after the skippable frame that these begin with. None if they begin with another frame, or it is cut short.
fn after_skippable_frame(bytes: &[u8]) -> Option<&[u8]> {
    let (magic, rest) = bytes.split_first_chunk()?;
    let (size, content) = rest.split_first_chunk()?;
    let after = content.get(usize::saturating_from(u32::from_le_bytes(*size))..)?;
    SKIPPABLE_MAGIC.contains(&u32::from_le_bytes(*magic)).then_some(after)
}

type Ledgers = Vec<Result<Ledger, LedgerError>>;

fn decode(bytes: &[u8], network: Network, verification: Verification) -> Result<Ledgers, ObjectError> {
    if bytes.is_empty() {
        return Err(form(&"it is empty"));
    }
    if first_number(bytes).is_some_and(|mark| mark & RECORD_END != 0) {
        return decode_stream(bytes, network, verification);
    }
    // A single ledger begins with its version, which is less than the number of any batch's first ledger.
    let single = first_number(bytes)
        .filter(|version| *version <= LAST_VERSION)
        .map(|_| decode_ledger(bytes, network, verification));
    match single {
        Some(Ok(ledger)) => Ok(vec![ledger]),
        // The first batch of a lake may begin like a ledger that holds too much.
        Some(Err(error @ ObjectError::Excessive(_))) => {
            decode_batch(bytes, network, verification).map_err(|_| error)
        }
        Some(Err(_)) | None => decode_batch(bytes, network, verification),
    }
}

fn decode_ledger(
    bytes: &[u8],
    network: Network,
    verification: Verification,
) -> Result<Result<Ledger, LedgerError>, ObjectError> {
    let mut reader = Reader::of(bytes);
    let ledger = Ledger::read(&mut reader, network, verification).map_err(of_xdr)?;
    if reader.is_at_end() { Ok(ledger) } else { Err(form(&TRAILING)) }
}

fn decode_batch(bytes: &[u8], network: Network, verification: Verification) -> Result<Ledgers, ObjectError> {
    let mut reader = Reader::of(bytes);
    let mut read = || {
        let (start, end) = (reader.read::<u32>()?, reader.read::<u32>()?);
        let mut ledgers = Kept::default();
        reader.each(|reader| ledgers.keep(Ledger::read(reader, network, verification)?))?;
        Ok((start, end, ledgers.ledgers))
    };
    let (start, end, ledgers) = read().map_err(of_xdr)?;
    if reader.is_at_end() { checked_range(start, end, ledgers) } else { Err(form(&TRAILING)) }
}

fn decode_stream(
    mut bytes: &[u8],
    network: Network,
    verification: Verification,
) -> Result<Ledgers, ObjectError> {
    let cut = || form(&"a record is cut");
    let mut ledgers = Kept::default();
    while !bytes.is_empty() {
        let mark = first_number(bytes).filter(|mark| mark & RECORD_END != 0).ok_or_else(cut)?;
        let length = usize::try_from(mark & !RECORD_END).map_err(|_| cut())?;
        let rest = bytes.get(4..).ok_or_else(cut)?;
        let (record, after) = rest.split_at_checked(length).ok_or_else(cut)?;
        ledgers.keep(decode_ledger(record, network, verification)?).map_err(of_xdr)?;
        bytes = after;
    }
    Ok(ledgers.ledgers)
}

/// The ledgers of a batch, if they are those that it announces.
fn checked_range(start: u32, end: u32, ledgers: Ledgers) -> Result<Ledgers, ObjectError> {
    let found = ledgers.iter().map(|ledger| match ledger {
        Ok(ledger) => ledger.sequence,
        Err(error) => error.sequence,
    });
    if start <= end && found.eq(start..=end) { Ok(ledgers) } else { Err(ObjectError::Range { start, end }) }
}

/// Ledgers of an object, with a limit on their trades.
#[derive(Default)]
struct Kept {
    ledgers: Ledgers,
    trades: usize,
}

impl Kept {
    fn keep(&mut self, ledger: Result<Ledger, LedgerError>) -> Result<(), xdr::Error> {
        self.trades += ledger.as_ref().map_or(0, |ledger| ledger.trades.len());
        self.ledgers.push(ledger);
        if self.trades > OBJECT_TRADES_MAX { Err(xdr::Error::LengthExceedsMax) } else { Ok(()) }
    }
}

fn of_xdr(error: xdr::Error) -> ObjectError {
    match error {
        xdr::Error::LengthExceedsMax => ObjectError::Excessive("one of its lists is too long".to_owned()),
        xdr::Error::LengthLimitExceeded => {
            ObjectError::Excessive(format!("one of its values has more than {VALUE_MAX} bytes"))
        }
        error => form(&error),
    }
}

fn form(error: &dyn ToString) -> ObjectError {
    ObjectError::Form(error.to_string())
}

fn first_number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_be_bytes)
}
