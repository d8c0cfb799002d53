//! The simulated network that most tests run on.

use std::{
    io::{ErrorKind, Write},
    net::{Ipv4Addr, SocketAddr},
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

use stellar_ticker::sim::{FaultPlan, SimConfig, SimServer};

use super::{by_hand, wait_until};

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
    horizon_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), config)
}

/// A simulated Horizon at the address of one that was stopped. A process that another test has just started may still
/// hold the port.
pub(crate) fn horizon_at(address: SocketAddr, config: SimConfig) -> SimServer {
    let mut started = None;
    wait_until("the address is free", || {
        match stellar_ticker::sim::start(config.clone(), address) {
            Ok(sim) => started = Some(sim),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => panic!("{error}"),
        }
        started.is_some()
    });
    started.unwrap()
}

/// Runs an async test. A test that never ends would hold up the whole suite, so after `TICKER_TEST_SECONDS_MAX` it ends
/// the suite. `./ticker test` sets that; tests that are run by hand may be long.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let (_ends_with_test, ended) = mpsc::channel::<()>();
    let seconds = by_hand("TICKER_TEST_SECONDS_MAX", u64::from(u32::MAX));
    std::thread::spawn(move || {
        let is_late = ended.recv_timeout(Duration::from_secs(seconds)) == Err(RecvTimeoutError::Timeout);
        if is_late {
            // The harness would hold back what `eprintln` prints.
            let _ = writeln!(std::io::stderr(), "\nthe test {test} has not ended after {seconds} s");
            std::process::exit(101);
        }
    });
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}
