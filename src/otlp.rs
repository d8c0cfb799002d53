//! Export of recorded messages and steps as spans over OTLP/HTTP with protobuf.

mod client;
mod spans;

pub use client::{Client, ExportError};
pub use spans::{is_sampled, request};
