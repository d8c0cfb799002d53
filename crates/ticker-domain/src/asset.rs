//! Who an asset is: native, or a code and the account that issues it.

use std::{cmp::Ordering, fmt, str::FromStr};

/// Length of an account's address, `G…`.
const ADDRESS_LEN: usize = 56;
/// The longest code.
const CODE_LEN: usize = 12;

/// An account, by its checked address (`G…`, SEP-23).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId([u8; ADDRESS_LEN]);

/// An asset's code: 1 to 12 ASCII letters and digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AssetCode {
    bytes: [u8; CODE_LEN],
    len: u8,
}

/// An asset's identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Asset {
    /// XLM itself.
    Native,
    /// An issued asset.
    Issued {
        /// Its code, which anyone may use.
        code: AssetCode,
        /// Whose it is.
        issuer: AccountId,
    },
}

/// Why a text is no asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssetError {
    /// The code has another length or other characters.
    #[error("an asset code must be 1 to 12 letters and digits")]
    Code,
    /// The address is not `G…` with a right checksum.
    #[error("an issuer must be an account address with a right checksum")]
    Account,
    /// Neither `native` nor `CODE:ISSUER`.
    #[error("an asset must be native or CODE:ISSUER")]
    Form,
}

impl AccountId {
    /// Reads an address and checks its checksum.
    pub fn parse(text: &str) -> Result<Self, AssetError> {
        let bytes: [u8; ADDRESS_LEN] = text.as_bytes().try_into().map_err(|_| AssetError::Account)?;
        stellar_strkey::ed25519::PublicKey::from_string(text).map_err(|_| AssetError::Account)?;
        Ok(Self(bytes))
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default() // it was parsed from a str
    }
}

impl AssetCode {
    /// Reads a code.
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

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.bytes
            .get(..usize::from(self.len))
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

impl Asset {
    /// The asset of this code and issuer, both checked.
    pub fn issued(code: &str, issuer: &str) -> Result<Self, AssetError> {
        Ok(Self::Issued { code: AssetCode::parse(code)?, issuer: AccountId::parse(issuer)? })
    }

    /// Its code; `XLM` for the native one.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Native => "XLM",
            Self::Issued { code, .. } => code.as_str(),
        }
    }

    /// Its issuer's address; `native` for the native one, as the legacy files and the database have it.
    #[must_use]
    pub fn issuer(&self) -> &str {
        match self {
            Self::Native => "native",
            Self::Issued { issuer, .. } => issuer.as_str(),
        }
    }

    /// Horizon's name for its kind: `native`, `credit_alphanum4` or `credit_alphanum12`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Issued { code, .. } if code.len <= 4 => "credit_alphanum4",
            Self::Issued { .. } => "credit_alphanum12",
        }
    }
}

impl FromStr for Asset {
    type Err = AssetError;

    /// Reads `native` or `CODE:ISSUER` (SEP-11).
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

/// Byte order of `CODE:ISSUER`, so `TEA1:…` comes before `TEA:…`; the native asset comes before all.
impl Ord for Asset {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Native, Self::Native) => Ordering::Equal,
            (Self::Native, Self::Issued { .. }) => Ordering::Less,
            (Self::Issued { .. }, Self::Native) => Ordering::Greater,
            (Self::Issued { code, issuer }, Self::Issued { code: other_code, issuer: other_issuer }) => {
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
        fn the_order_is_that_of_the_text(a in "[A-Za-z0-9]{1,12}", b in "[A-Za-z0-9]{1,12}", x: u8, y: u8) {
            let (left, right) = (issued(&a, x), issued(&b, y));
            prop_assert_eq!(left.cmp(&right), left.to_string().cmp(&right.to_string()));
            prop_assert_eq!(left.to_string().parse(), Ok(left));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let _ = text.parse::<Asset>();
        }
    }
}
