//! Upstream: everything that knows how Horizon speaks.
//!
//! `sse`, `wire`, `budget` and `retry` are pure; `client` does the talking, `limiter` says when, and `stellar_toml`
//! talks to the hosts that issuers name. What comes from outside and is wrong is a value ([`wire::Refused`]), never a
//! panic.

pub mod budget;
pub mod client;
mod connections;
pub mod error;
pub mod outage;
mod problem;
pub mod rate_limiter;
pub mod retry;
pub mod sse;
pub mod stellar_toml;
pub mod stream;
pub mod tls;
pub mod wire;

pub use client::HorizonClient;
pub use error::HorizonError;
