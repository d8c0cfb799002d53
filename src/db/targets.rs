//! Hosts of a connection string, in the order in which they are tried. Pure, except for the shuffle.

use std::{fmt, net::Ipv6Addr, path::PathBuf};

use rand::seq::SliceRandom;
use tokio_postgres::{
    Config,
    config::{Host, LoadBalanceHosts},
};

use crate::connection_string::{ConnectionString, is_plain};

/// PostgreSQL's own port.
const DEFAULT_PORT: u16 = 5432;

/// One host of a connection string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Index in the connection string, from 0.
    pub(super) index: usize,
    pub(super) address: Address,
}

/// Address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A Unix socket.
    Socket(PathBuf),
    /// A host across the network.
    Host {
        /// Address to connect to: `hostaddr` if given, else `host`.
        dialled: String,
        /// Name that the server's certificate must have.
        name: String,
        port: u16,
    },
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(formatter, "{}", path.display()),
            Self::Host { dialled, port, .. } if dialled.parse::<Ipv6Addr>().is_ok() => {
                write!(formatter, "[{dialled}]:{port}")
            }
            Self::Host { dialled, port, .. } => write!(formatter, "{}:{port}", shown_host(dialled)),
        }
    }
}

/// Returns a host for a message. One that may hold a part of a password is hidden.
fn shown_host(host: &str) -> &str {
    if is_plain(host) { host } else { "***" }
}

/// Returns the number of hosts in a connection string, at least 1.
pub(super) fn count(config: &Config) -> usize {
    config.get_hosts().len().max(config.get_hostaddrs().len()).max(1)
}

/// Returns all hosts: in the order of the connection string, or shuffled with `load_balance_hosts=random`.
pub(super) fn targets(config: &Config) -> Vec<Target> {
    let mut targets: Vec<Target> = (0..count(config)).filter_map(|index| target(config, index)).collect();
    if config.get_load_balance_hosts() == LoadBalanceHosts::Random {
        targets.shuffle(&mut rand::rng());
    }
    targets
}

fn target(config: &Config, index: usize) -> Option<Target> {
    let ports = config.get_ports();
    let port = ports.get(index).or_else(|| ports.first()).copied().unwrap_or(DEFAULT_PORT);
    let address = config.get_hostaddrs().get(index).map(ToString::to_string);
    let address = match (config.get_hosts().get(index), address) {
        (Some(Host::Unix(directory)), None) => Address::Socket(directory.join(format!(".s.PGSQL.{port}"))),
        (Some(Host::Tcp(name)), address) => {
            Address::Host { dialled: address.unwrap_or_else(|| name.clone()), name: name.clone(), port }
        }
        (_, Some(address)) => Address::Host { name: address.clone(), dialled: address, port },
        (None, None) => return None,
    };
    Some(Target { index, address })
}

/// Returns hosts and database of a connection string, such as `db.example:5432/ticker`, without any secret.
///
/// A password with unescaped characters may end up in the host or in the name of the database. So only letters, digits
/// and `.:-_/` are shown, and nothing of a string that does not parse.
#[must_use]
pub fn shown_database(url: &str) -> String {
    let parsed = ConnectionString::parse(url).ok().and_then(|known| known.rest.parse::<Config>().ok());
    let Some(config) = parsed else { return "***".to_owned() };
    let plain = |text: String| if is_plain(&text) { text } else { "***".to_owned() };
    let hosts: Vec<String> = (0..count(&config))
        .filter_map(|index| target(&config, index))
        .map(|target| plain(target.address.to_string()))
        .collect();
    let name = config.get_dbname().or_else(|| config.get_user()).unwrap_or_default();
    format!("{}/{}", hosts.join(","), plain(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_database_has_hosts_and_name_and_no_password() {
        for (url, shown) in [
            ("postgres://ticker:secret@db.example/market", "db.example:5432/market"),
            ("postgres://ticker:secret@a:1,b:2/market", "a:1,b:2/market"),
            ("host=/run/postgresql user=ticker password='se cret'", "/run/postgresql/.s.PGSQL.5432/ticker"),
            ("postgres://ticker:5432/secret@db.example/market", "db.example:5432/market"),
            ("postgres://ticker:se@cret@db.example/market", "***/market"),
            ("secret", "***"),
        ] {
            let found = shown_database(url);
            assert!(!found.contains("cret"), "{url}: {found}");
            assert_eq!(found, shown, "{url}");
        }
    }

    fn host(index: usize, dialled: &str, name: &str, port: u16) -> Target {
        Target { index, address: Address::Host { dialled: dialled.into(), name: name.into(), port } }
    }

    #[test]
    fn a_host_that_may_hold_a_part_of_a_password_is_not_shown() {
        assert_eq!(host(0, "db.example", "db.example", 1).address.to_string(), "db.example:1");
        assert_eq!(host(0, "w0rd@db.example", "w0rd@db.example", 1).address.to_string(), "***:1");
    }

    #[test]
    fn each_host_of_a_connection_string_becomes_a_target() {
        for (text, expected) in [
            ("postgres://u@db.example/d", vec![host(0, "db.example", "db.example", 5432)]),
            ("postgres://u@a:1,b:2/d", vec![host(0, "a", "a", 1), host(1, "b", "b", 2)]),
            ("host=a,b port=7", vec![host(0, "a", "a", 7), host(1, "b", "b", 7)]),
            ("host=a hostaddr=10.0.0.1 port=7", vec![host(0, "10.0.0.1", "a", 7)]),
            (
                "hostaddr=10.0.0.1,::1",
                vec![host(0, "10.0.0.1", "10.0.0.1", 5432), host(1, "::1", "::1", 5432)],
            ),
            (
                "host=/run/pg port=7",
                vec![Target { index: 0, address: Address::Socket("/run/pg/.s.PGSQL.7".into()) }],
            ),
            ("user=u", vec![]),
        ] {
            let config: Config = text.parse().unwrap();
            assert_eq!(targets(&config), expected, "{text}");
        }
        let config: Config = "host=a,b,c load_balance_hosts=random".parse().unwrap();
        let mut indices: Vec<usize> = targets(&config).iter().map(|target| target.index).collect();
        indices.sort_unstable();
        assert_eq!(indices, [0, 1, 2]);
    }
}
