//! The parts of supervision: what is decided (`policy`, `probe`: pure), what is told (`messages`, `status`, `report`,
//! `stats`, `queue`, `thread_time`), and what runs an actor over all of its incarnations (`child`, `tree`).

mod child;
pub mod messages;
pub mod policy;
pub mod probe;
pub mod queue;
pub mod report;
pub mod stats;
pub mod status;
pub mod thread_time;
pub mod tree;
