//! Markets: two assets in one fixed orientation.

use super::asset::Asset;

/// Quote assets of new outputs as `CODE:ISSUER`, the preferred first. Append only: an insertion would change existing
/// pairs.
pub const QUOTE_ASSETS: [&str; 5] = [
    "USDC:GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN",
    "yUSDC:GDGTVWSM4MGS4T7Z6W4RPWOCHE2I6RDFCIFZGS3DOA63LWQTRNZNTTFF",
    "EURC:GDHU6WRG4IEQXM5NZ4BMPKOXHW76MZM4Y2IEMFDVXBSDP6SJY4ITNPP2",
    "BTC:GDPJALI4AZKUU2W426U5WKMAT6CN3AJRPIIRYR2YM54TL2GDWO5O2MZM",
    "ETH:GBFXOHVAS43OIWNIO7XLRJAHT3BICFEIKOJLZVXNT572MISM4CMGSOCC",
];

/// Market in the normalised orientation of the legacy ticker. XLM is always base, else the asset whose `CODE:ISSUER`
/// sorts first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Market {
    base: Asset,
    counter: Asset,
}

impl Market {
    /// Market of two assets, and true if their sides were swapped for it. `None` if both are the same asset.
    #[must_use]
    pub fn of(base: Asset, counter: Asset) -> Option<(Self, bool)> {
        match base.cmp(&counter) {
            std::cmp::Ordering::Less => Some((Self { base, counter }, false)),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some((Self { base: counter, counter: base }, true)),
        }
    }

    /// Base asset.
    #[must_use]
    pub const fn base(&self) -> &Asset {
        &self.base
    }

    /// Counter asset.
    #[must_use]
    pub const fn counter(&self) -> &Asset {
        &self.counter
    }

    /// Base and quote as new outputs show them: `(base, quote)`. Prices are in units of the quote.
    #[must_use]
    pub fn quoted(&self) -> (&Asset, &Asset) {
        if quote_rank(&self.base) < quote_rank(&self.counter) {
            (&self.counter, &self.base)
        } else {
            (&self.base, &self.counter) // of two unlisted assets, the one that sorts last is the quote
        }
    }

    /// Name in new outputs: `<base>_<quote>`, each `XLM` or `CODE-ISSUER`.
    #[must_use]
    pub fn name(&self) -> String {
        let (base, quote) = self.quoted();
        format!("{}_{}", base.name(), quote.name())
    }
}

/// Rank as a quote asset; the lower rank quotes. The listed assets come first, then XLM, then all others with equal
/// rank.
fn quote_rank(asset: &Asset) -> usize {
    match asset {
        Asset::Native => QUOTE_ASSETS.len(),
        Asset::Issued { code, issuer } => {
            let parts = Some((code.as_str(), issuer.as_str()));
            let place = QUOTE_ASSETS.iter().position(|listed| listed.split_once(':') == parts);
            place.unwrap_or(QUOTE_ASSETS.len() + 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::asset::tests::issued;
    use super::*;

    #[test]
    fn the_base_is_xlm_or_the_first_by_bytes() {
        let (usd, tea) = (issued("USD", 1), issued("TEA", 2));
        let (market, swapped) = Market::of(usd, Asset::Native).unwrap();
        assert_eq!((*market.base(), *market.counter(), swapped), (Asset::Native, usd, true));
        assert_eq!(Market::of(tea, usd).unwrap(), (Market::of(usd, tea).unwrap().0, false));
        assert!(Market::of(usd, usd).is_none());
        // An issued asset with the code XLM is not XLM.
        assert_eq!(Market::of(issued("XLM", 1), Asset::Native).unwrap().0.base(), &Asset::Native);
    }

    #[test]
    fn the_quote_is_the_first_of_the_list_then_xlm_then_the_last_by_bytes() {
        let [usdc, _, _, btc, eth] = QUOTE_ASSETS.map(|text| text.parse::<Asset>().unwrap());
        let (aaa, zzz) = (issued("AAA", 1), issued("zzz", 1));
        for (one, other, quote) in [
            (Asset::Native, usdc, usdc),
            (btc, usdc, usdc),
            (eth, btc, btc),
            (Asset::Native, zzz, Asset::Native),
            (aaa, zzz, zzz),
            (zzz, eth, eth),
        ] {
            let (market, _) = Market::of(one, other).unwrap();
            assert_eq!(market.quoted().1, &quote, "{one} {other}");
            assert_ne!(market.quoted().0, &quote);
        }
    }

    #[test]
    fn the_name_ends_with_the_quote() {
        let usdc: Asset = QUOTE_ASSETS[0].parse().unwrap();
        let tea = issued("TEA", 2);
        let name = |base, counter| Market::of(base, counter).unwrap().0.name();
        assert_eq!(name(usdc, Asset::Native), format!("XLM_USDC-{}", usdc.issuer()));
        assert_eq!(name(Asset::Native, tea), format!("TEA-{}_XLM", tea.issuer()));
    }
}
