//! Figures on the pages of assets and of the status, against the API.

use serde_json::Value;

use super::{assert_shows, between, figures, page, plain};
use crate::{
    listings::{USDC, daemon, horizon, ok, text},
    support::{
        daemon::{Answer, Daemon},
        network::block_on,
        wait_until,
    },
};

/// Markets of an asset, in a document of all.
fn markets_of<'a>(id: &str, all: &'a Value) -> Vec<&'a Value> {
    let is_side = |market: &&Value| market["base"]["id"] == id || market["quote"]["id"] == id;
    all["markets"].as_array().unwrap().iter().filter(is_side).collect()
}

/// Asserts that the page of an asset shows what the API says of it and of its markets.
fn assert_asset(id: &str, html: &str, asset: &Value, all: &Value) {
    let shown = figures(html);
    let price = between(between(html, "<div class=\"price\"", "</div>")[0], "<strong>", "</strong>")[0];
    assert_shows(price.trim_start_matches('$'), &asset["price"]["usd"], &format!("{id} price"));
    assert_shows(&shown["Price in XLM"], &asset["price"]["xlm"], &format!("{id} in XLM"));
    assert_shows(&shown["Supply"], &asset["supply"], &format!("{id} supply"));
    let markets = markets_of(id, all);
    assert_eq!(shown["Markets"], markets.len().to_string(), "{id}");
    let volumes = markets.iter().filter_map(|market| market["usd"]["volume_24h"].as_str());
    let volumes: Vec<f64> = volumes.map(|text| text.parse().unwrap()).collect();
    let sum = (!volumes.is_empty()).then(|| volumes.iter().sum::<f64>().to_string());
    assert_shows(shown["24 h volume"].trim_start_matches('$'), &sum.into(), &format!("{id} volume"));
}

#[test]
fn an_asset_shows_the_figures_of_the_api() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let assets = ok(&daemon, "/api/v1/assets").json();
        for id in ["XLM", USDC, text(&assets["assets"][0], "id")] {
            wait_until("page and API are of one publication", || {
                let paths = [
                    format!("/a/{id}"),
                    format!("/api/v1/assets/{id}"),
                    "/api/v1/markets?limit=1000&fields=id,base,quote,usd".to_owned(),
                ];
                let [page, asset, all] = paths.map(|path| ok(&daemon, &path));
                let publication = |answer: &Answer| {
                    ["x-ticker-seq", "x-ticker-as-of"].map(|name| answer.header(name).unwrap().to_owned())
                };
                let of_page = publication(&page);
                if of_page != publication(&asset) || of_page != publication(&all) {
                    return false;
                }
                assert_asset(id, &String::from_utf8_lossy(&page.body), &asset.json(), &all.json());
                true
            });
        }
    });
}

/// Numbers of held ranges and of gaps, and the audit, as `/api/v1/status` has them.
fn expected(daemon: &Daemon) -> Vec<String> {
    let status = ok(daemon, "/api/v1/status").json();
    let mut expected: Vec<String> =
        ["coverage", "gaps"].map(|list| status[list].as_array().unwrap().len().to_string()).to_vec();
    let audit = &status["audit"];
    // Before the first pass it may hold what was read again.
    if audit["markets"].is_null() {
        expected.push("no pass yet".to_owned());
        return expected;
    }
    let at = audit["at"].as_str().map(|at| format!("{} UTC", at[..16].replace('T', " ")));
    expected.push(at.unwrap_or_else(|| "–".to_owned()));
    expected.extend(["markets", "unread", "differences", "repaired"].map(|field| audit[field].to_string()));
    expected
}

/// The same as the page `/status` shows it.
fn shown(daemon: &Daemon) -> Vec<String> {
    let html = page(daemon, "/status");
    let rows = |name: &str| {
        let tables = between(&html, &format!("aria-label=\"{name} ledgers\""), "</tbody>");
        tables.iter().map(|table| table.matches("<tr><td").count()).sum::<usize>().to_string()
    };
    let mut shown = vec![rows("Held"), rows("Missing")];
    let audit = between(&html, "<h2 id=\"audit\">", "</section>")[0];
    shown.extend(between(audit, "<dd>", "</dd>").into_iter().map(plain));
    shown
}

#[test]
fn the_status_page_shows_the_ranges_the_gaps_and_the_audit_of_the_api() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        daemon.wait_for_audit();
        // Another one may end between the two.
        wait_until("the page shows the status of the API", || expected(&daemon) == shown(&daemon));
        let ranges: usize = shown(&daemon)[0].parse().unwrap();
        assert!(ranges > 0, "the history is held");
    });
}
