//! Comparison of GraphQL answers with recomputed figures.

use std::collections::BTreeMap;

use super::{
    Comparison, Expected, UnreadableError,
    markets::{ExpectedMarket, PairBook, Side, book_figures, legacy, pairs, priced, units},
    rows::{Figure, List, Row, row_of},
    served::{Fields, fields},
    sums::TradeSums,
};
use crate::domain::{
    conversions::Integer,
    instant::{HOUR, UnixSeconds},
};

/// Name of the answer in errors.
const NAME: &str = "an answer of /graphql";
/// Reason why a served market or pair is unexpected.
const NO_TRADE: &str = "no trade between valid assets in these hours";

/// Comparison rules for the lists of the answer.
const MARKETS: List = List { key: &["tradePair"], kind: "a market", absent: NO_TRADE };
const TICKER: List = List { key: &["tradePair"], kind: "a pair", absent: NO_TRADE };
const ASSETS: List =
    List { key: &["code", "issuerAccount"], kind: "an asset", absent: "the asset is not valid" };
const ISSUERS: List =
    List { key: &["publicKey"], kind: "an issuer", absent: "the issuer has no valid asset" };

/// Fields of a market that a pair does not have.
pub const MARKET_FIELDS: [&str; 4] =
    ["baseAssetCode", "baseAssetIssuer", "counterAssetCode", "counterAssetIssuer"];
/// Fields of a market and of a pair, beside those of its order book.
pub const FIGURE_FIELDS: [&str; 12] = [
    "tradePair",
    "baseVolume",
    "counterVolume",
    "tradeCount",
    "open",
    "low",
    "high",
    "change",
    "close",
    "intervalStart",
    "firstLedgerCloseTime",
    "lastLedgerCloseTime",
];
/// Fields of an asset.
pub const ASSET_FIELDS: [&str; 24] = [
    "code",
    "issuerAccount",
    "type",
    "numAccounts",
    "authRequired",
    "authRevocable",
    "amount",
    "assetControlledByDomain",
    "anchorAssetCode",
    "anchorAssetType",
    "isAssetAnchored",
    "displayDecimals",
    "name",
    "desc",
    "conditions",
    "fixedNumber",
    "maxNumber",
    "isUnlimited",
    "redemptionInstructions",
    "collateralAddresses",
    "collateralAddressSignatures",
    "countries",
    "status",
    "issuerID",
];
/// Fields of an issuer.
pub const ISSUER_FIELDS: [&str; 10] = [
    "publicKey",
    "name",
    "url",
    "tomlURL",
    "federationServer",
    "authServer",
    "transferServer",
    "webAuthEndpoint",
    "depositServer",
    "orgTwitter",
];
/// Fields of an order book, in the order of `book_figures`.
pub const BOOK_FIELDS: [&str; 8] =
    ["bidCount", "bidVolume", "bidMax", "askCount", "askVolume", "askMin", "spread", "spreadMidPoint"];

/// GraphQL query for all figures of a window of `hours` hours, and for all fields of assets and issuers.
#[must_use]
pub fn document(hours: i64) -> String {
    let figures = format!("{} orderbookStats {{ {} }}", FIGURE_FIELDS.join(" "), BOOK_FIELDS.join(" "));
    format!(
        "{{ markets(numHoursAgo: {hours}) {{ {} {figures} }} ticker(numHoursAgo: {hours}) {{ {figures} }} \
         assets {{ {} }} issuers {{ {} }} }}",
        MARKET_FIELDS.join(" "),
        ASSET_FIELDS.join(" "),
        ISSUER_FIELDS.join(" "),
    )
}

/// Compares the answer to [`document`] with the expected figures at `as_of`.
///
/// # Errors
///
/// [`UnreadableError`] if the answer or an expected object is not valid JSON, or if the answer has errors.
pub fn compare(
    body: &[u8],
    as_of: UnixSeconds,
    hours: i64,
    expected: &Expected,
) -> Result<Comparison, UnreadableError> {
    let lists = lists(body)?;
    let since = as_of.minus(hours.saturating_mul(HOUR));
    let markets = expected.markets.iter().filter(|market| !market.recent.is_empty());
    let markets = markets.map(|market| (vec![market_name(market)], market_row(market, since)));
    let pairs = pairs(&expected.markets).into_iter().filter(|pair| !pair.recent.is_empty());
    let pairs = pairs.map(|pair| {
        let row = figures(pair.name.clone(), &pair.recent, &pair.book, since);
        (vec![pair.name], row)
    });
    let assets = expected.assets.iter().map(|asset| {
        let key = vec![asset.code.clone(), asset.issuer.clone()];
        row_of(&asset.answer).map(|row| (key, row))
    });
    let issuers =
        expected.issuers.iter().map(|(key, answer)| row_of(answer).map(|row| (vec![key.clone()], row)));
    let unreadable =
        |error: serde_json::Error| UnreadableError::expected("a row of assets or issuers", &error);
    let mut comparison = Comparison::default();
    for (name, list, wanted) in [
        ("markets", MARKETS, markets.collect()),
        ("ticker", TICKER, pairs.collect()),
        ("assets", ASSETS, assets.collect::<Result<_, _>>().map_err(unreadable)?),
        ("issuers", ISSUERS, issuers.collect::<Result<_, _>>().map_err(unreadable)?),
    ] {
        list.compare(&mut comparison, lists.get(name).map_or(&[], Vec::as_slice), wanted);
    }
    Ok(comparison)
}

/// Parses the lists of an answer. Fails if it has errors or no data.
fn lists(body: &[u8]) -> Result<BTreeMap<String, Vec<Fields<'_>>>, UnreadableError> {
    let unreadable =
        |reason: &dyn std::fmt::Display| UnreadableError { file: NAME, reason: reason.to_string() };
    let text = std::str::from_utf8(body).map_err(|error| unreadable(&error))?;
    let answer = fields(text).map_err(|error| unreadable(&error))?;
    match (answer.get("data"), answer.get("errors")) {
        (Some(data), None) => serde_json::from_str(data.get()).map_err(|error| unreadable(&error)),
        (_, Some(errors)) => Err(unreadable(errors)),
        (None, None) => Err(unreadable(&"the answer has no data")),
    }
}

fn market_name(market: &ExpectedMarket) -> String {
    let side = |side: &Side| format!("{}:{}", side.code, side.issuer);
    format!("{} / {}", side(&market.base), side(&market.counter))
}

fn market_row(market: &ExpectedMarket, since: UnixSeconds) -> Row {
    let book = market.book.unwrap_or_default();
    let mut row = figures(market_name(market), &market.recent, &book, since);
    for (name, text) in [
        ("baseAssetCode", &market.base.code),
        ("baseAssetIssuer", &market.base.issuer),
        ("counterAssetCode", &market.counter.code),
        ("counterAssetIssuer", &market.counter.issuer),
    ] {
        row.insert(name.to_owned(), Figure::Text(text.clone()));
    }
    row
}

/// Fields common to markets and pairs.
fn figures(name: String, sums: &TradeSums, book: &PairBook, since: UnixSeconds) -> Row {
    let (open, close) = (priced(sums.open), priced(sums.close));
    let (first, last) = sums.times.unwrap_or_default();
    let mut row: Row = [
        ("tradePair", Figure::Text(name)),
        ("baseVolume", Figure::Exact(units(sums.base_volume))),
        ("counterVolume", Figure::Exact(units(sums.counter_volume))),
        // GraphQL's Int has 32 bits.
        ("tradeCount", Figure::Exact(sums.trade_count.min(i32::MAX.into()).to_f64())),
        ("open", Figure::Exact(open)),
        ("low", Figure::Exact(legacy(sums.low))),
        ("high", Figure::Exact(legacy(sums.high))),
        ("change", Figure::Exact(close - open)),
        ("close", Figure::Exact(close)),
        ("intervalStart", Figure::Text(since.to_rfc3339())),
        ("firstLedgerCloseTime", Figure::Text(first.to_rfc3339())),
        ("lastLedgerCloseTime", Figure::Text(last.to_rfc3339())),
    ]
    .map(|(field, figure)| (field.to_owned(), figure))
    .into();
    let book = book_figures(book).into_iter().zip(BOOK_FIELDS);
    row.extend(book.map(|(figure, field)| (format!("orderbookStats.{field}"), figure)));
    row
}

#[cfg(test)]
mod tests;
