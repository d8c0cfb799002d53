//! Outbound connections: name resolution, dialling, and reading and decoding of responses.
//!
//! No lookup and no connection attempt occupies a thread. Dropping its future cancels it.

pub mod body;
pub mod coding;
pub mod connector;
pub mod dial;
pub mod passed_over;
pub mod resolver;
pub mod retry;
pub mod roots;
pub mod tls;
pub mod until_close;
pub mod watched;

pub use connector::TcpDialler;
pub use dial::{dial, dialling_order};
pub use passed_over::PassedOver;
pub use resolver::Resolver;
pub use watched::{SilenceGuard, Watched};
