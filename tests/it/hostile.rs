//! Input of strangers, which must not disturb other readers. `docs/reliability.md` quotes what each test prints.

mod clock;
mod descriptors;
pub(crate) mod graphql;
mod http;
mod pipelined;
mod roles;
mod secrets;
mod send_buffers;
mod slow;
mod smuggling;
mod text;
mod threads;
mod tls;
mod toml_text;

use crate::support::daemon::Daemon;

/// A counter of `/metrics`, by its name and labels; 0 where it has not counted yet.
pub(crate) fn counter(daemon: &Daemon, name: &str) -> u64 {
    let metrics = String::from_utf8(daemon.admin("/metrics").body).unwrap();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}
