//! Hosts of a connection string that may hold a part of a password.

use std::net::Ipv6Addr;

/// Returns true if a text has only letters, digits and `.:-_/`, as the names of hosts have, or is an address of IPv6
/// with a zone. A part of a password that was not percent-encoded brings other characters.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    let address = text.split_once('%').filter(|(address, _)| address.parse::<Ipv6Addr>().is_ok());
    let text = address.map_or(text, |(_, zone)| zone);
    text.chars().all(|character| character.is_alphanumeric() || ".:-_/".contains(character))
}

/// Returns true if a URL has an `@` that does not end the user and the password.
///
/// tokio-postgres takes the first `@` for that end, so the rest of a password would be a host.
#[must_use]
pub fn has_stray_at(text: &str) -> bool {
    let is_url = super::is_url(text);
    let Some((user, rest)) = text.split_once('@').filter(|_| is_url) else { return false };
    let host = rest.split('?').next().unwrap_or_default();
    // A question mark may be a part of a password. With a pair behind it, it begins a query.
    let is_in_query = user.split_once('?').is_some_and(|(_, query)| query.contains('='));
    is_in_query || host.contains('@')
}
