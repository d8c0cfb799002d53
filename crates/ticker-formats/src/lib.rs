//! Output formats: files rendered from a market snapshot, plain and compressed. Pure.

pub mod board;
mod compression;
mod document;
mod encoded;
mod files;
pub mod legacy;
pub mod listings;
pub mod output;
pub mod pages;
pub mod pieces;
mod piped;
mod rows;
pub mod shown;
#[cfg(test)]
mod test_view;
pub mod twins;

pub use document::{Document, Plain};
pub use encoded::{EncodedFile, Tags};
pub use files::{FileMaker, Files};
