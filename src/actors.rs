//! The actors of the daemon. Each is supervised and has a mailbox.
//!
//! To follow a message: [`messages`] defines it, [`envelope`] carries it, [`port`] sends it, and the file named after
//! the receiving actor handles it. Actors know each other only by ports.

pub mod aggregator;
pub mod asset_patience;
pub mod asset_poller;
pub mod auditor;
pub mod backfiller;
pub mod book_fetcher;
mod book_reading;
pub mod candle_keeper;
pub mod cleaner;
pub mod disk_error;
pub mod intake;
mod joint_health;
pub mod json_writer;
pub mod lake_follower;
pub mod lake_reader;
pub mod lake_timeouts;
pub mod leadership;
pub mod lease_keeper;
pub mod messages;
pub mod network_check;
mod network_watch;
pub mod newest_page;
pub mod nginx_process;
pub mod orderbook_poller;
pub mod outage;
pub mod poll_error;
pub mod ranking;
pub mod receivers;
pub mod services;
pub mod stream_ingester;
pub mod subjects;
pub mod test_hooks;
pub mod timetable;
pub mod timings;
pub mod toml_checker;
pub mod trace_exporter;
pub mod trade_writer;
pub mod unfit;
pub mod wiring;
pub mod worker;

pub use actor_tree::{envelope, port, supervision, supervisor, trace};
