//! Simulated Horizon for `horizon-sim`, `demo`, the tests and the benches.
//!
//! ```text
//! config     configuration: rate, history, markets, limits, clock
//! model      ids, assets and trades as plain typed data, for oracles
//! network    a ledger number -> its trades; nothing is stored (generator, layout, markets, catalog, timeline)
//! fixed      scripted data instead of generated data
//! simulation common interface of both, and the oracle
//! render     records as JSON, written by hand
//! faults     fault injection, scripted or random
//! lake       the same trades as ledger metadata, with correct hashes
//! server     HTTP: pages, streams, TOML files
//! ```
//!
//! The generated network is a pure function. A ledger's number seeds a ChaCha stream, in which every trade has one
//! block. Any page of history is rendered without storing or replaying anything. The same seed, anchor and rate give
//! the same records on every run and machine.

mod asset_cursor;
mod asset_json;
mod book;
mod catalog;
pub mod config;
pub mod faults;
pub mod fixed;
mod generator;
pub mod lake;
mod layout;
mod markets;
pub mod model;
mod num;
mod protocol;
mod render;
mod render_asset;
pub mod server;
pub mod simulation;
mod timeline;

pub use config::{Burst, ManualTime, SimClock, SimConfig};
pub use faults::{Endpoint, Fault, FaultPlan};
pub use fixed::FixedSource;
pub use model::{SimSide, SimTrade, TomlReply, TradeId, TradeKind};
pub use server::{SimServer, start};
pub use simulation::{Head, Simulation};
