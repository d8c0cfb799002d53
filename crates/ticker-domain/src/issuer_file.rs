//! What an issuer's stellar.toml tells (SEP-1), as far as the ticker cares.

use super::toml_link::{TomlLink, ascii};

/// A stellar.toml that was read. What it does not say is empty, 0 or false.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuerFile {
    /// Who is behind it.
    pub org: Organisation,
    /// The assets that it lists, in its order.
    pub currencies: Vec<Currency>,
}

/// Who is behind a file: DOCUMENTATION's words and the addresses of services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Organisation {
    /// `ORG_NAME`
    pub name: String,
    /// `ORG_URL`
    pub url: String,
    /// `ORG_TWITTER`
    pub twitter: String,
    /// `FEDERATION_SERVER`
    pub federation_server: String,
    /// `AUTH_SERVER`
    pub auth_server: String,
    /// `TRANSFER_SERVER`
    pub transfer_server: String,
    /// `WEB_AUTH_ENDPOINT`
    pub web_auth_endpoint: String,
    /// `DEPOSIT_SERVER`
    pub deposit_server: String,
}

/// What a file says of one asset; each field is SEP-1's of the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Currency {
    /// The asset's code.
    pub code: String,
    /// The asset's issuer.
    pub issuer: String,
    /// The code of what it is anchored to.
    pub anchor_asset: String,
    /// What kind of thing that is, in lower case.
    pub anchor_asset_type: String,
    /// A name for people.
    pub name: String,
    /// A description for people.
    pub desc: String,
    /// Conditions of holding it.
    pub conditions: String,
    /// How to redeem it.
    pub redemption_instructions: String,
    /// `live`, `test`, or anything else.
    pub status: String,
    /// Places that wallets shall show.
    pub display_decimals: i64,
    /// How many there will ever be.
    pub fixed_number: i64,
    /// How many there may be at most.
    pub max_number: i64,
    /// Whether it stands for something else.
    pub is_asset_anchored: bool,
    /// Whether there may be any number.
    pub is_unlimited: bool,
    /// Where the collateral lies.
    pub collateral_addresses: Vec<String>,
    /// Signatures that prove it.
    pub collateral_address_signatures: Vec<String>,
}

impl IssuerFile {
    /// The first entry of this code and issuer.
    #[must_use]
    pub fn currency(&self, code: &str, issuer: &str) -> Option<&Currency> {
        self.currencies.iter().find(|currency| currency.code == code && currency.issuer == issuer)
    }

    /// Returns true if the domain of the file at `toml_url` vouches for the asset. The file must be served by https and list
    /// the asset. If it names a page of the organisation, that must be served by https on the same host or below it.
    #[must_use]
    pub fn controls(&self, toml_url: &str, code: &str, issuer: &str) -> bool {
        // The host that the asset itself names, wherever that redirects to.
        let Some(host) = TomlLink::parse(toml_url).and_then(|link| host_of(&link.authority)) else {
            return false;
        };
        let is_own = |url: &str| https_host(url).is_some_and(|org| is_at_or_below(&org, &host));
        self.currency(code, issuer).is_some() && (self.org.url.is_empty() || is_own(&self.org.url))
    }
}

/// The host of an https address, in lower case.
fn https_host(url: &str) -> Option<String> {
    let rest =
        url.get(8..).filter(|_| url.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://")))?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    host_of(authority)
}

/// An authority's host, without user and port.
fn host_of(authority: &str) -> Option<String> {
    let host = authority.rsplit('@').next()?.split(':').next()?;
    (!host.is_empty()).then(|| ascii(host).into_owned())
}

/// By whole labels: `notexample.com` is not below `example.com`.
fn is_at_or_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(org_url: &str) -> IssuerFile {
        let tea = |name: &str| Currency {
            code: "TEA".into(),
            issuer: "G1".into(),
            name: name.into(),
            ..Currency::default()
        };
        IssuerFile {
            org: Organisation { url: org_url.into(), ..Organisation::default() },
            currencies: vec![tea("first"), tea("second")],
        }
    }

    #[test]
    fn the_first_entry_counts() {
        assert_eq!(file("").currency("TEA", "G1").unwrap().name, "first");
        assert_eq!(file("").currency("TEA", "G2"), None);
    }

    #[test]
    fn a_domain_speaks_for_what_it_lists_where_the_page_is_its_own() {
        let at = "https://Example.com/.well-known/stellar.toml";
        for own in
            ["", "https://example.com", "https://www.EXAMPLE.com/about", "HTTPS://a.b.example.com:443/?x"]
        {
            assert!(file(own).controls(at, "TEA", "G1"), "{own}");
        }
        for written in ["https://https://example.com/x", "https://EXAMPLE.com./x", "https://example.com//x"] {
            assert!(file("https://example.com").controls(written, "TEA", "G1"), "{written}");
        }
        assert!(file("https://b\u{fc}cher.ch").controls("https://xn--bcher-kva.ch/x", "TEA", "G1"));
        for other in [
            "http://example.com",
            "https://notexample.com",
            "https://example.com.evil.net",
            "https://example.com@evil.net/",
            "https://evil.net\\@example.com",
            "https://",
            "example.com",
            "https://com",
        ] {
            assert!(!file(other).controls(at, "TEA", "G1"), "{other}");
        }
        assert!(!file("").controls(at, "TEA", "G2"), "not listed");
        assert!(!file("").controls("http://example.com/.well-known/stellar.toml", "TEA", "G1"));
    }
}
