//! The integration tests: one binary, one module a subject.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests may fail loudly")]

mod private_postgres;
mod support;
