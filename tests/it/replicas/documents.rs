//! Documents of the market API from two replicas: the same bytes for the same view.

use serde_json::Value;

use super::*;
use crate::support::{
    DEADLINE,
    daemon::{Answer, Daemon},
};

/// Documents of a pinned view.
const OF_A_VIEW: [&str; 16] = [
    "/v1/markets.json",
    "/api/v1/markets?limit=1000",
    "/api/v1/markets?limit=5&sort=volume",
    "/api/v1/assets",
    "/api/v1/prices?assets=XLM",
    "/api/v1/symbols",
    "/api/v1/coinmarketcap/summary",
    "/api/v1/coinmarketcap/assets",
    "/api/v1/coinmarketcap/ticker",
    "/api/v1/coinmarketcap/dex",
    "/api/v1/coingecko/pairs",
    "/api/v1/coingecko/tickers",
    "/api/v1/contract/coingecko/tickers",
    "/api/v1/board/names",
    "/api/v1/board/figures",
    "/api/v1/board/sparks",
];

/// Moment of a document.
fn view(answer: &Answer) -> (String, String) {
    let header = |name: &str| answer.header(name).unwrap().to_owned();
    (header("x-ticker-seq"), header("x-ticker-as-of"))
}

fn assert_same(path: &str, [one, other]: [&Answer; 2]) {
    assert_eq!((one.status, other.status), (200, 200), "{path}");
    if one.body != other.body {
        let at = one.body.iter().zip(&other.body).take_while(|(one, other)| one == other).count();
        let around = |body: &[u8]| {
            let end = body.len().min(at + 200);
            String::from_utf8_lossy(&body[at.saturating_sub(200).min(end)..end]).into_owned()
        };
        panic!("{path}, byte {at}:\n{}\n{}", around(&one.body), around(&other.body));
    }
    assert_eq!(one.header("etag"), other.header("etag"), "{path}");
}

/// Waits until both replicas have pinned a view of the same moment, and returns it.
fn same_view(both: &[Daemon; 2]) -> (String, String) {
    let mut same = None;
    wait_until("both pin a view of the same moment", || {
        // A view is pinned for ten seconds. Both choose the next one at the first request after that, so that this
        // request must reach both within the same second, and they must have published the same by then.
        let states = both.each_ref().map(|daemon| daemon.status());
        if states[0]["as_of"] != states[1]["as_of"] || states[0]["seq"] != states[1]["seq"] {
            return false;
        }
        let pinned = both.each_ref().map(|daemon| view(&daemon.get(OF_A_VIEW[0])));
        if pinned[0] == pinned[1] {
            same = Some(pinned[0].clone());
            return true;
        }
        // Nobody asks until both are due again.
        let due = pinned.iter().map(|(_, as_of)| seconds(as_of) + 10).max().unwrap();
        wait_until("both views are old", || {
            both.iter().all(|daemon| seconds(daemon.status()["as_of"].as_str().unwrap()) >= due)
        });
        false
    });
    same.unwrap()
}

fn seconds(time: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(time).unwrap().timestamp()
}

/// Reads the first page of this view at one replica, and compares the next page of both. Returns its path, or none if
/// the view has ended meanwhile.
fn next_page_of(both: &[Daemon; 2], pinned: &(String, String)) -> Option<String> {
    let first = both[0].get("/api/v1/markets?limit=2");
    if view(&first) != *pinned {
        return None;
    }
    let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
    let page = format!("/api/v1/markets?limit=2&cursor={cursor}");
    let [one, other] = both.each_ref().map(|daemon| daemon.get(&page));
    // Each replica keeps two views, so an older one is gone.
    if [one.status, other.status].contains(&410) {
        return None;
    }
    assert_same(&page, [&one, &other]);
    Some(page)
}

#[test]
fn both_give_the_same_documents_for_the_same_view_and_410_for_an_old_one() {
    block_on(async {
        let replicas = Replicas::start(slow_network(63), &[]).await;
        wait_for_trades(&replicas.client, 300).await;
        let both = &replicas.both;
        // A view may end between two of its documents. Each document must be compared once.
        let mut left: Vec<&str> = OF_A_VIEW.to_vec();
        let mut compared_page = None;
        let begun = Instant::now();
        while !left.is_empty() || compared_page.is_none() {
            assert!(
                begun.elapsed() < DEADLINE,
                "not compared: {left:?}, next page compared: {compared_page:?}"
            );
            let pinned = same_view(both);
            left.retain(|path| {
                let [one, other] = both.each_ref().map(|daemon| daemon.get(path));
                if view(&one) != pinned || view(&other) != pinned {
                    return true;
                }
                assert_same(path, [&one, &other]);
                false
            });
            if compared_page.is_none() {
                compared_page = next_page_of(both, &pinned);
            }
        }
        let page = compared_page.unwrap();
        for daemon in both {
            wait_until("the view is held no longer", || {
                daemon.get(OF_A_VIEW[0]); // pins the next one
                daemon.get(&page).status == 410
            });
        }
        replicas.finish().await;
    });
}

#[test]
fn both_give_the_same_documents_of_a_market_for_the_same_publication() {
    block_on(async {
        let replicas = Replicas::start(slow_network(64), &[]).await;
        wait_for_trades(&replicas.client, 300).await;
        let market = replicas.both[0].get("/api/v1/markets?limit=1&sort=trades").json()["markets"][0].clone();
        let market = format!("/api/v1/markets/{}", market["id"].as_str().unwrap());
        let paths =
            ["", "/trades?limit=20", "/candles?interval=1m&limit=5"].map(|more| format!("{market}{more}"));
        for path in &paths {
            let mut compared = 0;
            let mut seen: [HashMap<_, Answer>; 2] = Default::default();
            wait_until("both answer from the same publications", || {
                for (daemon, seen) in replicas.both.iter().zip(&mut seen) {
                    let answer = daemon.get(path);
                    seen.insert((view(&answer), known_complete(&answer.json())), answer);
                }
                let [one, other] = &seen;
                let same = one.iter().filter_map(|(moment, one)| Some((one, other.get(moment)?)));
                compared = same.map(|(one, other)| assert_same(path, [one, other])).count();
                compared >= 3
            });
        }
        replicas.finish().await;
    });
}

/// The parts of a document that say which ledgers its replica knows to be complete. Replicas learn that at different
/// moments: trades are listed from then on, a market numbers its last trade, and a candle says so.
fn known_complete(document: &Value) -> String {
    let newest_trade = &document["trades"][0]["id"];
    let last_trade = &document["last_trade"]["id"];
    let candles = document["candles"].as_array().into_iter().flatten();
    let candles: Vec<&Value> = candles.map(|candle| &candle["complete"]).collect();
    serde_json::json!([newest_trade, last_trade, candles]).to_string()
}
