//! PostgreSQL: the only truth. The pool, the schema, the fenced transaction, one file a table.
//!
//! Statements stand in `sql/<table>/<verb>.sql`. They are sent with their types and without names, so they work
//! behind a pooler in transaction mode; nothing depends on session state.

pub mod assets;
pub mod audit;
mod batches;
mod binary;
pub mod books;
pub mod clean;
mod connect;
mod coverage;
mod cursors;
pub mod error;
mod fenced;
pub mod held;
mod ids;
mod lease;
mod listing;
pub mod marks;
mod migrate;
mod network;
mod partitions;
mod pool;
pub mod quarantine;
mod quarantine_limit;
mod refused;
mod requirements;
mod retire;
mod set_aside;
pub mod snapshot;
mod snapshot_read;
mod targets;
mod tls;
pub mod toml_files;
pub mod trades;

pub use error::DbError;
pub use pool::{Database, DatabaseSettings};
