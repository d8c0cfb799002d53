//! Output formats: files rendered from a market snapshot, plain and compressed. Pure.

pub mod board;
mod compressed;
mod files;
pub mod legacy;
pub mod listings;
pub mod output;
pub mod pages;
pub mod shown;
#[cfg(test)]
mod test_view;

pub use compressed::{Document, EncodedFile, Plain, Tags, Twins, pieces, write_with_twins};
pub use files::{FileMaker, Files};
