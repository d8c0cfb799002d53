//! Contents of an issuer's stellar.toml (SEP-1), as far as the ticker uses them.

use super::toml_link::{TomlLink, ascii};

/// Parsed stellar.toml. Missing values are empty, 0 or false.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IssuerFile {
    /// Organisation that published the file.
    pub org: Organisation,
    /// Assets that the file lists, in its order.
    pub currencies: Vec<Currency>,
}

/// Organisation behind a stellar.toml: fields of its DOCUMENTATION table, and service addresses.
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

/// Description of one asset. Each field is SEP-1's field of the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Currency {
    /// Asset code.
    pub code: String,
    /// Address of the issuer.
    pub issuer: String,
    /// Code of the asset that this one is anchored to.
    pub anchor_asset: String,
    /// Kind of the anchor (`fiat`, `crypto`, …), in lower case.
    pub anchor_asset_type: String,
    /// Display name.
    pub name: String,
    /// Description.
    pub desc: String,
    /// Conditions of holding the asset.
    pub conditions: String,
    /// Instructions for redeeming the asset.
    pub redemption_instructions: String,
    /// Status: `live`, `test`, or any other text.
    pub status: String,
    /// Decimal places that wallets should show.
    pub display_decimals: i64,
    /// Total supply, if it is fixed.
    pub fixed_number: i64,
    /// Maximum supply.
    pub max_number: i64,
    /// True if the asset is redeemable for its anchor.
    pub is_asset_anchored: bool,
    /// True if the supply is unlimited.
    pub is_unlimited: bool,
    /// Addresses that hold the collateral.
    pub collateral_addresses: Vec<String>,
    /// Signatures that prove control of the collateral addresses.
    pub collateral_address_signatures: Vec<String>,
}

impl IssuerFile {
    /// First entry with this code and issuer.
    #[must_use]
    pub fn currency(&self, code: &str, issuer: &str) -> Option<&Currency> {
        self.currencies.iter().find(|currency| currency.code == code && currency.issuer == issuer)
    }

    /// Returns true if the domain of the file at `toml_url` confirms the asset.
    ///
    /// The file must be served by https and list the asset. If the file names a page of the organisation, that must be
    /// served by https on the same host or below it.
    #[must_use]
    pub fn controls(&self, toml_url: &str, code: &str, issuer: &str) -> bool {
        // Use the host that the asset's link names, not the host that it redirects to.
        let Some(host) = TomlLink::parse(toml_url).and_then(|link| host_of(&link.authority)) else {
            return false;
        };
        let is_own = |url: &str| https_host(url).is_some_and(|org| is_at_or_below(&org, &host));
        self.currency(code, issuer).is_some() && (self.org.url.is_empty() || is_own(&self.org.url))
    }
}

/// Host of an https URL, in lower case, or `None` for other URLs.
fn https_host(url: &str) -> Option<String> {
    let rest =
        url.get(8..).filter(|_| url.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://")))?;
    // Browsers read `\` as `/`. It ends the host, so `evil.net\@example.com` is not at `example.com`.
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    host_of(authority)
}

/// Host of a URL authority, without user and port.
fn host_of(authority: &str) -> Option<String> {
    let host = authority.rsplit('@').next()?.split(':').next()?;
    (!host.is_empty()).then(|| ascii(host).into_owned())
}

/// Compares whole labels: `notexample.com` is not below `example.com`.
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
    fn returns_the_first_matching_entry() {
        assert_eq!(file("").currency("TEA", "G1").unwrap().name, "first");
        assert_eq!(file("").currency("TEA", "G2"), None);
    }

    #[test]
    fn a_domain_controls_listed_assets_if_the_page_is_its_own() {
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
