//! Filter of a stream: markets, assets, or everything.

use std::collections::HashSet;

use ticker_formats::listings::{ListingView, live::Line};

use crate::{
    domain::asset_names::AssetId,
    http::api::{document, error::ApiError, parameters::Parameters},
};

/// Most markets and assets in a filter.
const NAMES_MAX: usize = 200;

/// Events that a reader wants: those of a market or an asset that it names, or all if it names none.
pub(super) struct Filter {
    /// Assets of each market, the lower id first. A market may have its first trade later.
    markets: HashSet<(AssetId, AssetId)>,
    assets: HashSet<AssetId>,
}

impl Filter {
    /// Reads the lists of names, separated by commas, in any spelling.
    pub(super) fn read(parameters: &Parameters, view: &ListingView) -> Result<Self, ApiError> {
        let names = |name: &str| parameters.text(name).into_iter().flat_map(|text| text.split(','));
        if names("markets").chain(names("assets")).count() > NAMES_MAX {
            return Err(ApiError::BadParameter(format!("at most {NAMES_MAX} markets and assets")));
        }
        let markets = names("markets").map(|name| {
            let (one, other) = document::assets_of(view, name)?;
            Ok(sorted((one.id(), other.id())))
        });
        let assets = names("assets").map(|name| Ok(document::asset(view, name)?.id()));
        Ok(Self {
            markets: markets.collect::<Result<_, ApiError>>()?,
            assets: assets.collect::<Result<_, ApiError>>()?,
        })
    }

    /// True if it names nothing.
    pub(super) fn is_all(&self) -> bool {
        self.markets.is_empty() && self.assets.is_empty()
    }

    /// True if the reader wants the event of this line.
    pub(super) fn wants(&self, line: &Line) -> bool {
        let (base, counter) = line.assets;
        self.is_all()
            || self.markets.contains(&sorted(line.assets))
            || self.assets.contains(&base)
            || self.assets.contains(&counter)
    }

    /// Everything.
    #[cfg(test)]
    pub(super) fn all() -> Self {
        Self::of_markets([])
    }

    /// The markets of these assets, or everything.
    #[cfg(test)]
    pub(super) fn of_markets(markets: impl IntoIterator<Item = (AssetId, AssetId)>) -> Self {
        Self { markets: markets.into_iter().map(sorted).collect(), assets: HashSet::new() }
    }

    /// The markets with any of these assets.
    #[cfg(test)]
    pub(super) fn of_assets(assets: impl IntoIterator<Item = AssetId>) -> Self {
        Self { markets: HashSet::new(), assets: assets.into_iter().collect() }
    }
}

fn sorted((one, other): (AssetId, AssetId)) -> (AssetId, AssetId) {
    (one.min(other), one.max(other))
}
