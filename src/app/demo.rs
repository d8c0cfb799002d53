//! The commands `demo` and `horizon-sim`: the simulated Horizon, with the daemon on it or alone.

use std::{
    io::{IsTerminal, Write},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use tracing::info;

use super::{
    CommandError,
    daemon::{self, public_url},
    output,
    signals::Signals,
};
use crate::{
    blocking,
    config::{Config, HorizonSimOptions, LogFormat, SimulationOptions},
    sim::{FaultPlan, SimConfig, SimServer, lake::SimLake, start},
};

/// Interval at which the lake is extended.
const LAKE_INTERVAL: Duration = Duration::from_millis(250);
/// Ledgers of the lake between two log lines.
const LAKE_LEDGERS_AT_ONCE: u32 = 1_000;
/// Share of all requests that a random fault hits, if faults are on.
const FAULT_RATE: f64 = 0.05;

/// Runs a simulated Horizon in this process and the daemon on it. Returns the daemon's exit code.
pub(super) fn demo(
    mut config: Config,
    simulation: &SimulationOptions,
    signals: Option<Signals>,
) -> Result<u8, CommandError> {
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = serve(loopback, &config.network_passphrase, simulation)?;
    config.horizon_url = server.url();
    config.toml_gateway = Some(format!("{}/_toml", server.url()));
    welcome(&config);
    let ended = daemon::serve(config, signals);
    server.stop();
    ended
}

/// Announces the start: a text for people if the log is text, otherwise one log event.
fn welcome(config: &Config) {
    let is_text = match config.log_format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let file = config.output_dir.join("markets.json");
    if is_text {
        // A closed standard error does not prevent the start.
        let _ =
            std::io::stderr().write_all(welcome_text(config.bind, &file.display().to_string()).as_bytes());
    } else {
        info!(
            horizon = config.horizon_url,
            url = public_url(config.bind),
            file = %file.display(),
            "demo started: simulated trades only"
        );
    }
}

fn welcome_text(bind: SocketAddr, file: &str) -> String {
    let url = match bind.port() {
        0 => "the URL that is logged below".to_owned(),
        _ => public_url(bind),
    };
    format!(
        "\nThe demo: a simulated Stellar network, a private PostgreSQL and the ticker. No real trades.\n\n  \
         open   {url} in a browser\n         \
         (data: /markets.json, /assets.json; explorer and API: /graphiql, /docs)\n  \
         file   {file}\n  \
         stop   Ctrl-C; the next start keeps the data\n\n\
         The log follows. The figures are there once it says `published`, within a minute.\n\n"
    )
}

/// Runs the simulated Horizon alone until a signal stops it.
pub(super) fn horizon_sim(options: &HorizonSimOptions, signals: Option<Signals>) -> Result<u8, CommandError> {
    let server = serve(options.bind, &options.network_passphrase, &options.simulation)?;
    info!(url = server.url(), toml_gateway = format!("{}/_toml", server.url()), "simulated Horizon started");
    info!(lake_url = format!("{}/lake", server.url()), "the same trades are served as a data lake");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CommandError::Software(error.to_string()))?;
    let signal = runtime.block_on(async {
        let mut signals = signals.map_or_else(Signals::listen, Ok)?;
        match &options.lake_dir {
            None => Ok(signals.next().await),
            Some(directory) => tokio::select! {
                signal = signals.next() => Ok(signal),
                failed = write_lake(server.lake(), directory) => Err(failed),
            },
        }
    })?;
    info!(signal, "stopping");
    server.stop();
    Ok(0)
}

/// Writes all ledgers as a lake, and each further one when it closes. Returns only if the directory cannot be written.
async fn write_lake(lake: &SimLake, directory: &Path) -> CommandError {
    let mut next = lake.chain().first();
    loop {
        let latest = lake.chain().simulation().head().latest;
        let last = latest.min(next.saturating_add(LAKE_LEDGERS_AT_ONCE));
        let (writing, path) = (lake.clone(), directory.to_owned());
        let written = blocking::run(move || writing.write_to(&path, next, last)).await;
        match written {
            Ok(Ok(())) if last < latest => info!(ledger = last, newest = latest, "writing the lake"),
            Ok(Ok(())) => tokio::time::sleep(LAKE_INTERVAL).await,
            Ok(Err(error)) => return output::unwritable("--lake-dir", directory, &error),
            Err(error) => return CommandError::Software(error.to_string()),
        }
        // An object of several ledgers is complete only with its last one, so begin at its first one again.
        next = lake.batch_of(last.saturating_add(1)).0.max(lake.chain().first());
    }
}

fn serve(
    bind: SocketAddr,
    passphrase: &str,
    simulation: &SimulationOptions,
) -> Result<SimServer, CommandError> {
    let config = SimConfig {
        seed: simulation.seed,
        network_passphrase: passphrase.to_owned(),
        trades_per_second: f64::from(simulation.trades_per_second),
        history_hours: simulation.history_hours,
        ledger_seconds: simulation.ledger_interval.as_secs_f64(),
        stream_poll: Duration::from_millis(250),
        faults: if simulation.faults {
            FaultPlan::random(simulation.seed, FAULT_RATE)
        } else {
            FaultPlan::none()
        },
        ..SimConfig::default()
    };
    start(config, bind)
        .map_err(|error| CommandError::Unavailable(format!("the simulated Horizon at {bind}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `./ticker demo` keeps its data there.
    #[test]
    fn the_readme_shows_the_first_screen() {
        let text = welcome_text("127.0.0.1:8080".parse().unwrap(), "./data/demo/www/markets.json");
        let readme = include_str!("../../README.md");
        assert!(readme.contains(&format!("```\n{}\n```", text.trim())), "README.md lacks: {text}");
    }

    #[test]
    fn the_first_screen_says_what_to_open_and_how_to_stop() {
        let text = welcome_text("0.0.0.0:8080".parse().unwrap(), "data/demo/www/markets.json");
        for part in
            ["open   http://127.0.0.1:8080/ in a browser\n", "file   data/demo/www/markets.json\n", "Ctrl-C"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.lines().count() <= 12 && text.lines().all(|line| line.len() <= 100), "{text}");
        let unknown = welcome_text("127.0.0.1:0".parse().unwrap(), "f");
        assert!(!unknown.contains(":0") && unknown.contains("logged below"), "{unknown}");
    }
}
