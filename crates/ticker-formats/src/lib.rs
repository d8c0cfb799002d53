//! Output formats: bytes made of a market snapshot, plain and compressed. Pure.

mod encoded;
mod files;
pub mod legacy;
pub mod pieces;
mod rows;

pub use encoded::{EncodedFile, Tags};
pub use files::{FileMaker, Files};
