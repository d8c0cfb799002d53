//! The OpenAPI document against the running server.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{USDC, daemon, horizon, ok};
use crate::support::network::block_on;

/// Words of an error that are followed by the parameters of the path.
const KNOWN: &str = "this path knows: ";

/// A path with examples in place of its parameters.
fn with_examples(path: &str) -> String {
    path.replace("{market}", &format!("XLM_{USDC}"))
        .replace("{pair}", &format!("XLM_{USDC}"))
        .replace("{asset}", USDC)
}

#[test]
fn every_operation_answers_and_names_exactly_the_described_parameters() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon(&sim).await;
        let description = ok(&daemon, "/openapi.json").json();
        assert_eq!(description["openapi"], "3.1.0");
        let (mut strict, mut plain) = (0, 0);
        for (path, operations) in description["paths"].as_object().unwrap() {
            let parameters = operations["get"]["parameters"].as_array().unwrap();
            let of_query: BTreeSet<&str> = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "query")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            let path = with_examples(path);
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
                None => {
                    plain += 1;
                    assert!(of_query.is_empty(), "{path} ignores {of_query:?}");
                    assert_eq!(answer.status, 200, "{path}");
                }
            }
        }
        assert!(strict >= 15 && plain >= 15, "{strict} {plain}");
        let page = ok(&daemon, "/docs");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    });
}
