//! A valid asset with everything that is known of it.

use super::{
    amount::Total,
    instant::UnixSeconds,
    issuer_file::{Currency, Organisation},
};

/// A valid asset, as `assets.json` and GraphQL list it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedAsset {
    /// `native`, `credit_alphanum4` or `credit_alphanum12`.
    pub kind: String,
    /// Accounts that hold it and may.
    pub num_accounts: i64,
    /// Holders need the issuer's leave.
    pub auth_required: bool,
    /// The issuer can take that leave back.
    pub auth_revocable: bool,
    /// What authorised accounts hold.
    pub amount: Total,
    /// Whether the file's domain speaks for the asset.
    pub is_controlled_by_domain: bool,
    /// Code, issuer and what its stellar.toml says of it.
    pub currency: Currency,
    /// The number of its issuer's row.
    pub issuer_id: i32,
    /// Who issues it.
    pub issuer: Organisation,
    /// Where the issuer's stellar.toml lies.
    pub toml_url: String,
    /// When it was last found valid.
    pub last_valid: UnixSeconds,
}

impl ListedAsset {
    /// Its own code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.currency.code
    }

    /// The account that issues it, or `native`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.currency.issuer
    }

    /// Its name in pairs: the anchor's code where it has one, else its own.
    #[must_use]
    pub fn pair_code(&self) -> &str {
        let anchor = &self.currency.anchor_asset;
        if anchor.is_empty() { self.code() } else { anchor }
    }
}
