//! Metrics: one table of all of them, their recorder, and their text for Prometheus.
//!
//! Code counts with the macros of the crate `metrics`, by the names in [`table`]. A test compares both directions, so
//! that no metric lacks a help text and none in the table is dead. `docs/metrics.md` is made from the same table.

mod document;
mod exposition;
mod metric;
pub mod process;
pub mod table;

pub use document::document;
pub use exposition::{Exposition, InstallError, float_counter};
pub use metric::{Kind, Label, Metric, Unit};
