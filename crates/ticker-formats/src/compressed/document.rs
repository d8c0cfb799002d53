//! Document that readers over HTTP ask for: compressed, and plain only while it is small.

mod second_thread;

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::GzEncoder;
use xxhash_rust::xxh3::Xxh3;

use super::{
    published_file::{EncodedFile, Tags},
    settings::{QUICK_GZIP_LEVEL, brotli_encoder, gzip_encoder},
};
use second_thread::piped;

/// Largest document that is kept plain as well. Few readers ask for a larger one without compression, and at 30,000
/// markets the largest has 70 MB.
const PLAIN_BYTES_MAX: usize = 256 * 1024;

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
    /// Not kept: decompressed for each client that accepts no compression.
    Compressed {
        /// Number of its bytes.
        len: usize,
    },
}

impl Document {
    /// Compresses by gzip only: a reader waits, and others may never request this document. Takes milliseconds per
    /// megabyte.
    ///
    /// # Errors
    ///
    /// Errors of the compressor.
    pub fn gzipped(raw: &[u8]) -> io::Result<Self> {
        let mut compressor = Compressor::new();
        compressor.write_all(raw)?;
        compressor.finish()
    }

    /// Compresses by gzip what `render` writes, as it is written: a large document is never plain in memory as a
    /// whole, and is compressed while it is rendered.
    ///
    /// # Errors
    ///
    /// Errors of `render` and of the compressor.
    pub fn written(render: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Self> {
        piped(Compressor::new(), render)?.finish()
    }

    /// Compresses by gzip and brotli. Takes some 20 milliseconds per megabyte.
    ///
    /// # Errors
    ///
    /// Errors of the compressors.
    pub fn with_brotli(raw: &[u8]) -> io::Result<Self> {
        let mut encoder = brotli_encoder();
        encoder.write_all(raw)?;
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

/// Writer that makes a document of the bytes it gets.
struct Compressor {
    gzip: GzEncoder<Vec<u8>>,
    hash: Xxh3,
    /// All bytes so far; empty once there are more than [`PLAIN_BYTES_MAX`].
    plain: Vec<u8>,
    /// Number of bytes so far.
    len: usize,
}

impl Compressor {
    fn new() -> Self {
        Self { gzip: gzip_encoder(QUICK_GZIP_LEVEL), hash: Xxh3::new(), plain: Vec::new(), len: 0 }
    }

    fn finish(mut self) -> io::Result<Document> {
        let mut gzip = self.gzip.finish()?;
        gzip.shrink_to_fit();
        self.plain.shrink_to_fit();
        let tags = Tags::of(&format!("{:032x}", self.hash.digest128()));
        let plain = if self.len <= PLAIN_BYTES_MAX {
            Plain::Kept(self.plain.into())
        } else {
            Plain::Compressed { len: self.len }
        };
        Ok(Document { plain, gzip: gzip.into(), brotli: None, tags })
    }
}

impl Write for Compressor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gzip.write_all(bytes)?;
        self.hash.update(bytes);
        self.len += bytes.len();
        if self.len <= PLAIN_BYTES_MAX {
            self.plain.extend_from_slice(bytes);
        } else {
            self.plain = Vec::new();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
            let document = Document::gzipped(&raw).unwrap();
            assert_eq!(decoded(&document), (raw.clone(), None));
            match &document.plain {
                Plain::Kept(bytes) => {
                    assert_eq!((bytes, len <= PLAIN_BYTES_MAX), (&Bytes::from(raw.clone()), true));
                }
                Plain::Compressed { len: plain } => assert_eq!((*plain, len > PLAIN_BYTES_MAX), (len, true)),
            }
            let both = Document::with_brotli(&raw).unwrap();
            assert_eq!(decoded(&both), (raw.clone(), Some(raw.clone())));
            assert_eq!(both.tags.raw, document.tags.raw);
            let in_pieces =
                Document::written(|out| raw.chunks(1_000).try_for_each(|piece| out.write_all(piece)));
            let in_pieces = in_pieces.unwrap();
            assert_eq!(decoded(&in_pieces).0, raw);
            assert_eq!((&in_pieces.tags.raw, in_pieces.bytes()), (&document.tags.raw, document.bytes()));
            assert_eq!(both.bytes() - document.bytes(), both.brotli.unwrap().len());
        }
    }
}
