//! Warnings about a market, each with its reason. Nothing is left out silently: a doubtful market is shown and flagged.

use serde::{Serialize, Serializer};
use ticker_domain::{instant::DAY, market::QUOTE_ASSETS, span::Span};

use super::{asset::AssetView, market::MarketView};

/// Volume in 24 hours below which a market is thin: 100 dollars, in stroops.
const THIN_VOLUME: i128 = 100 * 10_000_000;
/// Number of clean trades in 24 hours below which a market is thin.
const THIN_TRADES: u64 = 10;
/// Share of the busiest pair of accounts from which a market is concentrated, in hundredths of a per cent: a half.
const CONCENTRATED: u16 = 5_000;

/// Kind of warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warning {
    Stale,
    Thin,
    Concentrated,
    InvalidAsset,
    LookalikeOf,
    UnverifiedAnchor,
    Depeg,
}

impl Warning {
    /// Name in the market API.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Thin => "thin",
            Self::Concentrated => "concentrated",
            Self::InvalidAsset => "invalid_asset",
            Self::LookalikeOf => "lookalike_of",
            Self::UnverifiedAnchor => "unverified_anchor",
            Self::Depeg => "depeg",
        }
    }
}

impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Warning about a market.
#[derive(Debug, Serialize)]
pub(super) struct Flag {
    pub(super) flag: Warning,
    pub(super) reason: String,
}

/// Warnings about a market, with their reasons.
#[must_use]
pub(crate) fn warnings(market: &MarketView<'_>) -> Vec<(Warning, String)> {
    of(market).into_iter().map(|flag| (flag.flag, flag.reason)).collect()
}

/// Warnings about a market.
pub(super) fn of(market: &MarketView<'_>) -> Vec<Flag> {
    let mut flags = Vec::new();
    let day = market.stats(Span::Day);
    let age_s = market.last_trade_at().map(|at| market.view().as_of().0.saturating_sub(at.0));
    if age_s.is_none_or(|age_s| age_s >= DAY) {
        flags.push(Flag { flag: Warning::Stale, reason: "no trade in the last 24 hours".to_owned() });
    } else if day.clean_count < THIN_TRADES {
        let reason = format!("{} trades above dust in 24 hours, fewer than {THIN_TRADES}", day.clean_count);
        flags.push(Flag { flag: Warning::Thin, reason });
    } else if market.usd_volume(day.quote_volume).is_some_and(|volume| volume < THIN_VOLUME) {
        flags.push(Flag {
            flag: Warning::Thin,
            reason: "less than 100 dollars of volume in 24 hours".to_owned(),
        });
    }
    let accounts = market.view().accounts(market.id());
    if let Some((_, accounts)) = accounts.filter(|(_, accounts)| accounts.largest_pair >= CONCENTRATED) {
        let share = accounts.largest_pair_percent();
        let reason = format!("two accounts made {share} % of the volume of 24 hours with each other");
        flags.push(Flag { flag: Warning::Concentrated, reason });
    }
    for asset in [market.base(), market.quote()] {
        flags.extend(of_asset(asset, market));
    }
    flags
}

fn of_asset(asset: &AssetView<'_>, market: &MarketView<'_>) -> Vec<Flag> {
    let mut flags = Vec::new();
    let code = asset.asset().code();
    if !asset.is_valid() {
        let reason = format!("{} is not valid: Horizon or its issuer's file does not list it", asset.name());
        flags.push(Flag { flag: Warning::InvalidAsset, reason });
    }
    // A reader takes `usdc` for USDC.
    let has_code = |listed: &&str| listed.split(':').next().is_some_and(|of| of.eq_ignore_ascii_case(code));
    if let Some(original) = QUOTE_ASSETS.into_iter().chain(["XLM"]).find(has_code) {
        let original = original.replace(':', "-");
        if original != asset.name() {
            let reason = format!("{} has the code of {original}", asset.name());
            flags.push(Flag { flag: Warning::LookalikeOf, reason });
        }
    } else if let Some(symbol) =
        market.view().symbols().of_code(code).filter(|symbol| symbol.asset != asset.id())
    {
        let original = market.view().asset(symbol.asset).map(|asset| asset.name()).unwrap_or_default();
        let reason = format!("{} has the code of {original}", asset.name());
        flags.push(Flag { flag: Warning::LookalikeOf, reason });
    }
    let anchor = asset.listed().map(|listed| listed.currency.anchor_asset.as_str()).unwrap_or_default();
    if !anchor.is_empty() && !asset.is_verified() {
        let reason = format!("{} claims an anchor that its home domain does not confirm", asset.name());
        flags.push(Flag { flag: Warning::UnverifiedAnchor, reason });
    }
    if asset.is_depegged() {
        let reason = format!("{} is more than 2 % away from the dollar of the other anchors", asset.name());
        flags.push(Flag { flag: Warning::Depeg, reason });
    }
    flags
}

#[cfg(test)]
mod tests {
    use ticker_domain::{
        asset::Asset,
        test_support::{address, trade},
    };

    use super::*;
    use crate::test_view::view_of_market;

    fn is_lookalike(base: Asset, quote: Asset) -> bool {
        let trades = [trade(7, 0, 1_000, (10_000_000, 10_000_000), (1, 1))];
        let view = view_of_market((base, quote), 2_000, trades);
        let market = view.market(1).unwrap();
        of(&market).iter().any(|flag| matches!(flag.flag, Warning::LookalikeOf))
    }

    #[test]
    fn a_code_of_a_listed_asset_in_any_case_is_a_lookalike() {
        let usdc: Asset = QUOTE_ASSETS[0].parse().unwrap();
        for (code, expected) in
            [("USDC", true), ("usdc", true), ("Xlm", true), ("TEA", false), ("USDCx", false)]
        {
            let asset = Asset::issued(code, &address(1)).unwrap();
            assert_eq!(is_lookalike(Asset::Native, asset), expected, "{code}");
        }
        assert!(!is_lookalike(Asset::Native, usdc));
    }
}
