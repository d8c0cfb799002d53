//! Daemons with a private PostgreSQL.

use std::path::Path;

use nix::unistd::Pid;

use super::{daemon::Daemon, network::PASSPHRASE};
use stellar_ticker::sim::SimServer;

/// Starts a daemon with a private PostgreSQL, which reads this network without a budget.
pub(crate) fn serve(sim: &SimServer, more: &[&str], environment: &[(&str, &str)]) -> Daemon {
    let (url, gateway) = (sim.url(), format!("{}/_toml", sim.url()));
    let mut arguments = vec!["serve", "--horizon-url", &url, "--toml-gateway", &gateway];
    arguments.extend(["--network", PASSPHRASE, "--horizon-requests-per-hour", "0"]);
    arguments.extend(more);
    Daemon::start_in(&arguments, environment)
}

/// Process of the server that runs on this cluster; none between two.
pub(crate) fn postmaster(cluster: &Path) -> Option<Pid> {
    let file = std::fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
    file.lines().next()?.parse().ok().map(Pid::from_raw)
}
