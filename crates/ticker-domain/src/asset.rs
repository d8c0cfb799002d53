//! Identity of an asset: native XLM, or a code and its issuer.

use std::{cmp::Ordering, fmt, str::FromStr};

/// Length of an account address (`G…`), in characters.
const ADDRESS_LEN: usize = 56;
/// Maximum length of an asset code.
const CODE_LEN: usize = 12;

/// Account, identified by its checked address (`G…`, SEP-23).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId([u8; ADDRESS_LEN]);

/// Asset code: 1 to 12 ASCII letters and digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AssetCode {
    bytes: [u8; CODE_LEN],
    len: u8,
}

/// Identity of an asset.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asset {
    /// XLM.
    Native,
    /// Asset that an account issued.
    Issued {
        /// Code of the asset. Different issuers may use the same code.
        code: AssetCode,
        /// Account that issued the asset.
        issuer: AccountId,
    },
}

/// Reason why a text is not an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssetError {
    /// Code with a wrong length or with other characters than letters and digits.
    #[error("an asset code must be 1 to 12 letters and digits")]
    Code,
    /// Address that is not `G…` with a valid checksum.
    #[error("an issuer must be an account address with a valid checksum")]
    Account,
    /// Contract that is not `C…` with a valid checksum.
    #[error("a contract must be an address with a valid checksum")]
    Contract,
    /// Text that is neither `native` nor `CODE:ISSUER`.
    #[error("an asset must be XLM, CODE-ISSUER, CODE:ISSUER or a contract id")]
    Form,
}

impl AccountId {
    /// Parses an address and verifies its checksum.
    pub fn parse(text: &str) -> Result<Self, AssetError> {
        let bytes: [u8; ADDRESS_LEN] = text.as_bytes().try_into().map_err(|_| AssetError::Account)?;
        stellar_strkey::ed25519::PublicKey::from_string(text).map_err(|_| AssetError::Account)?;
        Ok(Self(bytes))
    }

    /// Public key of the account.
    #[must_use]
    pub fn key(&self) -> [u8; 32] {
        // Always valid: `parse` verified the checksum.
        stellar_strkey::ed25519::PublicKey::from_string(self.as_str()).map_or([0; 32], |key| key.0)
    }

    /// Address as text (`G…`).
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default() // always valid UTF-8: `parse` copied the bytes from a `str`
    }
}

impl AssetCode {
    /// Parses a code.
    pub fn parse(text: &str) -> Result<Self, AssetError> {
        let len = u8::try_from(text.len()).map_err(|_| AssetError::Code)?;
        let mut bytes = [0; CODE_LEN];
        let place = bytes.get_mut(..text.len()).ok_or(AssetError::Code)?;
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(AssetError::Code);
        }
        place.copy_from_slice(text.as_bytes());
        Ok(Self { bytes, len })
    }

    /// Code, padded with zero bytes.
    pub(crate) const fn padded(&self) -> &[u8; CODE_LEN] {
        &self.bytes
    }

    /// True for a code of at most 4 letters, for which the protocol has a type of its own.
    pub(crate) const fn is_short(&self) -> bool {
        self.len <= 4
    }

    /// Code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.bytes
            .get(..usize::from(self.len))
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

impl Asset {
    /// Parses the code and the issuer of an issued asset.
    pub fn issued(code: &str, issuer: &str) -> Result<Self, AssetError> {
        Ok(Self::Issued { code: AssetCode::parse(code)?, issuer: AccountId::parse(issuer)? })
    }

    /// Asset code. The native asset has the code `XLM`.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Native => "XLM",
            Self::Issued { code, .. } => code.as_str(),
        }
    }

    /// Address of the issuer. The native asset has `native`, as in the legacy files and the database.
    #[must_use]
    pub fn issuer(&self) -> &str {
        match self {
            Self::Native => "native",
            Self::Issued { issuer, .. } => issuer.as_str(),
        }
    }

    /// Name in new outputs: `XLM` or `CODE-ISSUER`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Native => self.code().to_owned(),
            Self::Issued { code, issuer } => format!("{}-{}", code.as_str(), issuer.as_str()),
        }
    }

    /// Horizon's name for the asset type: `native`, `credit_alphanum4` or `credit_alphanum12`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Issued { code, .. } if code.is_short() => "credit_alphanum4",
            Self::Issued { .. } => "credit_alphanum12",
        }
    }
}

impl FromStr for Asset {
    type Err = AssetError;

    /// Parses `native` or `CODE:ISSUER` (SEP-11).
    fn from_str(text: &str) -> Result<Self, AssetError> {
        if text == "native" {
            return Ok(Self::Native);
        }
        let (code, issuer) = text.split_once(':').ok_or(AssetError::Form)?;
        Self::issued(code, issuer)
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Native => f.write_str("native"),
            Self::Issued { code, issuer } => write!(f, "{}:{}", code.as_str(), issuer.as_str()),
        }
    }
}

/// Orders assets by the bytes of `CODE:ISSUER`, so `TEA1:…` comes before `TEA:…`. The native asset comes first.
impl Ord for Asset {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Native, Self::Native) => Ordering::Equal,
            (Self::Native, Self::Issued { .. }) => Ordering::Less,
            (Self::Issued { .. }, Self::Native) => Ordering::Greater,
            (Self::Issued { code, issuer }, Self::Issued { code: other_code, issuer: other_issuer }) => {
                // The code's zero padding stands for the `:` that ends it in `CODE:ISSUER`. Digits sort before `:`,
                // letters after.
                let bytes = |code: &AssetCode| code.bytes.map(|byte| if byte == 0 { b':' } else { byte });
                bytes(code).cmp(&bytes(other_code)).then_with(|| issuer.cmp(other_issuer))
            }
        }
    }
}

impl PartialOrd for Asset {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for AssetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::test_support::address;
    use proptest::prelude::*;

    pub(crate) fn issued(code: &str, byte: u8) -> Asset {
        Asset::issued(code, &address(byte)).unwrap()
    }

    #[test]
    fn checks_codes_and_addresses() {
        let issuer = address(1);
        assert!(Asset::issued("USDC", &issuer).is_ok());
        for code in ["", "ABCDEFGHIJKLM", "US_D", "US-D", "ÜSD", "U D", "A\0"] {
            assert_eq!(Asset::issued(code, &issuer), Err(AssetError::Code), "{code:?}");
        }
        let wrong = issuer.replace('A', "B");
        for address in ["", "native", &wrong, &issuer.to_lowercase()] {
            assert_eq!(Asset::issued("USDC", address), Err(AssetError::Account), "{address:?}");
        }
    }

    #[test]
    fn sorts_by_the_bytes_of_code_and_issuer() {
        let mut assets =
            [issued("TEA", 1), issued("slow", 1), issued("TEA1", 9), issued("TEAX", 1), Asset::Native];
        assets.sort();
        assert_eq!(assets.map(|asset| asset.code().to_owned()), ["XLM", "TEA1", "TEA", "TEAX", "slow"]);
    }

    proptest! {
        #[test]
        fn orders_assets_as_their_text_is_ordered(a in "[A-Za-z0-9]{1,12}", b in "[A-Za-z0-9]{1,12}", x: u8, y: u8) {
            let (left, right) = (issued(&a, x), issued(&b, y));
            prop_assert_eq!(left.cmp(&right), left.to_string().cmp(&right.to_string()));
            prop_assert_eq!(left.to_string().parse(), Ok(left));
        }

        #[test]
        fn never_panics_on_any_text(text in "\\PC*") {
            let _ = text.parse::<Asset>();
        }
    }
}
