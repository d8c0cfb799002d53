//! The integration tests: one binary, one module a subject.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::as_conversions,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests may fail loudly"
)]

mod alerts;
mod chaos;
mod cli;
mod config;
mod database;
mod doctor;
mod end_to_end;
mod fixtures;
mod golden;
mod horizon;
mod hostile;
mod init;
mod lake;
mod lake_places;
mod ledger_metadata;
mod listings;
mod live;
mod log;
mod matrix;
mod metrics;
mod nginx;
mod old_ticker;
mod otlp;
mod pages;
mod private_postgres;
mod replicas;
mod sim;
mod supervision;
mod support;
mod tracing;
mod upgrades;
