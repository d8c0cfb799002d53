//! Documents of the busiest market: trades, books and candles in all formats.

use ticker_schemas::agreement::{self, Reference, ReferenceMarket};

use super::Checker;
use crate::{app::CommandError, http::served_client::Document};

/// Times that two formats of a book are requested until both show the same reading of it.
const BOOK_READS_MAX: u32 = 5;

/// Checks the documents of the listed market with the most trades, and those that belong to no market.
pub(super) async fn check(checker: &mut Checker, reference: &Reference) -> Result<(), CommandError> {
    if checker.wants("own") {
        checker.checked("status", "/api/v1/status").await?;
    }
    if checker.wants("udf") {
        checker.checked("udf-config", "/udf/config").await?;
    }
    let Some(market) = reference.busiest() else {
        checker.report.skip("agreement", "the busiest market", "no listed market traded in 24 hours");
        return Ok(());
    };
    let own = format!("/api/v1/markets/{}", market.id);
    if checker.wants("own") {
        for name in ["names", "figures", "sparks"] {
            checker.checked(&format!("board-{name}"), &format!("/api/v1/board/{name}")).await?;
        }
        checker.checked("explain", &format!("{own}/explain?field=vwap")).await?;
        checker.checked("market", &own).await?;
        let base = market.figure("base").unwrap_or_default();
        checker.checked("asset", &format!("/api/v1/assets/{base}")).await?;
    }
    if checker.wants("ccxt") {
        for name in ["ticker", "trades", "ohlcv"] {
            let path = format!("/api/v1/ccxt/{name}?symbol={}", market.id);
            checker.checked(&format!("ccxt-{name}"), &path).await?;
        }
    }
    trades(checker, market, &own).await?;
    books(checker, market, &own).await?;
    candles(checker, market, &own).await
}

async fn trades(checker: &mut Checker, market: &ReferenceMarket, own: &str) -> Result<(), CommandError> {
    let is_wanted = ["own", "coingecko", "coinmarketcap"].into_iter().any(|family| checker.wants(family));
    if !is_wanted {
        return Ok(());
    }
    let own = checker.checked("trades", &format!("{own}/trades?limit=10000")).await?;
    let (mut of_gecko, mut of_cap) = (None, None);
    if checker.wants("coingecko") {
        for (prefix, name) in names(market) {
            let path = format!("{prefix}/coingecko/historical_trades?ticker_id={name}");
            of_gecko = checker.checked("coingecko-historical_trades", &path).await?;
        }
    }
    if checker.wants("coinmarketcap") {
        // Under the names that summary prints: another spelling redirects.
        for (prefix, names) in [("/api/v1/contract", "contracts"), ("/api/v1", "symbols")] {
            let name = market.figure(names).unwrap_or_default();
            let path = format!("{prefix}/coinmarketcap/trades/{name}");
            of_cap = checker.checked("coinmarketcap-trades", &path).await?;
        }
    }
    let Some(own) = own else { return Ok(()) };
    let body = |document: &Option<Document>, empty: &'static str| {
        document.as_ref().map_or(empty.as_bytes().to_vec(), |document| document.body.to_vec())
    };
    let compared = agreement::trades(&own.body, &body(&of_gecko, "{}"), &body(&of_cap, "[]"));
    checker.compared(&format!("trades of {}", market.id), compared);
    Ok(())
}

async fn books(checker: &mut Checker, market: &ReferenceMarket, own: &str) -> Result<(), CommandError> {
    let mut others = Vec::new();
    if checker.wants("coingecko") {
        others.extend(names(market).map(|(prefix, name)| {
            ("coingecko-orderbook", format!("{prefix}/coingecko/orderbook?ticker_id={name}"))
        }));
    }
    if checker.wants("coinmarketcap") {
        let name = market.figure("symbols").unwrap_or_default();
        others.push(("coinmarketcap-orderbook", format!("/api/v1/coinmarketcap/orderbook/{name}")));
    }
    if others.is_empty() && !checker.wants("own") && !checker.wants("ccxt") {
        return Ok(());
    }
    let path = format!("{own}/orderbook");
    let document = checker.read(&path).await?;
    // A market has no book until the poller has read it. Older tickers answered 404.
    let is_unread = String::from_utf8_lossy(&document.body).contains("has not been read yet");
    if is_unread && matches!(document.status, 404 | 503) {
        checker.report.skip("schema", &path, "its order book has not been read yet");
        return Ok(());
    }
    let is_valid = checker.by_schema("orderbook", &path, &document);
    if checker.wants("ccxt") {
        let path = format!("/api/v1/ccxt/orderbook?symbol={}", market.id);
        checker.checked("ccxt-orderbook", &path).await?;
    }
    for (schema, other) in others {
        if let Some(theirs) = checker.checked(schema, &other).await?
            && is_valid
        {
            compare_books(checker, schema, [&other, &path], theirs).await?;
        }
    }
    Ok(())
}

/// Compares a book in another format with the market API's own. The poller may read the book again between the two
/// requests: then both are sent again.
async fn compare_books(
    checker: &mut Checker,
    schema: &'static str,
    [other, own]: [&str; 2],
    mut theirs: Document,
) -> Result<(), CommandError> {
    let mut compared = agreement::book(schema, &theirs.body, &checker.read(own).await?.body);
    for _ in 1..BOOK_READS_MAX {
        if !matches!(&compared, Ok(compared) if compared.is_empty()) {
            break;
        }
        theirs = checker.read(other).await?;
        compared = agreement::book(schema, &theirs.body, &checker.read(own).await?.body);
    }
    checker.compared(&format!("{other} = {own}"), compared);
    Ok(())
}

async fn candles(checker: &mut Checker, market: &ReferenceMarket, own: &str) -> Result<(), CommandError> {
    if !["own", "udf", "horizon"].into_iter().any(|family| checker.wants(family)) {
        return Ok(());
    }
    let path = format!("{own}/candles?interval=1h&limit=1000");
    let candles = checker.checked("candles", &path).await?;
    if checker.wants("own")
        && let Some(base) = market.figure("base")
    {
        checker.checked("volume", &format!("/api/v1/volume?market={}", market.id)).await?;
        checker.checked("volume", &format!("/api/v1/volume?asset={base}&interval=1d")).await?;
        checker.checked("price_at", &format!("/api/v1/assets/{base}/price")).await?;
    }
    if checker.wants("udf") {
        checker.checked("udf-symbols", &format!("/udf/symbols?symbol={}", market.id)).await?;
        let path = format!("/udf/history?symbol={}&resolution=60&countback=1000&to=9999999999", market.id);
        let history = checker.checked("udf-history", &path).await?;
        if let Some((history, candles)) = history.as_ref().zip(candles.as_ref()) {
            let compared = agreement::udf_history(&history.body, &candles.body);
            checker.compared(&format!("/udf/history = candles of {}", market.id), compared);
        }
    }
    if checker.wants("horizon") {
        let side =
            |side: &str, figure: &str| asset_of_horizon(side, market.figure(figure).unwrap_or_default());
        let path = format!(
            "/trade_aggregations?{}&{}&resolution=3600000&limit=200&order=desc",
            side("base", "base"),
            side("counter", "quote")
        );
        let records = checker.checked("trade_aggregations", &path).await?;
        if let Some((records, candles)) = records.as_ref().zip(candles.as_ref()) {
            let compared = agreement::aggregations(&records.body, &candles.body);
            checker.compared(&format!("/trade_aggregations = candles of {}", market.id), compared);
        }
    }
    Ok(())
}

/// Prefix of the paths and name of the market, with contract ids and with classic ones.
fn names(market: &ReferenceMarket) -> [(&'static str, String); 2] {
    let contracts = market.figure("contracts").unwrap_or_default().to_owned();
    [("/api/v1/contract", contracts), ("/api/v1", market.id.clone())]
}

/// Asset in the parameters of Horizon.
fn asset_of_horizon(side: &str, name: &str) -> String {
    let Some((code, issuer)) = name.split_once('-') else { return format!("{side}_asset_type=native") };
    let kind = if code.len() <= 4 { "credit_alphanum4" } else { "credit_alphanum12" };
    format!("{side}_asset_type={kind}&{side}_asset_code={code}&{side}_asset_issuer={issuer}")
}
