//! The OpenAPI document against the running server.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{USDC, contract_ids, daemon, horizon, ok};
use crate::support::network::block_on;

/// Words of an error that are followed by the parameters of the path.
const KNOWN: &str = "; this path takes: ";

const MARKET: &str = "XLM_USDC-GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN";

/// A path with examples in place of its parameters. Another spelling of a pair would redirect.
fn with_examples(path: &str, contracts: &str) -> String {
    let pair = if path.contains("/contract/") { contracts } else { "XLM_USDC" };
    path.replace("{market}", MARKET).replace("{pair}", pair).replace("{asset}", USDC)
}

/// Values of parameters that an operation cannot do without, by name.
const REQUIRED: [(&str, &str); 10] = [
    ("ticker_id", MARKET),
    ("symbol", MARKET),
    ("field", "close"),
    ("assets", "XLM"),
    ("asset", "XLM"),
    ("base_asset_type", "native"),
    ("counter_asset_type", "credit_alphanum4"),
    ("counter_asset_code", "USDC"),
    ("counter_asset_issuer", "GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN"),
    ("resolution", "3600000"),
];
/// Optional ones that go with a required one.
const BESIDE: [&str; 3] = ["asset", "counter_asset_code", "counter_asset_issuer"];
/// Largest answer that may go without compression, in bytes. It fits into one packet.
const ONE_PACKET: usize = 1_400;

/// Query string with which an operation answers.
fn question(parameters: &[Value]) -> String {
    let of_query = parameters.iter().filter(|parameter| parameter["in"] == "query");
    let wanted = of_query.filter_map(|parameter| {
        let name = parameter["name"].as_str().unwrap();
        let known = REQUIRED.iter().find(|(required, _)| *required == name);
        if parameter["required"] == true || BESIDE.contains(&name) {
            let (_, value) = known.unwrap_or_else(|| panic!("no value for {name}"));
            return Some(format!("{name}={value}"));
        }
        None
    });
    wanted.collect::<Vec<_>>().join("&")
}

/// Names of the parameters of a query string.
fn query_names(operations: &Value) -> BTreeSet<&str> {
    let parameters = operations["get"]["parameters"].as_array().unwrap().iter();
    let of_query = parameters.filter(|parameter| parameter["in"] == "query");
    of_query.map(|parameter| parameter["name"].as_str().unwrap()).collect()
}

#[test]
fn every_answer_larger_than_a_packet_is_compressed_and_has_a_tag() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let description = ok(&daemon, "/openapi.json").json();
        let contracts = contract_ids(&daemon).join("_");
        let mut large = 0;
        for (path, operations) in description["paths"].as_object().unwrap() {
            // Events have no end, and GraphQL answers a question only.
            if ["/api/v1/stream", "/graphql"].contains(&path.as_str()) {
                continue;
            }
            let query = question(operations["get"]["parameters"].as_array().unwrap());
            let path = format!("{}?{query}", with_examples(path, &contracts));
            let plain = ok(&daemon, &path);
            if plain.body.len() <= ONE_PACKET {
                continue;
            }
            large += 1;
            let gzip = daemon.get_with("GET", &path, "Accept-Encoding: gzip\r\n");
            assert_eq!((gzip.status, gzip.header("content-encoding")), (200, Some("gzip")), "{path}");
            assert!(gzip.body.len() < plain.body.len(), "{path}");
            assert!(gzip.header("vary").unwrap().contains("Accept-Encoding"), "{path}");
            let tag = gzip.header("etag").unwrap_or_else(|| panic!("{path} has no tag"));
            assert!(
                tag.ends_with("-gz\"") && plain.header("etag").is_some_and(|plain| plain != tag),
                "{path}"
            );
        }
        assert!(large >= 20, "{large}");
        let supply = ok(&daemon, &with_examples("/api/v1/assets/{asset}/supply", &contracts));
        assert_eq!(supply.header("content-type"), Some("text/plain; charset=utf-8"));
        assert!(supply.header("etag").is_some() && supply.header("x-ticker-as-of").is_some());
    });
}

#[test]
fn every_operation_answers_and_names_exactly_the_described_parameters() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let description = ok(&daemon, "/openapi.json").json();
        let contracts = contract_ids(&daemon).join("_");
        assert_eq!(description["openapi"], "3.1.0");
        let (mut strict, mut tolerant, mut plain) = (0, 0, 0);
        let all: BTreeSet<&str> =
            description["paths"].as_object().unwrap().values().flat_map(query_names).collect();
        for (path, operations) in description["paths"].as_object().unwrap() {
            let of_query = query_names(operations);
            let path = with_examples(path, &contracts);
            let answer = daemon.get(&format!("{path}?unknown_parameter=1"));
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let text = body["detail"].as_str().or(body["errmsg"].as_str()).unwrap_or_default();
            match text.split_once(KNOWN) {
                Some((_, "none")) => assert!(of_query.is_empty(), "{path}: {of_query:?}"),
                Some((_, known)) => {
                    strict += 1;
                    assert_eq!(of_query, known.split(", ").collect(), "{path}: description (left), server");
                }
                // GraphQL ignores what it does not know, and its errors have status 200.
                None if path == "/graphql" => assert_eq!(of_query.len(), 3, "{path}"),
                // Paths that others have defined, and pages, ignore what they do not know. What they know, the former
                // take once.
                None => {
                    let is_read = |name: &&str| {
                        let body = daemon.get(&format!("{path}?{name}=1&{name}=1")).body;
                        String::from_utf8_lossy(&body).contains(&format!("{name} is given twice"))
                    };
                    let read: BTreeSet<&str> = all.iter().copied().filter(is_read).collect();
                    assert_eq!(of_query, read, "{path}: description (left), server");
                    if of_query.is_empty() {
                        plain += 1;
                        assert_eq!(answer.status, 200, "{path}");
                    } else {
                        tolerant += 1;
                    }
                }
            }
        }
        assert!(strict >= 10 && tolerant >= 6 && plain >= 15, "{strict} {tolerant} {plain}");
        let page = ok(&daemon, "/docs");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    });
}
