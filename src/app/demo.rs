//! The simulated Horizon: alone, or with the daemon on it.

use std::net::{Ipv4Addr, SocketAddr};

use tracing::info;

use super::{Failure, daemon, signals::Signals};
use crate::{
    config::{Config, HorizonSimOptions, SimulationOptions},
    sim::{FaultPlan, SimConfig, SimServer, start},
};

/// How often a random fault strikes, of all requests.
const FAULT_RATE: f64 = 0.05;

/// A simulated Horizon in this process, and the daemon on it.
pub(super) fn demo(mut config: Config, simulation: &SimulationOptions) -> Result<u8, Failure> {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = serve(loopback, &config.network_passphrase, simulation)?;
    config.horizon_url = server.url();
    config.toml_gateway = Some(format!("{}/_toml", server.url()));
    config.horizon_requests_per_hour = 0; // it is ours alone
    info!(
        horizon = config.horizon_url,
        read = format!("http://{}/markets.json", config.bind),
        file = %config.output_dir.join("markets.json").display(),
        "the demo: a simulated network, no real trades"
    );
    let ended = daemon::serve(config);
    server.stop();
    ended
}

/// The simulated Horizon alone, until a signal.
pub(super) fn horizon_sim(options: &HorizonSimOptions) -> Result<u8, Failure> {
    let server = serve(options.bind, &options.network_passphrase, &options.simulation)?;
    info!(
        url = server.url(),
        toml_gateway = format!("{}/_toml", server.url()),
        "the simulated Horizon is there"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Software(error.to_string()))?;
    let signal = runtime.block_on(async { Ok::<_, Failure>(Signals::listen()?.next().await) })?;
    info!(signal, "stopping");
    server.stop();
    Ok(0)
}

fn serve(bind: SocketAddr, passphrase: &str, simulation: &SimulationOptions) -> Result<SimServer, Failure> {
    let config = SimConfig {
        seed: simulation.seed,
        network_passphrase: passphrase.to_owned(),
        trades_per_second: f64::from(simulation.trades_per_second),
        history_hours: simulation.history_hours,
        ledger_seconds: simulation.ledger_interval.as_secs_f64(),
        stream_poll: std::time::Duration::from_millis(250),
        faults: if simulation.faults {
            FaultPlan::random(simulation.seed, FAULT_RATE)
        } else {
            FaultPlan::none()
        },
        ..SimConfig::default()
    };
    start(config, bind)
        .map_err(|error| Failure::Unavailable(format!("the simulated Horizon at {bind}: {error}")))
}
