//! The simulated network that most tests run on.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use stellar_ticker::sim::{FaultPlan, SimConfig, SimServer};

pub(crate) const PASSPHRASE: &str = "A network of tests ; November 2026";

/// A simulated network with a ledger of some 20 trades each 0.2 s.
pub(crate) fn network(seed: u64, faults: FaultPlan) -> SimServer {
    let config = SimConfig {
        seed,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 100.0,
        history_hours: 0, // filling history has tests of its own
        ledger_seconds: 0.2,
        stream_poll: Duration::from_millis(50),
        faults,
        ..SimConfig::default()
    };
    horizon(config)
}

pub(crate) fn horizon(config: SimConfig) -> SimServer {
    stellar_ticker::sim::start(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap()
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}
