//! Rules for the URLs of stellar.toml files. A URL is free text that anyone may set. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::domain::toml_link::TomlLink;

/// Top-level names that are never public, whatever DNS answers.
const SPECIAL_NAMES: [&str; 16] = [
    "alt",
    "arpa",
    "corp",
    "example",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "mail",
    "onion",
    "private",
    "test",
];
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;
const URL_BYTES_MAX: usize = 2_048;

/// URL that may be requested: https, port 443, a real domain name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TomlUrl {
    /// Domain name, in lower case.
    pub(super) host: String,
    /// Path and query, with a leading slash.
    pub(super) path: String,
}

/// Reason why a URL is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Other scheme than https, or not a URL.
    #[error("not an https URL")]
    Scheme,
    /// Other port than 443, or a user.
    #[error("the URL contains a port or a user")]
    Authority,
    /// IP address in any spelling, single label, or characters that no domain name has.
    #[error("the host is not a domain name")]
    Host,
    /// Path with characters that must be escaped.
    #[error("the path contains characters that must be escaped")]
    Path,
}

impl TomlUrl {
    /// Parses a URL.
    ///
    /// # Errors
    ///
    /// [`UrlError`] with the rule that the URL violates.
    pub(super) fn parse(url: &str) -> Result<Self, UrlError> {
        let link = Some(url).filter(|url| url.len() <= URL_BYTES_MAX).and_then(TomlLink::parse);
        let TomlLink { authority, path } = link.ok_or(UrlError::Scheme)?;
        let host = authority.strip_suffix(":443").unwrap_or(&authority);
        // Refuse them here: a port would reach other services, and `@` or `\` would hide the real host.
        if host.contains(['@', ':', '[', ']', '\\']) {
            return Err(UrlError::Authority);
        }
        if !is_domain(host) {
            return Err(UrlError::Host);
        }
        if !path.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)) {
            return Err(UrlError::Path);
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self { host: host.to_owned(), path: format!("{slash}{path}") })
    }

    /// Returns true if the top-level name is one that is never public.
    #[must_use]
    pub(super) fn is_special(&self) -> bool {
        self.host.rsplit('.').next().is_some_and(|last| SPECIAL_NAMES.contains(&last))
    }
}

/// Returns the host of a URL that may be requested.
#[must_use]
pub fn host_of(url: &str) -> Option<String> {
    TomlUrl::parse(url).ok().map(|url| url.host)
}

/// Returns true for at least two labels of letters, digits and hyphens. The last label must not start with a digit, as
/// it does in every spelling of an IP address.
fn is_domain(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.starts_with(|first: char| first.is_ascii_digit());
    host.len() <= HOST_BYTES_MAX && host.contains('.') && host.split('.').all(is_label) && !is_number
}

/// Returns true for addresses on the public internet, outside all special ranges of the IANA registries. If an address
/// embeds an IPv4 address, as in NAT64, that one decides.
#[must_use]
pub const fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

const fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, _, _)      // this network, private, loopback, multicast, reserved
            | (100, 64..=127, _)              // carrier-grade NAT
            | (169, 254, _)                   // link-local, with the metadata services of clouds
            | (172, 16..=31, _)               // private
            | (192, 0, 0 | 2)                 // protocol assignments, documentation
            | (192, 31, 196)                  // AS112
            | (192, 52, 193)                  // AMT
            | (192, 88, 99)                   // 6to4 relays
            | (192, 168, _)                   // private
            | (192, 175, 48)                  // AS112
            | (198, 18..=19, _)               // benchmarks
            | (198, 51, 100)                  // documentation
            | (203, 0, 113) // documentation
    );
    !special
}

const fn is_public_v6(address: Ipv6Addr) -> bool {
    match embedded_v4(address) {
        EmbeddedV4::One(inside) => return is_public_v4(inside),
        // Both ends of the tunnel receive packets.
        EmbeddedV4::Two(server, client) => return is_public_v4(server) && is_public_v4(client),
        EmbeddedV4::None => {}
    }
    let [a, b, ..] = address.segments();
    // All other public addresses are in 2000::/3.
    let special = matches!(
        (a, b),
        (0x2001, 0..=0x01ff)                  // protocol assignments: ORCHID, benchmarks
            | (0x2001, 0x0db8)                // documentation
            | (0x2620, 0x004f)                // AS112
            | (0x3fff, 0..=0x0fff) // documentation
    );
    a & 0xe000 == 0x2000 && !special
}

/// IPv4 addresses that receive the packets sent to an IPv6 address.
enum EmbeddedV4 {
    None,
    One(Ipv4Addr),
    Two(Ipv4Addr, Ipv4Addr),
}

/// Addresses embedded by translations and tunnels.
///
/// A host with only IPv6 reaches IPv4 servers through the first of them, NAT64 with DNS64. The local-use prefix
/// `64:ff9b:1::/48` is left out, because each network decides where it places the address.
const fn embedded_v4(address: Ipv6Addr) -> EmbeddedV4 {
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0, 0xffff, high, low] => {
            EmbeddedV4::One(v4(high, low))
        }
        [0x2002, high, low, ..] => EmbeddedV4::One(v4(high, low)), // 6to4
        // Teredo: the server's address, and the client's with all bits inverted.
        [0x2001, 0, server_high, server_low, _, _, high, low] => {
            EmbeddedV4::Two(v4(server_high, server_low), v4(!high, !low))
        }
        _ => EmbeddedV4::None,
    }
}

const fn v4(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests;
