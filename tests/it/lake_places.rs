//! Places of lakes: a server behind TLS, and a directory that grows.

mod tls;
mod written;

use std::time::{Duration, Instant};

use crate::support::{
    DEADLINE,
    daemon::{Daemon, run, spawn},
    network::{PASSPHRASE, block_on, horizon},
    oracle::compare_at_least,
    postgres::fresh_database,
    progress::{number, wait_for_trades},
    recomputation, wait_until,
};
