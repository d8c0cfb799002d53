//! An asset as documents show it.

use ticker_domain::{
    asset::Asset,
    asset_names::AssetId,
    decimal,
    listed_asset::ListedAsset,
    plain_text::{stripped, without_emoji},
    toml_link,
    usd::UsdPrice,
};

use super::view::{IdStyle, ListingView};

/// Asset with what is known about it.
#[derive(Clone, Copy, Debug)]
pub struct AssetView<'a> {
    view: &'a ListingView,
    id: AssetId,
    asset: &'a Asset,
    /// `None` for an asset that is not valid.
    listed: Option<&'a ListedAsset>,
}

impl<'a> AssetView<'a> {
    pub(super) fn new(view: &'a ListingView, id: AssetId) -> Option<Self> {
        let directory = view.snapshot().directory();
        let asset = directory.names().asset(id)?;
        Some(Self { view, id, asset, listed: directory.asset(id) })
    }

    /// Id of the asset in the database.
    #[must_use]
    pub const fn id(&self) -> AssetId {
        self.id
    }

    /// Identity of the asset.
    #[must_use]
    pub const fn asset(&self) -> &'a Asset {
        self.asset
    }

    /// `XLM` or `CODE-ISSUER`.
    #[must_use]
    pub fn name(&self) -> String {
        self.asset.name()
    }

    /// Name in the style of a document.
    pub(super) fn spelled(&self, style: IdStyle) -> String {
        match style {
            IdStyle::Classic => self.name(),
            IdStyle::Contract => self.contract_id(),
        }
    }

    /// `C…`
    #[must_use]
    pub(crate) fn contract_id(&self) -> String {
        let kept = self.view.snapshot().directory().names().contract(self.id, self.view.passphrase());
        kept.unwrap_or_else(|| self.view.contract(self.asset)).to_string()
    }

    /// True if Horizon knows the asset and its issuer's file, as for the legacy files.
    pub(crate) const fn is_valid(&self) -> bool {
        self.listed.is_some()
    }

    /// True for XLM, and for an asset that its home domain confirms.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        matches!(self.asset, Asset::Native)
            || self.listed.is_some_and(|listed| listed.is_controlled_by_domain)
    }

    pub(crate) const fn listed(&self) -> Option<&'a ListedAsset> {
        self.listed
    }

    /// Host of the issuer's stellar.toml as it is read, with common mistakes repaired, without hidden characters.
    #[must_use]
    pub fn home_domain(&self) -> Option<String> {
        let host = toml_link::authority(&self.listed?.toml_url)?;
        (!host.is_empty()).then(|| stripped(&host).into_owned())
    }

    /// Home domain that confirms the asset. Others prove nothing: an issuer may name any domain.
    #[must_use]
    pub(crate) fn confirmed_domain(&self) -> Option<String> {
        self.home_domain().filter(|_| self.is_verified())
    }

    /// Display name out of the issuer's file, without hidden characters and emoji, which listing sites refuse, or the
    /// code. Never empty.
    #[must_use]
    pub(crate) fn display_name(&self) -> String {
        let name = self.listed.map(|listed| stripped(&listed.currency.name)).unwrap_or_default();
        let name = without_emoji(&name);
        let name = name.trim();
        if name.is_empty() { self.asset.code().to_owned() } else { name.to_owned() }
    }

    /// Supply in units, or `None` if it is not known.
    #[must_use]
    pub fn supply(&self) -> Option<String> {
        let stroops = self.listed?.amount.stroops();
        (stroops > 0).then(|| decimal::amount(stroops))
    }

    /// Number of accounts that hold it, or `None` if it is not known.
    #[must_use]
    pub fn holders(&self) -> Option<i64> {
        self.listed.map(|listed| listed.num_accounts).filter(|count| *count > 0)
    }

    /// Price in dollars.
    #[must_use]
    pub fn usd(&self) -> Option<&'a UsdPrice> {
        self.view.usd().price(self.id)
    }

    /// Returns true if the asset is an anchor that does not count as one dollar at present.
    pub(super) fn is_depegged(&self) -> bool {
        self.view.usd().xlm().is_some_and(|xlm| xlm.depegged.contains(&self.id))
    }
}

#[cfg(test)]
mod tests {
    use ticker_domain::{
        directory::Directory,
        test_support::{address, listed},
        windows::Windows,
    };

    use super::*;
    use crate::test_view::view_of;

    fn home_domain(domain: &str) -> Option<String> {
        let toml_url = format!("https://{domain}/.well-known/stellar.toml");
        of(ListedAsset { toml_url, ..listed("TEA", &address(1), "") }, |asset| asset.home_domain())
    }

    /// Asks a view of this asset.
    fn of<T>(listed: ListedAsset, say: impl Fn(&AssetView<'_>) -> T) -> T {
        let asset = Asset::issued("TEA", &address(1)).unwrap();
        let mut directory = Directory::default();
        directory.add_names([(1, asset)]);
        directory.update_assets([(1, Some(listed))]);
        let view = view_of(directory, &Windows::default(), &[]);
        say(&AssetView::new(&view, 1).unwrap())
    }

    #[test]
    fn a_name_has_no_emoji_and_is_the_code_if_nothing_is_left() {
        for (name, shown) in [("\u{1f680} Moon", "Moon"), ("\u{1f680}\u{200d}\u{fe0f}", "TEA"), ("茶", "茶")]
        {
            let mut asset = listed("TEA", &address(1), "");
            asset.currency.name = name.to_owned();
            assert_eq!(of(asset, |asset| asset.display_name()), shown);
        }
    }

    #[test]
    fn a_home_domain_is_the_host_whose_file_is_read() {
        for domain in ["example.com", "Example.COM.", " example.com ", "https://example.com", "example.com/"]
        {
            assert_eq!(home_domain(domain).as_deref(), Some("example.com"), "{domain:?}");
        }
        assert_eq!(home_domain("b\u{fc}cher.ch").as_deref(), Some("xn--bcher-kva.ch"));
        assert_eq!(home_domain(""), None);
    }
}
