//! Checks of the addresses to listen on.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use super::Finding;
use crate::{config::Config, http::probe};

/// Time limit for an answer from a listener that has the address already.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let mut findings = vec![
        port("public_port", "--bind", config.bind, "/livez"),
        port("admin_port", "--admin-bind", config.admin_bind, "/actors.json"),
        exposure(config.admin_bind),
    ];
    if config.nginx.is_some() {
        // nginx passes this path on to the daemon.
        findings.push(port("nginx_port", "--nginx-bind", config.nginx_bind, "/livez"));
    }
    findings
}

/// Checks that an address is free, or that a ticker answers `path` there.
fn port(check: &'static str, flag: &str, address: SocketAddr, path: &str) -> Finding {
    let Err(error) = TcpListener::bind(address) else {
        return Finding::ok(check, format!("{address} is free"));
    };
    if error.kind() != ErrorKind::AddrInUse {
        return Finding::failure(
            check,
            format!("{address}: {error}"),
            format!("give {flag} an address of this machine and a port that this user may open"),
        );
    }
    match probe::get(address, path, PATIENCE) {
        Ok(answer) if answer.status == 200 && answer.body.trim_start().starts_with('{') => {
            Finding::ok(check, format!("a ticker listens on {address}"))
        }
        _ => Finding::failure(
            check,
            format!("another program has {address}"),
            format!("stop it (`ss -ltnp` names it), or choose another address with {flag}"),
        ),
    }
}

/// Checks that the admin listener is not open to everybody.
fn exposure(address: SocketAddr) -> Finding {
    const NAME: &str = "admin_exposure";
    if address.ip().is_loopback() {
        return Finding::ok(NAME, format!("{address} is only reachable from this machine"));
    }
    Finding::warning(
        NAME,
        format!("{address} is reachable from other machines, and it has no password"),
        "let a firewall or the container's network keep strangers out (docs/secure.md), or use 127.0.0.1",
    )
}
