//! An asset in the record of a trade.

use super::catalog::Asset;

/// `<side>_asset_*` members of a trade, rendered once per market.
#[derive(Debug)]
pub(crate) struct AssetJson(pub(crate) String);

impl AssetJson {
    pub(crate) fn new(side: &str, asset: &Asset) -> Self {
        let Asset { code, issuer, kind, .. } = asset;
        Self(if *kind == "native" {
            format!(r#""{side}_asset_type":"native""#)
        } else {
            format!(
                r#""{side}_asset_type":"{kind}","{side}_asset_code":"{code}","{side}_asset_issuer":"{issuer}""#
            )
        })
    }
}
