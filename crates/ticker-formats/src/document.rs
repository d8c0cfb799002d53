//! Document that readers over HTTP ask for: compressed, and plain only while it is small.

use std::io::{self, Write as _};

use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use xxhash_rust::xxh3::xxh3_128;

use super::encoded::{EncodedFile, Tags};

/// Largest document that is kept plain as well. Few readers ask for a larger one without compression, and at 30,000
/// markets the largest has 70 MB.
const PLAIN_BYTES_MAX: usize = 256 * 1024;
/// Gzip level. A reader waits for the document: level 5 makes the largest one 13 % smaller, but takes longer.
const GZIP_LEVEL: u32 = 2;
/// Brotli quality, of 0 to 11.
const BROTLI_QUALITY: i32 = 5;
/// Buffer size of the brotli encoder, in bytes.
const BROTLI_BUFFER: usize = 16 * 1024;

/// Bytes of one document, compressed.
#[derive(Clone, Debug)]
pub struct Document {
    /// Plain form.
    pub plain: Plain,
    /// Bytes compressed by gzip.
    pub gzip: Bytes,
    /// Bytes compressed by brotli, if many readers want them.
    pub brotli: Option<Bytes>,
    /// Entity tags of the encodings.
    pub tags: Tags,
}

/// Plain form of a document.
#[derive(Clone, Debug)]
pub enum Plain {
    /// Its bytes.
    Kept(Bytes),
    /// It is decompressed for each reader who wants it.
    Compressed {
        /// Number of its bytes.
        len: usize,
    },
}

impl Document {
    /// Compresses by gzip: for a reader who waits for a document that others may never ask for. Takes milliseconds per
    /// megabyte.
    ///
    /// # Errors
    ///
    /// Errors of the compressor.
    pub fn gzipped(raw: Vec<u8>) -> io::Result<Self> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL));
        encoder.write_all(&raw)?;
        let mut gzip = encoder.finish()?;
        gzip.shrink_to_fit();
        let tags = Tags::of(&format!("{:032x}", xxh3_128(&raw)));
        let plain = if raw.len() <= PLAIN_BYTES_MAX {
            Plain::Kept(raw.into())
        } else {
            Plain::Compressed { len: raw.len() }
        };
        Ok(Self { plain, gzip: gzip.into(), brotli: None, tags })
    }

    /// Compresses by gzip and brotli. Takes some 20 milliseconds per megabyte.
    ///
    /// # Errors
    ///
    /// Errors of the compressors.
    pub fn with_brotli(raw: Vec<u8>) -> io::Result<Self> {
        let params = BrotliEncoderParams { quality: BROTLI_QUALITY, ..BrotliEncoderParams::default() };
        let mut encoder = brotli::CompressorWriter::with_params(Vec::new(), BROTLI_BUFFER, &params);
        encoder.write_all(&raw)?;
        let mut brotli = encoder.into_inner();
        brotli.shrink_to_fit();
        Ok(Self { brotli: Some(brotli.into()), ..Self::gzipped(raw)? })
    }

    /// Number of bytes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let plain = match &self.plain {
            Plain::Kept(bytes) => bytes.len(),
            Plain::Compressed { .. } => 0,
        };
        plain + self.gzip.len() + self.brotli.as_ref().map_or(0, Bytes::len)
    }
}

impl From<&EncodedFile> for Document {
    fn from(file: &EncodedFile) -> Self {
        Self {
            plain: Plain::Kept(file.raw.clone()),
            gzip: file.gzip.clone(),
            brotli: file.brotli.made().cloned(),
            tags: file.tags.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn decoded(document: &Document) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut unzipped = Vec::new();
        flate2::read::GzDecoder::new(&document.gzip[..]).read_to_end(&mut unzipped).unwrap();
        let unbrotlied = document.brotli.as_ref().map(|brotli| {
            let mut bytes = Vec::new();
            brotli::Decompressor::new(&brotli[..], 4_096).read_to_end(&mut bytes).unwrap();
            bytes
        });
        (unzipped, unbrotlied)
    }

    #[test]
    fn all_forms_hold_the_same_bytes_and_only_a_small_document_is_kept_plain() {
        for len in [0, 1, PLAIN_BYTES_MAX, PLAIN_BYTES_MAX + 1] {
            let raw: Vec<u8> = b"{\"pair\": 1},".iter().copied().cycle().take(len).collect();
            let document = Document::gzipped(raw.clone()).unwrap();
            assert_eq!(decoded(&document), (raw.clone(), None));
            match &document.plain {
                Plain::Kept(bytes) => {
                    assert_eq!((bytes, len <= PLAIN_BYTES_MAX), (&Bytes::from(raw.clone()), true));
                }
                Plain::Compressed { len: plain } => assert_eq!((*plain, len > PLAIN_BYTES_MAX), (len, true)),
            }
            let both = Document::with_brotli(raw.clone()).unwrap();
            assert_eq!(decoded(&both), (raw.clone(), Some(raw)));
            assert_eq!(both.tags.raw, document.tags.raw);
            assert_eq!(both.bytes() - document.bytes(), both.brotli.unwrap().len());
        }
    }
}
