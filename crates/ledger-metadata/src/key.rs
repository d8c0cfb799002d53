//! Keys and assets as the metadata has them: bytes, not yet checked by the exchange's rules.

use std::fmt;

use stellar_xdr as xdr;
use ticker_domain::asset::{AccountId, Asset, AssetCode, AssetError};

/// Public key of an account.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AccountKey(pub [u8; 32]);

/// Asset of a claim. Its code may hold bytes that Horizon's API refuses to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClaimedAsset {
    /// XLM.
    Native,
    /// Asset that an account issued.
    Issued {
        /// Code, padded with zero bytes.
        code: [u8; 12],
        /// Account that issued the asset.
        issuer: AccountKey,
    },
}

impl AccountKey {
    /// Account as the exchange's rules name it.
    ///
    /// # Errors
    ///
    /// [`AssetError::Account`], by the signature only: a key of 32 bytes always has a valid address.
    pub fn account(&self) -> Result<AccountId, AssetError> {
        AccountId::parse(&self.to_string())
    }

    pub(crate) const fn of_account(account: &xdr::AccountId) -> Self {
        let xdr::PublicKey::PublicKeyTypeEd25519(xdr::Uint256(bytes)) = account.0;
        Self(bytes)
    }

    /// The account behind a multiplexed one, without the id that its owner added.
    pub(crate) const fn of_muxed(account: &xdr::MuxedAccount) -> Self {
        match account {
            xdr::MuxedAccount::Ed25519(key) => Self(key.0),
            xdr::MuxedAccount::MuxedEd25519(muxed) => Self(muxed.ed25519.0),
        }
    }
}

impl fmt::Display for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(stellar_strkey::ed25519::PublicKey(self.0).to_string().as_str())
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl ClaimedAsset {
    /// Asset as the exchange's rules name it.
    ///
    /// # Errors
    ///
    /// [`AssetError::Code`] for a code with other bytes than letters and digits.
    pub fn asset(&self) -> Result<Asset, AssetError> {
        match self {
            Self::Native => Ok(Asset::Native),
            Self::Issued { code, issuer } => {
                let code = std::str::from_utf8(trimmed(code)).map_err(|_| AssetError::Code)?;
                Ok(Asset::Issued { code: AssetCode::parse(code)?, issuer: issuer.account()? })
            }
        }
    }

    pub(crate) fn of(asset: &xdr::Asset) -> Self {
        let issued = |bytes: &[u8], issuer| {
            let mut code = [0; 12];
            for (place, byte) in code.iter_mut().zip(bytes) {
                *place = *byte;
            }
            Self::Issued { code, issuer: AccountKey::of_account(issuer) }
        };
        match asset {
            xdr::Asset::Native => Self::Native,
            xdr::Asset::CreditAlphanum4(asset) => issued(&asset.asset_code.0, &asset.issuer),
            xdr::Asset::CreditAlphanum12(asset) => issued(&asset.asset_code.0, &asset.issuer),
        }
    }
}

/// `native`, or `CODE:ISSUER` (SEP-11). Bytes that no code may hold are escaped.
impl fmt::Display for ClaimedAsset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("native"),
            Self::Issued { code, issuer } => write!(f, "{}:{issuer}", trimmed(code).escape_ascii()),
        }
    }
}

/// Code without its padding.
fn trimmed(code: &[u8]) -> &[u8] {
    let end = code.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    code.get(..end).unwrap_or_default()
}
