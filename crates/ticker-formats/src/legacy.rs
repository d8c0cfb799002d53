//! Files of the old ticker, byte for byte with its mistakes, because their readers rely on both.

pub mod assets_json;
pub mod markets_json;
