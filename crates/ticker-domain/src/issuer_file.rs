//! Contents of an issuer's stellar.toml (SEP-1), as far as the ticker uses them.

use super::toml_link::{TomlLink, ascii};

/// Longest text in bytes of an organisation, a code, an address or a signature. Each asset of an issuer repeats the
/// organisation in `assets.json`, so a long text costs its length times the issuer's assets.
const SHORT_BYTES_MAX: usize = 1_024;
/// Longest name and status of an asset in bytes.
const NAME_BYTES_MAX: usize = 4_096;
/// Longest description, conditions and instructions in bytes.
const PROSE_BYTES_MAX: usize = 8_192;
/// Most entries of a list.
const ENTRIES_MAX: usize = 100;

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

impl Organisation {
    /// Cuts texts that no honest file has. What is left ends at a character.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        let Self {
            name,
            url,
            twitter,
            federation_server,
            auth_server,
            transfer_server,
            web_auth_endpoint,
            deposit_server,
        } = &mut self;
        let servers = [federation_server, auth_server, transfer_server, web_auth_endpoint, deposit_server];
        for text in [name, url, twitter].into_iter().chain(servers) {
            shorten(text, SHORT_BYTES_MAX);
        }
        self
    }
}

impl Currency {
    /// Cuts texts and lists that no honest file has. What is left of a text ends at a character.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        for text in [&mut self.code, &mut self.issuer, &mut self.anchor_asset, &mut self.anchor_asset_type] {
            shorten(text, SHORT_BYTES_MAX);
        }
        for text in [&mut self.name, &mut self.status] {
            shorten(text, NAME_BYTES_MAX);
        }
        for text in [&mut self.desc, &mut self.conditions, &mut self.redemption_instructions] {
            shorten(text, PROSE_BYTES_MAX);
        }
        for list in [&mut self.collateral_addresses, &mut self.collateral_address_signatures] {
            list.truncate(ENTRIES_MAX);
            list.shrink_to_fit();
            list.iter_mut().for_each(|text| shorten(text, SHORT_BYTES_MAX));
        }
        self
    }
}

/// Cuts a text at the last character that ends within `bytes_max`, and gives the rest of its memory back.
fn shorten(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.shrink_to_fit();
    }
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
    fn long_texts_are_cut_at_a_character_and_short_ones_stay() {
        let mut text = "\u{20ac}".repeat(400); // three bytes each
        shorten(&mut text, 1_024);
        assert_eq!((text.len(), text.capacity()), (1_023, 1_023));
        shorten(&mut text, 1_023);
        assert_eq!(text.len(), 1_023);
        let plain = file("https://example.com");
        assert_eq!(plain.org.clone().shortened(), plain.org);
        assert_eq!(plain.currencies[0].clone().shortened(), plain.currencies[0]);
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
