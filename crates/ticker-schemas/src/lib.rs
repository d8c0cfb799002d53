//! JSON Schemas of the documents that the ticker serves, and checks of documents by them and against each other. Pure.
//!
//! The schemas are in `docs/schemas/`, for readers too. `stellar-ticker validate` runs the checks on a server.

pub mod agreement;
mod exponent;
pub mod openapi;
mod schema;
mod validator;

pub use schema::{SCHEMAS, Schema};
pub use validator::{SchemaError, Validator, Violation};
