//! The old ticker's files, byte for byte, mistakes included: their readers' code relies on both.

pub mod assets_json;
pub mod markets_json;
