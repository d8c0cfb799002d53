//! Links of the pages: each leads somewhere, and names say where.

use std::collections::{BTreeMap, BTreeSet};

use super::{BROWSER, between, page, plain};
use crate::{
    listings::{USDC, daemon, horizon, ok, text},
    support::network::block_on,
};

#[test]
fn every_link_of_every_kind_of_page_leads_somewhere() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let market = format!("/m/XLM_{USDC}");
        let explained = format!("{market}?explain=vwap");
        let asset = format!("/a/{USDC}");
        let mut links = BTreeSet::new();
        for path in ["/", &market, &explained, &asset, "/status", "/licences"] {
            let html = page(&daemon, path);
            let found = [between(&html, "href=\"/", "\""), between(&html, "src=\"/", "\"")].concat();
            // One of many markets and assets is enough.
            let found =
                found.into_iter().filter(|link| !link.starts_with("m/") || link.starts_with(&market[1..]));
            links.extend(found.map(|link| format!("/{}", link.replace("&amp;", "&").replace("&#38;", "&"))));
        }
        assert!(links.len() > 25, "{links:?}");
        for link in links {
            let answer = daemon.get_with("GET", &link, BROWSER);
            assert!(matches!(answer.status, 200 | 301), "{link}: {}", answer.status);
        }
    });
}

/// Name and address of each link.
fn links(html: &str) -> Vec<(String, String)> {
    let links = between(html, "<a ", "</a>").into_iter().map(|link| {
        let (attributes, content) = link.split_once('>').unwrap();
        let name = between(attributes, "aria-label=\"", "\"").first().map(|label| (*label).to_owned());
        (name.unwrap_or_else(|| plain(content)), between(attributes, "href=\"", "\"")[0].to_owned())
    });
    links.collect()
}

#[test]
fn no_two_links_of_a_page_share_a_name_and_not_an_address() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let named = |list: &str, kind: &str| {
            let listed = ok(&daemon, &format!("/api/v1/{list}")).json();
            let ids =
                listed[list].as_array().unwrap().iter().map(|one| format!("/{kind}/{}", text(one, "id")));
            ids.take(60).collect::<Vec<_>>()
        };
        let pages = ["/", "/status", "/licences", "/docs"].map(str::to_owned).to_vec();
        let pages = [pages, named("markets", "m"), named("assets", "a")].concat();
        let of_same_code = pages.iter().filter(|page| {
            let sides = page.strip_prefix("/m/").and_then(|market| market.split_once('_'));
            sides.is_some_and(|(base, quote)| base.split('-').next() == quote.split('-').next())
        });
        assert!(of_same_code.count() > 0, "no market of two assets of one code");
        for path in pages {
            let html = page(&daemon, &path);
            let mut addresses: BTreeMap<String, String> = BTreeMap::new();
            for (name, address) in links(&html) {
                let first = addresses.entry(name.clone()).or_insert_with(|| address.clone());
                assert_eq!(*first, address, "{path}: two links are called {name}");
            }
        }
    });
}
