//! Published file in all its encodings, made once per publication.

use std::{io, sync::Arc};

use bytes::Bytes;

use super::pieces::{Brotli, PieceMaker, join};

/// Bytes of one file, plain and compressed. [`join`] builds it from pieces.
#[derive(Clone, Debug)]
pub struct EncodedFile {
    /// Plain bytes.
    pub raw: Bytes,
    /// Bytes compressed by gzip.
    pub gzip: Bytes,
    /// Bytes compressed by brotli, made on demand.
    pub brotli: Arc<Brotli>,
    /// Hash of the plain bytes in hex, without quotes.
    pub etag: String,
    /// Entity tags of the encodings.
    pub tags: Tags,
}

/// Entity tags as HTTP sends them, in quotes. Each encoding has its own, because its bytes differ.
#[derive(Clone, Debug)]
pub struct Tags {
    /// Tag of the plain bytes.
    pub raw: Bytes,
    /// Tag of the gzip bytes.
    pub gzip: Bytes,
    /// Tag of the brotli bytes.
    pub brotli: Bytes,
}

impl Tags {
    /// Tags of a file with this hash.
    #[must_use]
    pub fn of(hash: &str) -> Self {
        let tag = |suffix: &str| Bytes::from(format!("\"{hash}{suffix}\""));
        Self { raw: tag(""), gzip: tag("-gz"), brotli: tag("-br") }
    }

    /// All tags.
    pub fn all(&self) -> impl Iterator<Item = &[u8]> + Clone {
        [&self.raw, &self.gzip, &self.brotli].into_iter().map(|tag| tag.as_ref())
    }
}

impl EncodedFile {
    /// Compresses and hashes a whole file in all encodings. Takes milliseconds per megabyte: do not call it on an
    /// actor's thread.
    ///
    /// # Errors
    ///
    /// Errors of the compressor.
    pub fn encode(raw: Vec<u8>) -> io::Result<Self> {
        let file = Self::gzipped(raw)?;
        file.brotli.make();
        Ok(file)
    }

    /// Same as [`Self::encode`] without brotli: for a reader who waits for a document that others may never ask for.
    ///
    /// # Errors
    ///
    /// Errors of the compressor.
    pub fn gzipped(raw: Vec<u8>) -> io::Result<Self> {
        let piece = PieceMaker::default().make(&raw)?;
        Ok(join(raw, vec![piece]))
    }
}
