//! Upstream: everything that knows Horizon's protocol.
//!
//! `sse`, `wire`, `budget` and `stream_cost` are pure. `client` sends requests, `rate_limiter` decides when, and
//! `stellar_toml` fetches files from the hosts that issuers name. Wrong data from outside is a value
//! ([`wire::RecordError`]), never a panic.

pub mod budget;
pub mod client;
mod connections;
pub mod error;
pub mod network_state;
pub mod outage;
mod problem;
pub mod rate_limiter;
mod reply;
pub mod sse;
pub mod stellar_toml;
pub mod stream;
mod stream_cost;
pub mod wire;

pub use client::HorizonClient;
pub use error::HorizonError;
