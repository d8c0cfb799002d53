//! Settings of the compressors.

use brotli::{CompressorWriter, enc::BrotliEncoderParams};
use flate2::{Compression, write::GzEncoder};

/// Gzip level of files: fast enough for every second, and for JSON of figures nearly as small as the higher levels.
pub(super) const GZIP_LEVEL: u32 = 5;
/// Gzip level of documents. A reader waits for the document: level 5 makes the largest one 13
/// % smaller, but takes longer.
pub(super) const QUICK_GZIP_LEVEL: u32 = 2;
/// Brotli quality, of 0 to 11. 5 costs about as much as gzip.
const BROTLI_QUALITY: i32 = 5;
/// Brotli window, as a power of 2. All pieces of a file must have the same.
const BROTLI_WINDOW: i32 = 22;
/// Buffer size of the brotli encoder, in bytes.
pub(super) const BROTLI_BUFFER: usize = 16 * 1024;

/// Settings of the brotli encoder for a whole file.
pub(super) fn brotli_params() -> BrotliEncoderParams {
    BrotliEncoderParams { quality: BROTLI_QUALITY, lgwin: BROTLI_WINDOW, ..BrotliEncoderParams::default() }
}

/// Brotli encoder for a whole file.
pub(super) fn brotli_encoder() -> CompressorWriter<Vec<u8>> {
    CompressorWriter::with_params(Vec::new(), BROTLI_BUFFER, &brotli_params())
}

/// Gzip encoder for a whole file.
pub(super) fn gzip_encoder(level: u32) -> GzEncoder<Vec<u8>> {
    GzEncoder::new(Vec::new(), Compression::new(level))
}
