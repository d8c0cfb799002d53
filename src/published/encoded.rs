//! A file in the forms that readers take it in, made once a publication.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use xxhash_rust::xxh3::xxh3_128;

/// Fast enough to be made each second, and about as small as the higher levels make JSON of figures.
const GZIP_LEVEL: u32 = 5;
/// Brotli's quality of 0 to 11; 5 costs about what gzip does.
const BROTLI_QUALITY: u32 = 5;
/// Brotli's window, as a power of 2.
const BROTLI_WINDOW: u32 = 22;
/// Buffer of the brotli encoder.
const BROTLI_BUFFER: usize = 64 * 1024;

/// The bytes of one file, plain and compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedFile {
    /// As it is.
    pub raw: Bytes,
    /// By gzip.
    pub gzip: Bytes,
    /// By brotli.
    pub brotli: Bytes,
    /// A hash of the plain bytes in hex, without quotes.
    pub etag: String,
}

impl EncodedFile {
    /// Compresses and hashes `raw`. Takes milliseconds a megabyte: not for an actor's own thread.
    pub fn encode(raw: Vec<u8>) -> io::Result<Self> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL));
        gzip.write_all(&raw)?;
        let mut brotli =
            brotli::CompressorWriter::new(Vec::new(), BROTLI_BUFFER, BROTLI_QUALITY, BROTLI_WINDOW);
        brotli.write_all(&raw)?;
        brotli.flush()?;
        Ok(Self {
            etag: format!("{:032x}", xxh3_128(&raw)),
            gzip: gzip.finish()?.into(),
            brotli: brotli.into_inner().into(),
            raw: raw.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn all_forms_hold_the_same_bytes() {
        let raw = "{\"pairs\": []}".repeat(500).into_bytes();
        let file = EncodedFile::encode(raw.clone()).unwrap();
        let mut unzipped = Vec::new();
        flate2::read::GzDecoder::new(&file.gzip[..]).read_to_end(&mut unzipped).unwrap();
        let mut unbrotlied = Vec::new();
        brotli::Decompressor::new(&file.brotli[..], 4_096).read_to_end(&mut unbrotlied).unwrap();
        assert_eq!((unzipped, unbrotlied), (raw.clone(), raw.clone()));
        assert!(file.gzip.len() < raw.len() / 10 && file.brotli.len() < raw.len() / 10);
        assert_eq!(file.etag, EncodedFile::encode(raw).unwrap().etag);
        assert_ne!(file.etag, EncodedFile::encode(b"other".to_vec()).unwrap().etag);
    }
}
