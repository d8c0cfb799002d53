//! A file in the forms that readers take it in, made once a publication.

use std::{io, sync::Arc};

use bytes::Bytes;

use super::pieces::{Brotli, PieceMaker, join};

/// The bytes of one file, plain and compressed. One of many parts is made by [`join`].
#[derive(Clone, Debug)]
pub struct EncodedFile {
    /// As it is.
    pub raw: Bytes,
    /// By gzip.
    pub gzip: Bytes,
    /// By brotli, once that is made.
    pub brotli: Arc<Brotli>,
    /// A hash of the plain bytes in hex, without quotes.
    pub etag: String,
    /// The entity tags of its forms.
    pub tags: Tags,
}

/// Entity tags as HTTP sends them, in quotes. Each form has its own, for its bytes are other ones.
#[derive(Clone, Debug)]
pub struct Tags {
    /// Of the plain bytes.
    pub raw: Bytes,
    /// Of those by gzip.
    pub gzip: Bytes,
    /// Of those by brotli.
    pub brotli: Bytes,
}

impl Tags {
    /// The tags of a file with this hash.
    #[must_use]
    pub fn of(hash: &str) -> Self {
        let tag = |suffix: &str| Bytes::from(format!("\"{hash}{suffix}\""));
        Self { raw: tag(""), gzip: tag("-gz"), brotli: tag("-br") }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &[u8]> + Clone {
        [&self.raw, &self.gzip, &self.brotli].into_iter().map(|tag| tag.as_ref())
    }
}

impl EncodedFile {
    /// Compresses and hashes a file as a whole, in all forms. Takes milliseconds a megabyte: not for an actor's own thread.
    ///
    /// # Errors
    ///
    /// What the compressor said.
    pub fn encode(raw: Vec<u8>) -> io::Result<Self> {
        let piece = PieceMaker::default().make(&raw)?;
        let file = join(raw, vec![piece]);
        file.brotli.make();
        Ok(file)
    }
}
