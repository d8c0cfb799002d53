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
    /// Home domain that confirms the asset, or the ends of the key.
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
        let (key, domain) = (ends(issuer), asset.confirmed_domain());
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ticker_domain::{
        asset::Asset, candles::Interval, directory::Directory, instant::UnixSeconds,
        listed_asset::ListedAsset, market::QUOTE_ASSETS, span::Span, test_support, windows::Windows,
    };

    use super::*;
    use crate::{
        board::{Board, BoardQuery},
        listings::explain::Field,
        pages::{self, MarketRequest, TickerState},
        test_view::view_of,
    };

    /// XLM against the real USDC (asset 2) and against one whose issuer names the same domain (asset 3), which
    /// does not confirm it.
    fn view() -> ListingView {
        let real: Asset = QUOTE_ASSETS[0].parse().unwrap();
        let fake = Asset::issued("USDC", &test_support::address(9)).unwrap();
        let (mut directory, mut windows) = (Directory::default(), Windows::default());
        directory.add_names([(1, Asset::Native), (2, real), (3, fake)]);
        directory.add_markets([(1, 1, 2), (2, 1, 3)]);
        let listed = |asset: &Asset, is_controlled_by_domain| ListedAsset {
            toml_url: "https://circle.com/.well-known/stellar.toml".to_owned(),
            is_controlled_by_domain,
            ..test_support::listed(asset.code(), asset.issuer(), "")
        };
        directory.update_assets([(2, Some(listed(&real, true))), (3, Some(listed(&fake, false)))]);
        windows.advance(UnixSeconds(1_000_000));
        for market in [1, 2] {
            let trade = test_support::trade(7, market, 999_000, (10_000_000, 10_000_000), (1, 1));
            windows.add(market, trade);
        }
        view_of(directory, &windows, &[])
    }

    fn text(page: Vec<u8>) -> String {
        String::from_utf8(page).unwrap()
    }

    fn title(html: &str) -> &str {
        html.split_once("<title>").unwrap().1.split_once("</title>").unwrap().0
    }

    /// All pages with a market or an asset: their address, and their text.
    fn all_pages(view: &ListingView) -> Vec<(String, String)> {
        let (board, state) = (Board::of(view), TickerState::default());
        let mut found =
            vec![("/".to_owned(), text(pages::list(view, &board, &BoardQuery::default(), &state)))];
        for market in view.markets() {
            let request = MarketRequest {
                interval: Interval::Hour,
                is_raw: false,
                origin: "https://t.example".to_owned(),
                levels: None,
            };
            let explanation =
                Field::named("high").unwrap().explain(&market, Span::Day, |_, _, _| String::new());
            found.push((format!("/m/{}", market.name()), text(pages::market(&market, &request, &state))));
            found.push((
                format!("/m/{}?explain=high", market.name()),
                text(pages::explain(&market, explanation, &state)),
            ));
        }
        for id in 1..=3 {
            let asset = view.asset(id).unwrap();
            found.push((format!("/a/{}", asset.name()), text(pages::asset(&asset, view, "", &state))));
        }
        found
    }

    #[test]
    fn only_a_domain_that_confirms_the_asset_stands_for_its_issuer() {
        let view = view();
        let parties: Vec<_> = [2, 3].map(|id| Party::of(&view.asset(id).unwrap()).unwrap()).into();
        let fake_key = ends(&test_support::address(9));
        let [real, fake] = &parties[..] else { panic!("two issuers") };
        assert_eq!((real.label.as_str(), real.is_key, real.is_verified), ("circle.com", false, true));
        assert_eq!((&fake.label, fake.is_key, fake.is_verified), (&fake_key, true, false));
        let fake_name = view.asset(3).unwrap().name();
        for (address, html) in all_pages(&view) {
            let title = title(&html);
            if address.contains(&fake_name) {
                assert!(title.contains(&fake_key) && !title.contains("circle.com"), "{address}: {title}");
                let head = html.split_once("</head>").unwrap().0;
                assert!(!head.contains("circle.com"), "{address}: {head}");
                let is_claim = address.starts_with("/a/");
                assert_eq!(
                    html.contains("The issuer claims circle.com as its home domain."),
                    is_claim,
                    "{address}"
                );
            } else if address != "/" && address != "/a/XLM" {
                assert!(title.contains("of circle.com"), "{address}: {title}");
            }
            let links = html.split("<a href=\"/").filter(|link| link.contains(&fake_name[5..]));
            for link in links {
                let name = link.split_once("</a>").map_or(link, |(name, _)| name);
                assert!(!name.contains("circle.com") || name.contains("KZVN"), "{address}: {name}");
            }
        }
    }

    #[test]
    fn no_two_pages_share_a_title() {
        let pages = all_pages(&view());
        let titles: BTreeSet<&str> = pages.iter().map(|(_, html)| title(html)).collect();
        assert_eq!(titles.len(), pages.len(), "{titles:?}");
    }
}
