//! Filter of a stream: markets, assets, or everything.

use std::collections::HashSet;

use ticker_formats::listings::{
    ListingView,
    live::{Line, Lines},
};

use super::write_line;
use crate::{
    domain::{asset_names::AssetId, windows::MarketId},
    http::api::{document, error::ApiError, parameters::Parameters},
};

/// Most markets and assets in a filter.
const NAMES_MAX: usize = 200;

/// Events that a reader wants: those of a market or an asset that it names, or all if it names none.
pub(super) struct Filter {
    markets: HashSet<MarketId>,
    assets: HashSet<AssetId>,
}

impl Filter {
    /// Reads the lists of names, separated by commas, in any spelling.
    pub(super) fn read(parameters: &Parameters, view: &ListingView) -> Result<Self, ApiError> {
        let names = |name: &str| parameters.text(name).into_iter().flat_map(|text| text.split(','));
        if names("markets").chain(names("assets")).count() > NAMES_MAX {
            return Err(ApiError::BadParameter(format!("at most {NAMES_MAX} markets and assets")));
        }
        let markets = names("markets").map(|name| Ok(document::market(view, name)?.id()));
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

    fn wants(&self, line: &Line) -> bool {
        let (base, counter) = line.assets;
        self.is_all()
            || self.markets.contains(&line.market)
            || self.assets.contains(&base)
            || self.assets.contains(&counter)
    }

    /// Appends the wanted events, trades first.
    pub(super) fn write(&self, lines: &Lines, text: &mut String) {
        let wanted = |line: &&Line| self.wants(line);
        lines.trades.iter().filter(wanted).for_each(|line| write_line("trade", line, text));
        lines.markets.iter().filter(wanted).for_each(|line| write_line("market", line, text));
    }
}
