//! A host of the connection string that cannot be connected to.

use std::{io, net::IpAddr, time::Duration};

use super::targets::Address;

/// Failure to connect to one host. Its text says what to do.
#[derive(Debug, thiserror::Error)]
#[error("no connection to PostgreSQL at {0}")]
pub(super) struct UnreachableError(String);

impl UnreachableError {
    /// Wraps an error of the operating system or of the resolver.
    pub(super) fn failed(address: &Address, error: &io::Error) -> io::Error {
        let place = address.to_string();
        let text = error.to_string();
        // Keep the dialled address if it differs from the connection string: it shows what the name resolved to.
        let text = text.strip_prefix(&format!("{place}: ")).unwrap_or(&text);
        let text = text.split(" (os error ").next().unwrap_or(text);
        let remedy = remedy(address, error.kind());
        io::Error::new(error.kind(), Self(format!("{place}: {text} ({remedy})")))
    }

    /// Describes a host that did not answer in time.
    pub(super) fn silent(address: &Address, limit: Duration) -> io::Error {
        let remedy = remedy(address, io::ErrorKind::TimedOut);
        let text = format!("{address} within {} s ({remedy})", limit.as_secs_f32());
        io::Error::new(io::ErrorKind::TimedOut, Self(text))
    }
}

fn remedy(address: &Address, kind: io::ErrorKind) -> &'static str {
    match address {
        Address::Socket(_) => "does this server run?",
        Address::Host { dialled, .. } if is_loopback(dialled) => {
            "start it, or correct --database-url; in a container this address is the container itself"
        }
        Address::Host { .. } if kind == io::ErrorKind::ConnectionRefused => {
            "start it, let it listen on this address, or correct --database-url"
        }
        Address::Host { .. } => "correct --database-url, or look for a firewall on the way",
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str) -> Address {
        Address::Host { dialled: name.to_owned(), name: name.to_owned(), port: 5432 }
    }

    fn refused(text: &str) -> io::Error {
        io::Error::new(io::ErrorKind::ConnectionRefused, text)
    }

    #[test]
    fn the_text_names_the_address_once_and_a_remedy() {
        for (address, text, expected) in [
            (
                host("127.0.0.1"),
                "127.0.0.1:5432: Connection refused (os error 111)",
                "127.0.0.1:5432: Connection refused (start it, or correct --database-url; in a container this address \
                 is the container itself)",
            ),
            (
                host("db.example.com"),
                "192.0.2.1:5432: Connection refused (os error 111)",
                "db.example.com:5432: 192.0.2.1:5432: Connection refused (start it, let it listen on this address, or \
                 correct --database-url)",
            ),
            (
                Address::Socket("/run/postgresql/.s.PGSQL.5432".into()),
                "No such file or directory (os error 2)",
                "/run/postgresql/.s.PGSQL.5432: No such file or directory (does this server run?)",
            ),
        ] {
            let error = UnreachableError::failed(&address, &refused(text));
            assert_eq!(error.to_string(), format!("no connection to PostgreSQL at {expected}"));
        }
        let silent = UnreachableError::silent(&host("db"), Duration::from_secs(5)).to_string();
        assert!(silent.starts_with("no connection to PostgreSQL at db:5432 within 5 s (correct"), "{silent}");
    }
}
