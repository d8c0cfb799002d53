//! Documents of all markets, read from one pinned view.

use std::time::Duration;

use serde_json::Value;
use ticker_schemas::agreement::{Format, IdStyle, Reference};

use super::Checker;
use crate::{app::CommandError, domain::instant::UnixSeconds, http::served_client::Document};

/// Attempts to read all documents from one view. A view is pinned for 10 s, and most servers send all of it in one.
const VIEWS_MAX: u32 = 20;
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// Most assets in one question for prices.
const PRICES_MAX: usize = 200;

const MARKETS: &str = "/v1/markets.json";
const SYMBOLS: &str = "/api/v1/symbols";
const ASSETS: &str = "/api/v1/assets";

/// A document of all markets.
struct Whole {
    schema: &'static str,
    path: String,
    /// Comparison with the own markets.
    against: Option<Against>,
}

enum Against {
    Markets(Format, IdStyle),
    Assets(IdStyle),
}

/// Checks all documents by their schemas and against each other. Returns the own markets, or
/// none if they are not valid.
pub(super) async fn check(checker: &mut Checker) -> Result<Option<Reference>, CommandError> {
    let wanted = wanted(checker);
    let mut paths = vec![MARKETS, SYMBOLS, ASSETS];
    paths.extend(wanted.iter().map(|whole| whole.path.as_str()));
    let Some(documents) = of_one_view(checker, &paths).await? else {
        let problem = format!("none of {VIEWS_MAX} attempts got all documents from one view");
        checker.report.add("agreement", "one view", vec![problem]);
        return Ok(None);
    };
    let (own, rest) = documents.split_at_checked(3).unwrap_or_default();
    let [markets, symbols, assets] = own else { return Ok(None) };
    if let Some((seq, as_of)) = markets.view {
        checker.report.set_view(seq, as_of.to_rfc3339());
    }
    let mut are_valid = true;
    for (schema, path, document) in
        [("markets", MARKETS, markets), ("symbols", SYMBOLS, symbols), ("assets", ASSETS, assets)]
    {
        are_valid &= checker.by_schema(schema, path, document);
    }
    let mut valid = Vec::new();
    for (whole, document) in wanted.iter().zip(rest) {
        if checker.by_schema(whole.schema, &whole.path, document) {
            valid.push((whole, document));
        }
    }
    let reference = match Reference::read(&markets.body, &symbols.body, &assets.body) {
        Ok(reference) if are_valid => reference,
        Ok(_) => return Ok(None),
        Err(error) => {
            checker.report.add("agreement", MARKETS, vec![error.to_string()]);
            return Ok(None);
        }
    };
    checker.compared(MARKETS, Ok(reference.own().clone()));
    for (whole, document) in valid {
        let compared = match &whole.against {
            Some(Against::Markets(format, style)) => reference.compare(format, *style, &document.body),
            Some(Against::Assets(style)) => reference.compare_assets(*style, &document.body),
            None => continue,
        };
        checker.compared(&format!("{} = {MARKETS}", whole.path), compared);
    }
    if checker.wants("own") {
        prices(checker).await?;
    }
    Ok(Some(reference))
}

/// The documents beside the own markets, symbols and assets.
fn wanted(checker: &Checker) -> Vec<Whole> {
    let mut wanted = Vec::new();
    for (prefix, style) in [("/api/v1", IdStyle::Classic), ("/api/v1/contract", IdStyle::Contract)] {
        for format in Format::ALL.into_iter().filter(|format| checker.wants(format.family())) {
            wanted.push(Whole {
                schema: format.schema,
                path: format!("{prefix}/{}", format.path),
                against: Some(Against::Markets(format, style)),
            });
        }
        if checker.wants("coinmarketcap") {
            wanted.push(Whole {
                schema: "coinmarketcap-assets",
                path: format!("{prefix}/coinmarketcap/assets"),
                against: Some(Against::Assets(style)),
            });
        }
    }
    if checker.wants("own") {
        wanted.push(Whole {
            schema: "markets",
            path: "/api/v1/markets?limit=1000&sort=volume".into(),
            against: None,
        });
    }
    if checker.wants("udf") {
        wanted.push(Whole {
            schema: "udf-search",
            path: "/udf/search?query=XLM&limit=100".into(),
            against: None,
        });
    }
    wanted
}

/// Reads documents again until all of them name the same view. One that is no success names none, and does not count.
async fn of_one_view(checker: &Checker, paths: &[&str]) -> Result<Option<Vec<Document>>, CommandError> {
    for _ in 0..VIEWS_MAX {
        let mut documents = Vec::new();
        for path in paths {
            documents.push(checker.read(path).await?);
        }
        let views: Vec<Option<(i64, UnixSeconds)>> = documents
            .iter()
            .filter(|document| document.status == 200)
            .map(|document| document.view)
            .collect();
        if views.iter().all(|view| Some(view) == views.first()) {
            return Ok(Some(documents));
        }
        actix_rt::time::sleep(PAUSE).await;
    }
    Ok(None)
}

/// Prices of the first assets: equal to those that `/api/v1/assets` prints.
async fn prices(checker: &mut Checker) -> Result<(), CommandError> {
    let parsed = |document: &Document| serde_json::from_slice::<Value>(&document.body).unwrap_or_default();
    let list = |value: &Value, field: &str| value.get(field).and_then(Value::as_array).cloned();
    let assets = list(&parsed(&checker.read(ASSETS).await?), "assets").unwrap_or_default();
    let ids = assets.iter().take(PRICES_MAX).filter_map(|asset| asset.get("id")?.as_str());
    let ids: Vec<&str> = ids.collect();
    if ids.is_empty() {
        checker.report.skip("agreement", "/api/v1/prices", "no asset is traded");
        return Ok(());
    }
    let path = format!("/api/v1/prices?assets={}", ids.join(","));
    let Some(documents) = of_one_view(checker, &[ASSETS, &path]).await? else {
        checker.report.skip("agreement", "/api/v1/prices", "no view had both prices and assets");
        return Ok(());
    };
    let [assets, prices] = documents.as_slice() else { return Ok(()) };
    if !checker.by_schema("prices", "/api/v1/prices", prices) {
        return Ok(());
    }
    let of_assets = list(&parsed(assets), "assets").unwrap_or_default();
    let prices = list(&parsed(prices), "prices").unwrap_or_default();
    let mut differences = Vec::new();
    for (price, id) in prices.iter().zip(ids) {
        let asset = of_assets.iter().find(|asset| asset.get("id").and_then(Value::as_str) == Some(id));
        // An asset whose last trade left the window since then is in neither document.
        if asset.is_some_and(|asset| asset.get("price") != Some(price)) {
            differences.push(format!("the price of {id} differs between /api/v1/prices and /api/v1/assets"));
        }
    }
    checker.report.add("agreement", "/api/v1/prices = /api/v1/assets", differences);
    Ok(())
}
