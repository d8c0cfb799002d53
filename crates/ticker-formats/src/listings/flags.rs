//! Warnings about a market, each with its reason. Nothing is left out silently: a doubtful market is shown and flagged.

use serde::{Serialize, Serializer};
use ticker_domain::{asset::Asset, instant::DAY, market::QUOTE_ASSETS, span::Span};

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

/// Warning about a market, in parts: each output names assets in its own way.
pub(crate) struct Finding<'a> {
    pub(crate) warning: Warning,
    /// Asset that it is about, or `None` if it is about the market.
    pub(crate) asset: Option<AssetView<'a>>,
    /// Reason. The name of the asset comes before it, and that of the original after it.
    pub(crate) reason: String,
    /// Asset that this one resembles.
    pub(crate) original: Option<Asset>,
}

/// Warning about a market, in the market API.
#[derive(Debug, Serialize)]
pub(super) struct Flag {
    pub(super) flag: Warning,
    pub(super) reason: String,
}

impl<'a> Finding<'a> {
    fn of_market(warning: Warning, reason: impl Into<String>) -> Self {
        Self { warning, asset: None, reason: reason.into(), original: None }
    }

    fn of_asset(warning: Warning, asset: AssetView<'a>, reason: &str) -> Self {
        Self { warning, asset: Some(asset), reason: reason.to_owned(), original: None }
    }

    /// Reason with the full names of the assets.
    pub(crate) fn text(&self) -> String {
        let names = [self.asset.map(|asset| asset.name()), self.original.map(|asset| asset.name())];
        let [before, after] = names;
        let parts = [before.as_deref(), Some(&self.reason), after.as_deref()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// Warnings about a market, as the market API has them.
pub(super) fn of(market: &MarketView<'_>) -> Vec<Flag> {
    let flag = |finding: &Finding<'_>| Flag { flag: finding.warning, reason: finding.text() };
    findings(market).iter().map(flag).collect()
}

/// Warnings about a market.
#[must_use]
pub(crate) fn findings<'a>(market: &MarketView<'a>) -> Vec<Finding<'a>> {
    let mut findings = Vec::new();
    let day = market.stats(Span::Day);
    let age_s = market.last_trade_at().map(|at| market.view().as_of().0.saturating_sub(at.0));
    if age_s.is_none_or(|age_s| age_s >= DAY) {
        findings.push(Finding::of_market(Warning::Stale, "no trade in the last 24 hours"));
    } else if day.clean_count < THIN_TRADES {
        let reason = format!("{} trades above dust in 24 hours, fewer than {THIN_TRADES}", day.clean_count);
        findings.push(Finding::of_market(Warning::Thin, reason));
    } else if market.day_volume_usd().is_some_and(|volume| volume < THIN_VOLUME) {
        findings.push(Finding::of_market(Warning::Thin, "less than 100 dollars of volume in 24 hours"));
    }
    let accounts = market.view().accounts(market.id());
    if let Some((_, accounts)) = accounts.filter(|(_, accounts)| accounts.largest_pair >= CONCENTRATED) {
        let share = accounts.largest_pair_percent();
        let reason = format!("two accounts made {share} % of the volume of 24 hours with each other");
        findings.push(Finding::of_market(Warning::Concentrated, reason));
    }
    for asset in [market.base(), market.quote()] {
        findings.extend(of_asset(*asset, market));
    }
    findings
}

fn of_asset<'a>(asset: AssetView<'a>, market: &MarketView<'a>) -> Vec<Finding<'a>> {
    let finding = |warning, reason| Finding::of_asset(warning, asset, reason);
    let mut findings = Vec::new();
    if !asset.is_valid() {
        let reason = "is not valid: Horizon or its issuer's file does not list it";
        findings.push(finding(Warning::InvalidAsset, reason));
    }
    if let Some(Original(original)) = original_of(&asset, market) {
        findings.push(Finding { original, ..finding(Warning::LookalikeOf, "has the code of") });
    }
    let anchor = asset.listed().map(|listed| listed.currency.anchor_asset.as_str()).unwrap_or_default();
    if !anchor.is_empty() && !asset.is_verified() {
        let reason = "claims an anchor that its home domain does not confirm";
        findings.push(finding(Warning::UnverifiedAnchor, reason));
    }
    if asset.is_depegged() {
        findings.push(finding(Warning::Depeg, "is more than 2 % away from the dollar of the other anchors"));
    }
    findings
}

/// Asset that another may be taken for. `None` inside if it has no market any more.
struct Original(Option<Asset>);

/// A listed asset of the same code in any case, or the one that stands for the code. `None` if it is the asset itself.
fn original_of(asset: &AssetView<'_>, market: &MarketView<'_>) -> Option<Original> {
    let code = asset.asset().code();
    // A reader takes `usdc` for USDC.
    let has_code = |listed: &&str| listed.split(':').next().is_some_and(|of| of.eq_ignore_ascii_case(code));
    let listed = if code.eq_ignore_ascii_case("XLM") {
        Some(Asset::Native)
    } else {
        QUOTE_ASSETS.into_iter().find(has_code).and_then(|listed| listed.parse().ok())
    };
    if let Some(listed) = listed {
        return (listed != *asset.asset()).then_some(Original(Some(listed)));
    }
    let symbol = market.view().symbols().of_code(code).filter(|symbol| symbol.asset != asset.id())?;
    Some(Original(market.view().asset(symbol.asset).map(|asset| *asset.asset())))
}

#[cfg(test)]
mod tests {
    use ticker_domain::{
        asset::Asset,
        test_support::{address, trade},
    };

    use super::*;
    use crate::test_view::{view_of_market, view_of_pairs};

    #[test]
    fn a_market_with_less_than_a_hundred_dollars_of_its_base_is_thin() {
        let eth: Asset = QUOTE_ASSETS[4].parse().unwrap();
        let view = view_of_pairs(&[(Asset::Native, eth, 12)]);
        let market = view.market(2).unwrap();
        assert!(market.quote().usd().is_none(), "only XLM has a price");
        let thin = of(&market).into_iter().find(|flag| flag.flag == Warning::Thin);
        assert_eq!(thin.unwrap().reason, "less than 100 dollars of volume in 24 hours");
    }

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
