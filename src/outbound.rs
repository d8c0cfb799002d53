//! Connections to others: names, addresses, and the decoding of what comes back.
//!
//! No lookup and no attempt keeps a thread. Dropping the future that waits for one ends it.

pub mod coding;
pub mod connector;
pub mod dial;
pub mod names;
pub mod roots;
pub mod until_close;

pub use connector::TcpDialler;
pub use dial::dial;
pub use names::Names;
