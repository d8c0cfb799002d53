//! Valid asset with all its published data.

use std::sync::Arc;

use super::{
    amount::Total,
    instant::UnixSeconds,
    issuer_file::{Currency, Organisation},
};

/// Valid asset, as `assets.json` and GraphQL list it. The asset poller and the TOML checker write its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedAsset {
    /// Asset type: `native`, `credit_alphanum4` or `credit_alphanum12`.
    pub kind: String,
    /// Number of accounts authorised to hold it.
    pub num_accounts: i64,
    /// True if holders need the issuer's authorisation.
    pub auth_required: bool,
    /// True if the issuer can revoke an authorisation.
    pub auth_revocable: bool,
    /// Supply held by authorised accounts, in stroops.
    pub amount: Total,
    /// True if the domain of the stellar.toml confirms the asset. See `IssuerFile::controls`.
    pub is_controlled_by_domain: bool,
    /// Code, issuer, and the description from the stellar.toml.
    pub currency: Currency,
    /// Id of the issuer's row in `issuers`.
    pub issuer_id: i32,
    /// Organisation that issues the asset. The issuer's assets share it.
    pub issuer: Arc<Organisation>,
    /// URL of the issuer's stellar.toml.
    pub toml_url: String,
    /// Time when the asset was last found valid.
    pub last_valid: UnixSeconds,
}

impl ListedAsset {
    /// Asset code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.currency.code
    }

    /// Address of the issuer, or `native`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.currency.issuer
    }

    /// Code used in pair names: the anchor's code if there is one, else the asset's own.
    #[must_use]
    pub fn pair_code(&self) -> &str {
        let anchor = &self.currency.anchor_asset;
        if anchor.is_empty() { self.code() } else { anchor }
    }
}
