//! Trades out of ledger metadata.
//!
//! Horizon computes the trades that it serves from `LedgerCloseMeta`. Data lakes (SEP-54) and Stellar RPC publish that
//! metadata. This crate decodes it, verifies it and derives the same trades by the same rules. It is pure: bytes in,
//! values out. It panics on no input, and it is the only crate of the program that knows the XDR types.
//!
//! * [`read_object`]: one object of a lake, or any file of `LedgerCloseMeta`, to verified [`Ledger`]s.
//! * [`decompress`]: the bytes of an object, without decoding them.
//! * [`Manifest`]: the manifest of a lake, and the keys of its objects.
//!
//! Sources of the rules: SEP-54, Horizon's `trades_processor.go`, and stellar-core's `Stellar-ledger.x`.

mod applied;
mod claims;
mod common_changes;
mod diagnostics;
mod error;
mod hashes;
mod key;
mod ledger;
mod limits;
mod maker_price;
mod manifest;
mod object;
mod reader;
mod trade;
mod transaction_set;
mod walk;

pub use error::{LedgerContentError, LedgerError};
pub use hashes::{Hash, Network};
pub use key::{AccountKey, ClaimedAsset};
pub use ledger::{Ledger, Verification};
pub use manifest::{Manifest, ManifestError};
pub use object::{MAX_DECOMPRESSED, ObjectError, decompress, read_object};
pub use trade::{ClaimedAmount, LedgerTrade, Maker};
