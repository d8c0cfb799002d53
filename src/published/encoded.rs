//! A file in the forms that readers take it in, made once a publication.

use std::sync::Arc;

use bytes::Bytes;

use super::pieces::Brotli;

/// The bytes of one file, plain and compressed. Made by [`super::pieces::join`].
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
