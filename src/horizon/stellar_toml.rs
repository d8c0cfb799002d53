//! stellar.toml files: addresses that strangers wrote, fetched so that nothing inside can be reached by them.

mod exchange;
mod fetch;
mod guard;
mod parse;
mod redirect;
mod resolve;

pub use fetch::{AT_ONCE, TomlClient, TomlError, TomlSettings};
pub use guard::{Refused, is_public};
pub use parse::{NoToml, parse};
