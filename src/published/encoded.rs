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
