//! `/a/{asset}`: which asset this is, what is measured of it, and what its issuer says.

use askama::Template;
use serde_json::json;
use ticker_domain::{
    asset::Asset, conversions::SaturatingFrom, decimal, instant::UnixSeconds, plain_text::stripped,
    span::Span,
};

use super::{
    Frame, TickerState,
    frame::date_time,
    gaps, linked_data,
    market::{Figure, Named, dollars, named},
    rendered,
    row::Row,
};
use crate::{
    board::{BoardRow, DollarVolume},
    listings::{AssetView, ListingView, MarketView},
    shown,
};

/// Markets that the page lists, the largest volume first.
const MARKETS_MAX: usize = 50;
/// Other assets of the code that the page names.
const NAMESAKES_MAX: usize = 10;
/// Most characters of one text of an issuer.
const TEXT_MAX: usize = 600;

/// Check of the asset's identity.
struct Check {
    /// `None` for what cannot be said.
    is_ok: Option<bool>,
    text: &'static str,
    detail: String,
}

/// Market of the asset, with the figures of 24 hours that the sums are made of.
struct Traded<'a> {
    market: MarketView<'a>,
    /// Exact volume in dollars, in stroops.
    volume_usd: Option<i128>,
    trades: u64,
}

struct Fact {
    name: &'static str,
    value: String,
}

#[derive(Template)]
#[template(path = "asset.html")]
struct AssetPage {
    frame: Frame,
    origin: String,
    asset: Named,
    /// Home domain that the issuer names and that does not confirm the asset.
    claimed_domain: Option<String>,
    issuer: Option<String>,
    contract_id: String,
    price: String,
    method: Option<&'static str>,
    confidence: Option<&'static str>,
    namesakes: Vec<Named>,
    namesake_count: usize,
    stands_for_code: bool,
    figures: Vec<Figure>,
    /// Note about ledgers that are not known. Empty if all are.
    gaps: String,
    markets: Vec<Row>,
    market_count: usize,
    all_markets: String,
    checks: Vec<Check>,
    looked_up: Option<String>,
    flags: Vec<Fact>,
    says: Vec<Fact>,
    linked_data: String,
}

/// Page of an asset. `origin` is the scheme and host that the reader asked for.
#[must_use]
pub fn asset(asset: &AssetView<'_>, view: &ListingView, origin: &str, state: &TickerState) -> Vec<u8> {
    let markets = traded(asset, view);
    let code = asset.asset().code();
    let mut others = view.assets_of_code(code);
    others.retain(|other| other.id() != asset.id());
    let price = asset.usd();
    rendered(&AssetPage {
        frame: Frame::of_view(view, state, ""),
        origin: origin.to_owned(),
        asset: named(asset),
        claimed_domain: asset.home_domain().filter(|_| !asset.is_verified()),
        issuer: Some(asset.asset().issuer().to_owned()).filter(|issuer| issuer != "native"),
        contract_id: asset.contract_id(),
        price: price
            .and_then(|price| dollars((price.rate.n, price.rate.d)))
            .unwrap_or_else(|| shown::NONE.to_owned()),
        method: price.map(|price| price.method.name()),
        confidence: price.map(|price| price.confidence.name()),
        namesake_count: others.len(),
        namesakes: others.iter().take(NAMESAKES_MAX).map(named).collect(),
        stands_for_code: view.symbols().stands_for(code, asset.id()),
        figures: figures(asset, view, &markets),
        gaps: gaps::of_view(view, &Span::KEPT),
        // XLM has a market with nearly every other asset, so only those that the page shows get a row.
        markets: markets
            .iter()
            .take(MARKETS_MAX)
            .map(|traded| Row::of(&BoardRow::of(&traded.market), &traded.market))
            .collect(),
        market_count: markets.len(),
        all_markets: shown::count(u64::saturating_from(markets.len())),
        checks: checks(asset),
        looked_up: asset
            .listed()
            .filter(|_| !is_native(asset))
            .map(|listed| date_time(listed.last_valid))
            .filter(|_| asset.listed().is_some_and(|listed| listed.last_valid != UnixSeconds(0))),
        flags: flags(asset),
        says: says(asset),
        linked_data: described(asset, origin),
    })
}

/// All markets of an asset, the largest volume first, and by name where volumes are equal.
fn traded<'a>(asset: &AssetView<'_>, view: &'a ListingView) -> Vec<Traded<'a>> {
    let traded = |market: MarketView<'a>| Traded {
        volume_usd: market.day_volume_usd(),
        trades: market.stats(Span::Day).trade_count,
        market,
    };
    let mut markets: Vec<Traded<'_>> = view.markets_of(asset).into_iter().map(traded).collect();
    markets.sort_by_key(|traded| std::cmp::Reverse(traded.volume_usd));
    markets
}

fn is_native(asset: &AssetView<'_>) -> bool {
    matches!(asset.asset(), Asset::Native)
}

fn figures(asset: &AssetView<'_>, view: &ListingView, markets: &[Traded<'_>]) -> Vec<Figure> {
    let figure = |label, value: String, note: String| Figure {
        label,
        field: None,
        value,
        class: "",
        note,
        read_at: None,
    };
    let volume = markets
        .iter()
        .fold(DollarVolume::default(), |sum, traded| sum.with(traded.volume_usd, traded.trades));
    let trades: u64 = markets.iter().map(|traded| traded.trades).fold(0, u64::saturating_add);
    let traded = markets.iter().filter(|traded| traded.trades > 0).count();
    let size = |count: usize| shown::count(u64::saturating_from(count));
    let price = asset.usd();
    let supply = asset.listed().map(|listed| listed.amount.stroops()).filter(|stroops| *stroops > 0);
    let worth = supply.zip(price).map(|(supply, price)| price.rate.worth(supply));
    let in_xlm = price.zip(view.xlm_rate()).and_then(|(price, xlm)| price.rate.times(xlm.inverse()));
    // An XLM is one XLM, also without a price in dollars.
    let in_xlm = if is_native(asset) { Some((1, 1)) } else { in_xlm.map(|rate| (rate.n, rate.d)) };
    let in_xlm = in_xlm.and_then(dollars).map(|text| text.trim_start_matches('$').to_owned());
    let way = if is_native(asset) { "" } else { "by the price in dollars" };
    vec![
        figure("Markets", size(markets.len()), format!("{} traded in 24 h", size(traded))),
        figure("24 h volume", shown::or_none(volume.known(), shown::usd_amount), volume_note(trades, volume)),
        figure("Supply", shown::or_none(supply, shown::amount), shown::or_none(worth, shown::usd_amount)),
        figure(
            "Holders",
            shown::or_none(asset.holders(), |count| shown::count(count.unsigned_abs())),
            "authorised accounts".to_owned(),
        ),
        figure("Price in XLM", in_xlm.unwrap_or_else(|| shown::NONE.to_owned()), way.to_owned()),
    ]
}

/// Note below the volume: the trades of all markets, and the markets whose volume is not in the sum.
fn volume_note(trades: u64, volume: DollarVolume) -> String {
    let trades = format!("{} trades", shown::count(trades));
    match volume.unpriced {
        0 => trades,
        1 => format!("{trades}, 1 market without a dollar price"),
        count => format!("{trades}, {} markets without a dollar price", shown::count(count)),
    }
}

fn checks(asset: &AssetView<'_>) -> Vec<Check> {
    if is_native(asset) {
        let detail = "no issuer, no file".to_owned();
        return vec![Check { is_ok: Some(true), text: "The native asset", detail }];
    }
    let Some(listed) = asset.listed() else {
        let detail =
            "Horizon does not list it with ten holders, or its stellar.toml could not be read".to_owned();
        return vec![Check { is_ok: Some(false), text: "The asset and its file could be checked", detail }];
    };
    let domain = asset.home_domain();
    let url = shortened(&listed.toml_url);
    let listed_by_file = !listed.currency.name.is_empty() || listed.is_controlled_by_domain;
    let organisation = shortened(&listed.issuer.url);
    vec![
        Check {
            is_ok: Some(domain.is_some()),
            text: "The issuer’s account names a home domain",
            detail: domain.unwrap_or_else(|| "none".to_owned()),
        },
        Check { is_ok: Some(!url.is_empty()), text: "Its stellar.toml was read", detail: url },
        Check {
            is_ok: if listed.is_controlled_by_domain { Some(true) } else { listed_by_file.then_some(true) },
            text: "The file lists this code with this issuer",
            detail: if listed_by_file { "as a currency" } else { "no entry with a name" }.to_owned(),
        },
        Check {
            is_ok: Some(listed.is_controlled_by_domain),
            text: "The home domain confirms the asset",
            detail: if organisation.is_empty() {
                "the file names no other site".to_owned()
            } else {
                organisation
            },
        },
        Check {
            is_ok: None,
            text: "Collateral",
            detail: match listed.currency.collateral_addresses.len() {
                0 => "the file names none".to_owned(),
                count => format!("addresses named, not checked: {count}"),
            },
        },
    ]
}

fn flags(asset: &AssetView<'_>) -> Vec<Fact> {
    let Some(listed) = asset.listed().filter(|_| !is_native(asset)) else { return Vec::new() };
    let yes = |is_set: bool| if is_set { "yes" } else { "no" }.to_owned();
    vec![
        Fact { name: "Issuer may freeze holders", value: yes(listed.auth_revocable) },
        Fact { name: "Issuer must approve holders", value: yes(listed.auth_required) },
    ]
}

/// Texts of the issuer's file, without hidden characters. XLM has no issuer: the texts about it are the ticker's own.
fn says(asset: &AssetView<'_>) -> Vec<Fact> {
    let Some(listed) = asset.listed().filter(|_| !is_native(asset)) else { return Vec::new() };
    let currency = &listed.currency;
    let anchor = [currency.anchor_asset_type.as_str(), currency.anchor_asset.as_str()];
    let anchor: Vec<&str> = anchor.into_iter().filter(|text| !text.is_empty()).collect();
    let anchor = anchor.join(", ");
    let texts = [
        ("Name", currency.name.as_str()),
        ("Description", currency.desc.as_str()),
        ("Anchored to", anchor.as_str()),
        ("Redemption", currency.redemption_instructions.as_str()),
        ("Conditions", currency.conditions.as_str()),
        ("Status", currency.status.as_str()),
        ("Organisation", listed.issuer.name.as_str()),
        ("Website", listed.issuer.url.as_str()),
    ];
    let fact = |(name, text): (&'static str, &str)| Fact { name, value: shortened(text) };
    texts.into_iter().map(fact).filter(|fact| !fact.value.is_empty()).collect()
}

fn shortened(text: &str) -> String {
    let plain = stripped(text);
    let mut short: String = plain.trim().chars().take(TEXT_MAX).collect();
    if plain.trim().chars().count() > TEXT_MAX {
        short.push('…');
    }
    short
}

/// Description for search engines: only what the ticker measured.
fn described(asset: &AssetView<'_>, origin: &str) -> String {
    let usd = asset.usd().and_then(|price| decimal::quotient(price.rate.n, price.rate.d));
    linked_data(&json!({
        "@context": "https://schema.org",
        "@type": "ExchangeRateSpecification",
        "url": format!("{origin}/a/{}", asset.name()),
        "name": named(asset).label(),
        "currency": asset.asset().code(),
        "currentExchangeRate": {"@type": "UnitPriceSpecification", "price": usd, "priceCurrency": "USD"},
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ticker_domain::{
        directory::Directory,
        issuer_file::Currency,
        listed_asset::ListedAsset,
        market_snapshot::MarketSnapshot,
        test_support::{address, listed},
        windows::Windows,
    };

    use super::*;
    use crate::test_view::{view, view_of_pairs};

    fn page(view: &ListingView) -> String {
        let xlm = view.find(&"XLM".parse().unwrap()).unwrap();
        String::from_utf8(asset(&xlm, view, "http://localhost", &TickerState::default())).unwrap()
    }

    #[test]
    fn the_networks_own_asset_has_no_issuer_that_says_or_confirms_anything() {
        let native = listed("XLM", "native", "");
        let texts =
            Currency { name: "Lumens".to_owned(), desc: "money".to_owned(), ..native.currency.clone() };
        for listed in [None, Some(ListedAsset { currency: texts, ..native })] {
            let mut directory = Directory::default();
            directory.add_names([(1, Asset::Native)]);
            directory.update_assets([(1, listed)]);
            let snapshot = Arc::new(MarketSnapshot::new(Windows::default().view(), directory));
            let html = page(&ListingView::new(1, snapshot, "Test".into(), &[], &Arc::default()));
            assert!(html.contains("The network’s own asset: it has no issuer and no file."), "{html}");
            assert!(html.contains("<dt>Price in XLM</dt><dd>1.0000<small></small>"), "as in the API: {html}");
            for wrong in ["Not verified", "id=\"says\"", "could be checked", "Horizon does not list"] {
                assert!(!html.contains(wrong), "{wrong}: {html}");
            }
        }
    }

    #[test]
    fn a_volume_that_no_dollar_price_reaches_is_unknown_and_not_zero() {
        let [tea, nut, oat] = ["TEA", "NUT", "OAT"].map(|code| Asset::issued(code, &address(2)).unwrap());
        let volume_of_tea = |pairs: &[(Asset, Asset, i32)]| {
            let view = view_of_pairs(pairs);
            let its = view.find(&tea.name().parse().unwrap()).unwrap();
            let html = String::from_utf8(asset(&its, &view, "", &TickerState::default())).unwrap();
            let (_, figure) = html.split_once("<dt>24 h volume</dt><dd>").unwrap();
            figure.split_once("</small>").unwrap().0.to_owned()
        };
        let (with_nut, with_oat, with_xlm) = ((tea, nut, 3), (tea, oat, 1), (Asset::Native, tea, 2));
        assert_eq!(volume_of_tea(&[with_nut]), "–<small>3 trades, 1 market without a dollar price");
        let partly = volume_of_tea(&[with_nut, with_oat, with_xlm]);
        assert_eq!(partly, "$10.00<small>6 trades, 2 markets without a dollar price");
        assert_eq!(volume_of_tea(&[with_xlm]), "$10.00<small>2 trades");
        assert_eq!(volume_of_tea(&[(tea, nut, 0)]), "$0<small>0 trades");
    }

    #[test]
    fn all_markets_count_and_the_largest_are_shown_however_many_there_are() {
        let mut others: Vec<(String, i32)> = (0..2_100).map(|place| (format!("A{place:04}"), 1)).collect();
        // Last by name.
        others.extend([("ZB".to_owned(), 2), ("ZC".to_owned(), 4)]);
        let html = page(&view(&others));
        // 15,000 dollars, and 2,106 times 10 XLM for half a dollar each.
        assert!(html.contains("<dd>$25.53 k<small>2,109 trades</small>"), "{html}");
        assert!(html.contains("<dd>2,103<small>2,103 traded in 24 h</small>"), "{html}");
        assert!(html.contains("The 50 largest of 2,103. <a href=\"/?q=XLM+native\">"), "{html}");
        let codes: Vec<&str> = html
            .split("<td class=\"left\"><a href=\"/m/")
            .skip(1)
            .filter_map(|row| row.split_once('-').map(|(code, _)| code))
            .collect();
        assert_eq!(codes.len(), MARKETS_MAX);
        assert_eq!(codes.iter().skip(1).take(3).collect::<Vec<_>>(), [&"ZC", &"ZB", &"A0000"], "{codes:?}");
    }
}
