//! Links to stellar.toml files, as issuers' home domains make them. Pure.
//!
//! Horizon makes `https://<home_domain>/.well-known/stellar.toml` of whatever an issuer has set. People set
//! `https://example.com`, `example.com/`, `Example.COM.` or `bücher.example`, and mean the obvious.

use std::borrow::Cow;

/// Path of every such file (SEP-1).
pub const WELL_KNOWN: &str = "/.well-known/stellar.toml";
const HTTPS: &str = "https://";
/// Schemes in front of a domain that are taken off, e.g. of `https://https://example.com`.
const SCHEMES_MAX: usize = 3;

/// A link as it was meant: host in lower case and ASCII, path as it is to be asked for. Whether it may be asked for is
/// another question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TomlLink {
    /// Host, and whatever else stands before the path: a port, a user.
    pub authority: String,
    /// Path and query. It begins with a slash, or is empty.
    pub path: String,
}

impl TomlLink {
    /// Reads a link. None unless it begins with `https://`, the only scheme that is fetched.
    #[must_use]
    pub fn parse(link: &str) -> Option<Self> {
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
        // The root's dot is part of a name in DNS, but not in a certificate.
        let authority = authority.strip_suffix('.').unwrap_or(authority);
        Some(Self { authority: ascii(authority).into_owned(), path: path_meant(path) })
    }
}

/// A host in lower case, with names of other scripts in their ASCII form (IDNA). What has no such form stays as it is.
#[must_use]
pub fn ascii(host: &str) -> Cow<'_, str> {
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

/// The path without what is doubled where a home domain ends with a slash, or is a whole link itself.
fn path_meant(path: &str) -> String {
    let path = path.split('#').next().unwrap_or_default();
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

    /// The link that Horizon makes of a home domain.
    fn of_home_domain(domain: &str) -> (String, String) {
        parsed(&format!("https://{domain}{WELL_KNOWN}")).unwrap()
    }

    #[test]
    fn home_domains_mean_what_people_mean_by_them() {
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
    fn what_is_no_plain_domain_is_kept_for_the_guard_to_refuse() {
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
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = TomlLink::parse(&text);
            let _ = TomlLink::parse(&format!("https://{text}{WELL_KNOWN}"));
        }
    }
}
