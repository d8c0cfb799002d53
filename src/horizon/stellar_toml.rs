//! Client for stellar.toml files. Anyone may set their URLs, so it never connects to internal addresses.

mod error;
mod exchange;
mod fetch;
mod guard;
mod parse;
mod redirect;
mod resolve;

pub use error::TomlError;
pub use fetch::{CONCURRENT_FETCHES_MAX, FETCH_TIMEOUT, TomlClient, TomlSettings};
pub use guard::{UrlError, host_of, is_public};
pub use parse::{InvalidTomlError, parse};
