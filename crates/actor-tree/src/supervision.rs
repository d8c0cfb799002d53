//! Parts of supervision. `policy` and `probe` decide and are pure. `messages`, `status`, `report`, `stats`,
//! `queue`, `thread_time` and `tree_status` hold what is known. `child` and `tree` run the actors, and
//! `running` is a child as the supervisor sees it.

mod child;
mod incarnation;
pub mod messages;
pub mod policy;
pub mod probe;
pub mod queue;
pub mod report;
pub(crate) mod running;
pub mod stats;
pub mod status;
pub(crate) mod thread_time;
pub mod tree;
pub mod tree_status;
