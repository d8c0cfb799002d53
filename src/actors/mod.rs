//! The actors: everything that runs on and on, each supervised, each with a mailbox.
//!
//! To follow a message: [`messages`] says what there is, [`envelope`] what it travels in, [`port`] how it is sent;
//! the handlers are in the file of the actor that is named like what it does. Actors know each other only as ports.

pub mod aggregator;
pub mod asset_poller;
pub mod auditor;
pub mod backfiller;
pub mod cleaner;
pub mod envelope;
pub mod intake;
pub mod json_writer;
pub mod leadership;
pub mod lease_keeper;
pub mod messages;
pub mod network_check;
pub mod nginx_process;
pub mod orderbook_poller;
pub mod outage;
pub mod poll_error;
pub mod port;
pub mod ranking;
pub mod stream_ingester;
pub mod supervision;
pub mod supervisor;
pub mod test_hooks;
pub mod timetable;
pub mod toml_checker;
pub mod trade_writer;
pub mod worker;
