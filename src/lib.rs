//! The Stellar ticker: market data of Stellar's built-in exchange.
//!
//! `ARCHITECTURE.md` describes the layers and the allowed imports. `tests/architecture.rs` enforces them.

pub mod actors;
pub mod app;
pub mod audit;
pub mod blocking;
pub mod cli;
pub mod config;
pub mod connection_string;
pub mod db;
pub mod horizon;
pub mod http;
pub mod init;
pub mod instruments;
pub mod lake;
pub mod otlp;
pub mod outbound;
pub mod process;
pub mod published;
pub mod shutdown;
pub mod steps;
pub mod telemetry;
pub mod traces;
pub mod trouble;

pub use actor_tree::clock;
pub use horizon_sim as sim;
pub use ticker_domain as domain;
