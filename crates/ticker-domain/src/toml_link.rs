//! Links to stellar.toml files, as derived from issuers' home domains. Pure.
//!
//! Horizon builds `https://<home_domain>/.well-known/stellar.toml` from whatever an issuer has set. Issuers set
//! `https://example.com`, `example.com/`, `Example.COM.` or `bücher.example`. This module repairs such links.

use std::borrow::Cow;

/// Path of every stellar.toml (SEP-1).
pub const WELL_KNOWN: &str = "/.well-known/stellar.toml";
const HTTPS: &str = "https://";
/// Maximum number of repeated schemes that are removed, e.g. in `https://https://example.com`.
const SCHEMES_MAX: usize = 3;

/// Repaired link: host in lower case and ASCII, path as requested. It is not yet checked against the guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TomlLink {
    /// Host, and a port or a user if the link has one.
    pub authority: String,
    /// Path and query. Empty, or begins with a slash or `?`.
    pub path: String,
}

impl TomlLink {
    /// Parses and repairs a link. `None` unless it begins with `https://`, the only scheme that is fetched.
    #[must_use]
    pub fn parse(link: &str) -> Option<Self> {
        let (authority, path) = parts(link)?;
        Some(Self { authority: ascii(authority).into_owned(), path: path_meant(path) })
    }
}

/// [`TomlLink::authority`] of a link, without its path.
#[must_use]
pub fn authority(link: &str) -> Option<Cow<'_, str>> {
    parts(link).map(|(authority, _)| ascii(authority))
}

/// Authority and path of a link as they are spelled, without the schemes.
fn parts(link: &str) -> Option<(&str, &str)> {
    let mut rest = without_scheme(link.trim(), &[HTTPS])?.trim_start();
    for _ in 0..SCHEMES_MAX {
        match without_scheme(rest, &[HTTPS, "http://"]) {
            Some(inner) => rest = inner.trim_start(),
            None => break,
        }
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = authority.trim();
    // Remove the dot of the DNS root, which certificates do not contain.
    Some((authority.strip_suffix('.').unwrap_or(authority), path))
}

/// Host in lower case. Names in other scripts become their ASCII form (IDNA). A name without such a form is unchanged.
#[must_use]
pub fn ascii(host: &str) -> Cow<'_, str> {
    if host.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return host.into();
    }
    if host.is_ascii() {
        return host.to_ascii_lowercase().into();
    }
    idna::domain_to_ascii(host).map_or(Cow::Borrowed(host), Cow::Owned)
}

fn without_scheme<'a>(text: &'a str, schemes: &[&str]) -> Option<&'a str> {
    schemes.iter().find_map(|scheme| {
        let start = text.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then(|| text.get(scheme.len()..)).flatten()
    })
}

/// Path without duplicates. They arise if a home domain ends with a slash or is itself a whole link.
fn path_meant(path: &str) -> String {
    let path = path.split('#').next().unwrap_or_default();
    // Other paths are kept: they are what the issuer chose.
    let Some(before) = path.strip_suffix(WELL_KNOWN) else { return path.to_owned() };
    let before = before.trim_end().trim_end_matches('/');
    format!("{}{WELL_KNOWN}", before.strip_suffix(WELL_KNOWN).unwrap_or(before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(link: &str) -> Option<(String, String)> {
        TomlLink::parse(link).map(|link| (link.authority, link.path))
    }

    /// Link that Horizon builds from a home domain.
    fn of_home_domain(domain: &str) -> (String, String) {
        parsed(&format!("https://{domain}{WELL_KNOWN}")).unwrap()
    }

    #[test]
    fn repairs_common_mistakes_in_home_domains() {
        for domain in [
            "example.com",
            "Example.COM",
            "example.com.",
            "example.com/",
            "example.com//",
            " example.com ",
            "https://example.com",
            "HTTPS://example.com/",
            "http://example.com",
            "https://https://example.com",
            "example.com/.well-known/stellar.toml",
            "https://example.com/.well-known/stellar.toml",
            "\u{a0}example.com\n",
        ] {
            assert_eq!(of_home_domain(domain), ("example.com".into(), WELL_KNOWN.into()), "{domain:?}");
        }
        assert_eq!(of_home_domain("www.example.com").0, "www.example.com", "another host");
        assert_eq!(of_home_domain("b\u{fc}cher.ch").0, "xn--bcher-kva.ch");
        assert_eq!(of_home_domain("B\u{dc}CHER.ch.").0, "xn--bcher-kva.ch");
        assert_eq!(of_home_domain("xn--bcher-kva.ch").0, "xn--bcher-kva.ch");
        assert_eq!(of_home_domain("example.com/stellar/").1, format!("/stellar{WELL_KNOWN}"));
    }

    #[test]
    fn keeps_other_hosts_for_the_guard_to_refuse() {
        assert_eq!(of_home_domain("example.com:8000").0, "example.com:8000");
        assert_eq!(of_home_domain("user@example.com").0, "user@example.com");
        assert_eq!(of_home_domain("exa mple.com").0, "exa mple.com");
        assert_eq!(of_home_domain("").0, "");
        assert_eq!(parsed("https://example.com?a=/b#c"), Some(("example.com".into(), "?a=/b".into())));
        for other in [
            "",
            "http://example.com",
            "example.com",
            "//example.com",
            "https:/example.com",
            "\u{20ac}https://a.b",
        ] {
            assert_eq!(parsed(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_the_authority_of_its_link(text in "\\PC*") {
            let _ = TomlLink::parse(&text);
            let link = format!("https://{text}{WELL_KNOWN}");
            let parsed = TomlLink::parse(&link).map(|parsed| parsed.authority);
            prop_assert_eq!(authority(&link).map(Cow::into_owned), parsed);
        }
    }
}
