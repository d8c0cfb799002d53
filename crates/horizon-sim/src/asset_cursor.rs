//! Cursor of `/assets`.

/// Code, issuer and type. Horizon sorts assets by them, and a cursor contains them.
pub(crate) type AssetKey = (String, String, String);

/// Parses `CODE_ISSUER_type`.
pub(crate) fn parse(token: &str) -> Option<AssetKey> {
    let mut parts = token.splitn(3, '_').map(str::to_owned);
    let key = (parts.next()?, parts.next()?, parts.next()?);
    if key.0.is_empty() || key.1.is_empty() || key.2.is_empty() { None } else { Some(key) }
}

/// Formats `CODE_ISSUER_type`.
pub(crate) fn token(key: &AssetKey) -> String {
    format!("{}_{}_{}", key.0, key.1, key.2)
}
