//! Addresses of listeners.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Address at which a local client reaches a listener. A listener on all addresses is reached on loopback.
#[must_use]
pub const fn reachable(listens: SocketAddr) -> SocketAddr {
    let mut address = listens;
    match listens {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            address.set_ip(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            address.set_ip(core::net::IpAddr::V6(Ipv6Addr::LOCALHOST));
        }
        _ => {}
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unspecified_address_becomes_loopback() {
        for (listens, asked) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:9090", "[::1]:9090"),
            ("192.0.2.7:80", "192.0.2.7:80"),
            ("[::1]:1", "[::1]:1"),
        ] {
            assert_eq!(reachable(listens.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
