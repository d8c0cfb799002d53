//! Record of the messages of a process: sender, receiver, cause, and the time that each part took.
//!
//! A message is recorded when its handling ends, a [`step`] of work when it ends. [`recorder`] keeps the newest records
//! in memory. Bodies are never recorded, only the numbers that [`subject`] allows.

pub mod context;
pub mod crash;
pub mod flow;
pub mod rates;
pub mod record;
pub mod recorder;
mod ring;
pub mod step;
pub mod subject;
pub mod view;
