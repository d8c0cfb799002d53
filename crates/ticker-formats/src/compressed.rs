//! Compression of everything that is served: each of these files makes gzip and brotli forms at another moment.

mod document;
mod published_file;
mod settings;
mod while_written;

pub use document::{Document, Plain};
pub use published_file::{EncodedFile, Tags, pieces};
pub(crate) use published_file::{
    pieces::Piece,
    rows::{RowKey, Rows},
};
pub use while_written::{Twins, write_with_twins};
