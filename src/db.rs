//! PostgreSQL, the only durable state: the pool, the schema, the fenced transaction, and one file per table.
//!
//! Statements are in `sql/<table>/<verb>.sql`. They are sent unnamed and with the types of their parameters, and depend
//! on no session state. So they work behind a pooler in transaction mode.

pub mod assets;

mod batches;
mod binary;
mod book_levels;
pub mod books;
pub mod candles;
mod claim;
pub mod clean;
mod connect;
mod coverage;
mod cursors;
pub mod error;
pub mod examination;
pub mod fault;
mod fenced;
pub mod held;
mod ids;
mod known_days;
mod lease;
mod listing;
mod market_accounts;
pub mod market_assets;
pub mod marks;
mod migrate;
pub mod missed;
mod network;
mod numeric;
pub mod origin;
mod partitions;
mod patience;
mod pool;
pub mod quarantine;
mod quarantine_entry;
mod quarantine_limit;
pub mod recomputation;
mod refused;
mod requirements;
mod retire;
mod set_aside;
pub mod snapshot;
mod symbol_choices;
mod targets;
mod tls;
pub mod toml_files;
pub mod trades;
mod transaction;
mod unconfirmed;
mod unfinished_search;
mod unreachable;

pub use error::DbError;
pub use pool::{Database, DatabaseSettings, PoolUse};
pub use set_aside::SetAside;
pub use targets::shown_database;
