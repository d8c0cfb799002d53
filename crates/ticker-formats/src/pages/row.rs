//! Rows of a list of markets.

use crate::{
    board::{BoardRow, Flag, levels, points},
    listings::{AssetView, ListingView, MarketView},
    shown,
};

/// Row of the list.
pub(super) struct Row {
    /// Number of the market in the feed.
    pub(super) number: i32,
    /// Name of the market.
    pub(super) id: String,
    pub(super) base_code: String,
    pub(super) quote_code: String,
    /// Issuers of the base and the quote, without that of XLM.
    pub(super) parties: Vec<Party>,
    pub(super) tags: Vec<&'static str>,
    pub(super) price: String,
    pub(super) changes: Vec<Change>,
    pub(super) low: String,
    pub(super) high: String,
    /// Position of the price between low and high, 0 to 100.
    pub(super) mark: Option<i64>,
    pub(super) volume_usd: String,
    pub(super) volume: String,
    pub(super) trades: String,
    pub(super) bid: String,
    pub(super) ask: String,
    pub(super) spread: String,
    pub(super) age: String,
    /// Points of the sparkline, and the height at which it starts.
    pub(super) spark: Option<(String, u8)>,
}

/// Issuer as a row names it.
pub(super) struct Party {
    /// Home domain, or the ends of the key.
    pub(super) label: String,
    pub(super) is_key: bool,
    pub(super) is_verified: bool,
    /// Ends of the key, so that no two links have one name.
    pub(super) key: String,
}

/// Change with its direction.
pub(super) struct Change {
    pub(super) text: String,
    /// `up`, `down` or empty: the class of the text.
    pub(super) class: &'static str,
}

impl Row {
    pub(super) fn of(row: &BoardRow, market: &MarketView<'_>) -> Self {
        Self {
            number: row.market,
            id: market.name(),
            base_code: market.base().asset().code().to_owned(),
            quote_code: market.quote().asset().code().to_owned(),
            parties: [market.base(), market.quote()].into_iter().filter_map(Party::of).collect(),
            tags: Flag::WARNINGS.into_iter().filter(|flag| row.flags.has(*flag)).map(Flag::tag).collect(),
            price: row.print(row.price),
            changes: row.changes.map(Change::of).into_iter().collect(),
            low: row.print(row.low),
            high: row.print(row.high),
            mark: mark(row),
            volume_usd: shown::or_none(row.volume_usd, shown::amount),
            volume: shown::amount(row.volume),
            trades: shown::count(row.trades),
            bid: row.print(row.bid),
            ask: row.print(row.ask),
            spread: shown::or_none(row.spread, shown::percent),
            age: shown::or_none(row.age_s, shown::age),
            spark: points(&levels(market)),
        }
    }

    pub(super) fn all<'a>(rows: impl IntoIterator<Item = &'a BoardRow>, view: &ListingView) -> Vec<Self> {
        let row = |row: &BoardRow| view.market(row.market).map(|market| Self::of(row, &market));
        rows.into_iter().filter_map(row).collect()
    }
}

/// Position of the last price in the range of 24 hours, in percent.
fn mark(row: &BoardRow) -> Option<i64> {
    let (low, high, price) = (row.low?, row.high?, row.price?);
    let range = high.checked_sub(low).filter(|range| *range > 0)?;
    let above = price.clamp(low, high).checked_sub(low)?;
    i64::try_from(i128::from(above) * 100 / i128::from(range)).ok()
}

impl Party {
    pub(super) fn of(asset: &AssetView<'_>) -> Option<Self> {
        let issuer = asset.asset().issuer();
        if issuer == "native" {
            return None;
        }
        let (key, domain) = (ends(issuer), asset.home_domain());
        Some(Self {
            is_key: domain.is_none(),
            label: domain.unwrap_or_else(|| key.clone()),
            is_verified: asset.is_verified(),
            key,
        })
    }
}

impl Change {
    pub(super) fn of(hundredths: Option<i64>) -> Self {
        let class = match hundredths {
            Some(1..) => "up",
            Some(..=-1) => "down",
            _ => "",
        };
        Self { text: shown::or_none(hundredths, shown::change), class }
    }
}

/// First and last four letters of a key: `GA5Z…KZVN`.
pub(super) fn ends(key: &str) -> String {
    let start: String = key.chars().take(4).collect();
    let end: Vec<char> = key.chars().rev().take(4).collect();
    format!("{start}…{}", end.into_iter().rev().collect::<String>())
}
