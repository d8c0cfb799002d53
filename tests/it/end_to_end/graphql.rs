//! `/graphql` of the real program: figures for any hours, what it takes, and its bounds.

use std::{collections::BTreeMap, io::Read};

use serde_json::json;
use stellar_ticker::domain::instant::{HOUR, UnixSeconds};

use super::*;

const ROW: &str = "tradePair baseVolume counterVolume tradeCount open low high change close intervalStart
    firstLedgerCloseTime lastLedgerCloseTime orderbookStats { bidCount bidVolume bidMax askCount askVolume askMin spread spreadMidPoint }";

/// A network with some history, so that windows differ.
fn history(seed: u64) -> SimServer {
    horizon(SimConfig {
        seed,
        network_passphrase: PASSPHRASE.into(),
        trades_per_second: 0.5,
        history_hours: 30,
        stream_poll: Duration::from_millis(50),
        ..SimConfig::default()
    })
}

/// Count, base stroops, first and last close time of each market in the last hours, from the raw rows; none where the
/// rows are of another `seq`.
async fn recomputed(client: &Client, seq: i64, since: i64) -> Option<BTreeMap<String, Value>> {
    let rows = client
        .query(
            "SELECT b.code || ':' || b.issuer || ' / ' || c.code || ':' || c.issuer, count(*), sum(t.base_amount)::text,
                    extract(epoch FROM min(t.ledger_close_time))::bigint, extract(epoch FROM max(t.ledger_close_time))::bigint,
                    (array_agg(t.price_d::float8 / t.price_n ORDER BY t.toid, t.trade_order) FILTER (WHERE t.price_n > 0 AND t.price_d > 0))[1],
                    (SELECT seq FROM ingest_lease)
             FROM trades t JOIN assets b ON b.id = t.base_asset_id JOIN assets c ON c.id = t.counter_asset_id
             WHERE b.is_valid AND c.is_valid AND extract(epoch FROM t.ledger_close_time) > $1::bigint GROUP BY 1",
            &[&since],
        )
        .await
        .unwrap();
    let mut markets = BTreeMap::new();
    for row in rows {
        if row.get::<_, i64>(6) != seq {
            return None;
        }
        let stroops: i128 = row.get::<_, String>(2).parse().unwrap();
        let (first, last): (i64, i64) = (row.get(3), row.get(4));
        let open: Option<f64> = row.get(5);
        markets.insert(
            row.get(0),
            json!([row.get::<_, i64>(1), stroops as f64 / 1e7, first, last, open.unwrap_or(0.0)]),
        );
    }
    Some(markets)
}

fn served(rows: &Value) -> BTreeMap<String, Value> {
    let second =
        |text: &Value| chrono::DateTime::parse_from_rfc3339(text.as_str().unwrap()).unwrap().timestamp();
    let figures = |row: &Value| {
        let (first, last) = (second(&row["firstLedgerCloseTime"]), second(&row["lastLedgerCloseTime"]));
        json!([row["tradeCount"], row["baseVolume"].as_f64(), first, last, row["open"].as_f64()])
    };
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| (row["tradePair"].as_str().unwrap().to_owned(), figures(row))).collect()
}

#[test]
fn windows_of_any_hours_equal_a_recomputation() {
    let sim = history(61);
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        let client = recomputation::connect(&database).await;
        wait_until_history_is_complete(&daemon);
        wait_for_pairs(&daemon);
        for hours in [1, 2, 7, 23, 24, 25, 29, 30, 168] {
            let begun = Instant::now();
            loop {
                assert!(begun.elapsed() < DEADLINE, "the daemon never stood still");
                let before = daemon.status();
                let answer = daemon.graphql(&format!("{{markets(numHoursAgo: {hours}) {{ {ROW} }}}}"));
                let after = daemon.status();
                let since =
                    UnixSeconds::parse(before["as_of"].as_str().unwrap()).unwrap().minus(hours * HOUR);
                let rows = &answer["data"]["markets"];
                let is_of_one =
                    before["seq"] == after["seq"] && rows[0]["intervalStart"] == since.to_rfc3339();
                let right = recomputed(&client, before["seq"].as_i64().unwrap(), since.0).await;
                if let Some(right) = right.filter(|right| is_of_one && !right.is_empty()) {
                    let served = served(rows);
                    assert_eq!(
                        served.keys().collect::<Vec<_>>(),
                        right.keys().collect::<Vec<_>>(),
                        "{hours} hours"
                    );
                    for (market, figures) in &served {
                        for (served, right) in
                            figures.as_array().unwrap().iter().zip(right[market].as_array().unwrap())
                        {
                            let (served, right) = (served.as_f64().unwrap(), right.as_f64().unwrap());
                            assert!(
                                (served - right).abs() <= 1e-14 * right.abs(),
                                "{hours} h {market}: {served}, not {right}"
                            );
                        }
                    }
                    break;
                }
            }
        }
    });
}

#[test]
fn before_the_first_publication_answers_say_when_to_retry() {
    block_on(async {
        let database = fresh_database().await;
        // Nothing listens there, so no trade comes, and the first publication waits for nearly a minute.
        let daemon = Daemon::serve("http://127.0.0.1:9", &database, PASSPHRASE, &[]);
        let answer = daemon.post("/graphql", "", br#"{"query":"{assets{code}}"}"#);
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    });
}

#[test]
fn one_document_asks_for_everything_and_introspection_is_let_through() {
    let sim = network(62, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_for_pairs(&daemon);
        let all = daemon.graphql(&format!(
            "{{ markets {{ baseAssetCode baseAssetIssuer counterAssetCode counterAssetIssuer {ROW} }}
               ticker(numHoursAgo: 168) {{ {ROW} }}
               assets {{ code issuerAccount type numAccounts authRequired authRevocable amount assetControlledByDomain
                 anchorAssetCode anchorAssetType isAssetAnchored displayDecimals name desc conditions fixedNumber maxNumber
                 isUnlimited redemptionInstructions collateralAddresses collateralAddressSignatures countries status issuerID }}
               issuers {{ publicKey name url tomlURL federationServer authServer transferServer webAuthEndpoint depositServer orgTwitter }} }}"
        ));
        assert_eq!(all.get("errors"), None);
        let all = all["data"].as_object().unwrap();
        assert_eq!(all.keys().collect::<Vec<_>>(), ["assets", "issuers", "markets", "ticker"]);
        for (root, rows) in all {
            assert!(!rows.as_array().unwrap().is_empty(), "{root}");
        }
        // A request of GraphiQL.
        let introspection = daemon.graphql(
            "query IntrospectionQuery { __schema { queryType { name } mutationType { name } subscriptionType { name }
               types { ...FullType } directives { name description locations args { ...InputValue } } } }
             fragment FullType on __Type { kind name description
               fields(includeDeprecated: true) { name description args { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason }
               inputFields { ...InputValue } interfaces { ...TypeRef }
               enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason } possibleTypes { ...TypeRef } }
             fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue }
             fragment TypeRef on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
               ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } } } } }",
        );
        assert_eq!(introspection.get("errors"), None);
        assert_eq!(introspection["data"]["__schema"]["queryType"]["name"], "Query");
    });
}

fn a_preflight_is_allowed(daemon: &Daemon) {
    let preflight = daemon.get_with(
        "OPTIONS",
        "/graphql",
        "Origin: https://a.example\r\nAccess-Control-Request-Headers: content-type\r\n",
    );
    assert_eq!(
        (preflight.status, preflight.header("access-control-allow-methods")),
        (204, Some("GET, HEAD, POST, OPTIONS"))
    );
}

fn head_is_get_without_a_body(daemon: &Daemon) {
    let of = |method| daemon.get_with(method, "/graphql?query=%7Bassets%7Bcode%7D%7D", "");
    let (got, head) = (of("GET"), of("HEAD"));
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-type"), got.header("content-type"));
}

/// Sends a document with one operation, with and without a name. graphql-request and Apollo Client name theirs.
fn the_only_operation_has_its_defaults_with_and_without_a_name(daemon: &Daemon) {
    for name in ["", "Names"] {
        let query = format!(
            "query {name}($yes: Boolean = true, $no: Boolean = false, $h: Int!) {{
               shown: ticker(numHoursAgo: $h) @include(if: $yes) {{ tradePair close @include(if: $no) }}
               hidden: ticker @skip(if: $yes) {{ tradePair }} }}"
        );
        let body = json!({"query": query, "variables": {"h": 24.0}}).to_string();
        let answer = daemon.post("/graphql", "", body.as_bytes()).json();
        assert_eq!(answer.get("errors"), None, "{name}");
        let data = answer["data"].as_object().unwrap();
        assert_eq!(data.keys().collect::<Vec<_>>(), ["shown"], "{name}");
        let row = data["shown"][0].as_object().unwrap();
        assert_eq!(row.keys().collect::<Vec<_>>(), ["tradePair"], "{name}");
    }
}

/// Sends documents that are executed, refused by a resolver, and wrong, with the header of a client of GraphQL over
/// HTTP and with that of the old ticker's readers.
fn the_media_type_is_what_the_client_accepts(daemon: &Daemon) {
    const NEW: &str = "application/graphql-response+json";
    for (accept, kind, of_wrong) in [
        (NEW, NEW, 400),
        ("application/graphql-response+json, application/json;q=0.9", NEW, 400),
        ("application/graphql-response+json, application/json", "application/json", 200),
        ("application/json", "application/json", 200),
        ("*/*", "application/json", 200),
    ] {
        for (status, has_data, query) in [
            (200, true, "{ticker{close}}"),
            (200, true, "{ticker(numHoursAgo:169){close}}"),
            (of_wrong, false, "{nope}"),
            (of_wrong, false, "{"),
            (of_wrong, false, ""),
        ] {
            let body = json!({"query": query}).to_string();
            // The second answer is from the cache.
            for _ in 0..2 {
                let answer = daemon.post("/graphql", &format!("Accept: {accept}\r\n"), body.as_bytes());
                let types = (answer.header("content-type"), answer.header("vary"));
                assert_eq!(types, (Some(kind), Some("Accept, Accept-Encoding")), "{accept} {query}");
                assert_eq!(answer.status, status, "{accept} {query}");
                assert_eq!(answer.json().get("data").is_some(), has_data, "{accept} {query}");
            }
        }
        let limit = json!({"query": "{".repeat(100)}).to_string();
        let refused = daemon.post("/graphql", &format!("Accept: {accept}\r\n"), limit.as_bytes());
        assert_eq!((refused.status, refused.header("content-type")), (400, Some("application/problem+json")));
    }
}

fn half_of_a_surrogate_pair_is_refused(daemon: &Daemon) {
    for body in [
        r#"{"query":"{__typename}","operationName":"\ud800"}"#,
        r#"{"query":"query($p:String){ticker(pairName:$p){close}}","variables":{"p":"XLM_\udc00"}}"#,
    ] {
        let answer = daemon.post("/graphql", "", body.as_bytes());
        assert_eq!(answer.status, 400, "{body}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with("the body is not JSON: ") && detail.contains("hex escape"), "{detail}");
    }
}

#[test]
fn takes_what_the_old_endpoint_took_and_refuses_what_is_too_much() {
    let sim = network(63, FaultPlan::none());
    block_on(async {
        let database = fresh_database().await;
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
        wait_for_pairs(&daemon);
        let body = |query: &str| json!({"query": query}).to_string();
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
        {
            let answer = daemon.post(
                "/graphql",
                &format!("Content-Type: {kind}\r\n"),
                body("{assets{code}}").as_bytes(),
            );
            assert_eq!(
                (answer.status, answer.header("content-type")),
                (200, Some("application/json")),
                "{kind}"
            );
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
            assert!(answer.json()["data"]["assets"][0]["code"].is_string());
        }
        let read = daemon.get("/graphql?query=query(%24h%3AInt)%7Bticker(numHoursAgo%3A%24h)%7BtradePair%7D%7D&variables=%7B%22h%22%3A1%7D");
        assert!(read.json()["data"]["ticker"][0]["tradePair"].is_string());
        // A short answer is not compressed. Assets come page by page.
        wait_until("some assets are listed", || {
            daemon.graphql("{assets{code}}")["data"]["assets"].as_array().unwrap().len() > 20
        });
        let zipped =
            daemon.post("/graphql", "Accept-Encoding: gzip, br\r\n", body("{assets{code desc}}").as_bytes());
        assert_eq!(zipped.header("content-encoding"), Some("gzip"));
        let mut text = String::new();
        flate2::read::GzDecoder::new(&zipped.body[..]).read_to_string(&mut text).unwrap();
        assert!(text.starts_with("{\"data\":{\"assets\":[{\"code\":"));
        a_preflight_is_allowed(&daemon);
        let aliases: String = (0..20_000).map(|n| format!("a{n}:__typename ")).collect();
        let directives = format!("{{assets {}{{code}}}}", "@a".repeat(20_000));
        for (status, body) in [
            (400, "{assets{code}}".to_owned()),
            (400, String::new()),
            (400, format!("[{}]", body("{assets{code}}"))),
            (400, json!({"query": 1}).to_string()),
            (400, body(&format!("{}a{}", "{a".repeat(2_000), "}".repeat(2_000)))),
            (400, body(&directives)),
            (413, body(&format!("{{{aliases}}}"))),
            (413, format!("{}{}", body("{assets{code}}"), " ".repeat(64 * 1024))),
            (400, body(&format!("{{{}}}", "markets{close} ".repeat(9)))),
        ] {
            let answer = daemon.post("/graphql", "Content-Type: application/json\r\n", body.as_bytes());
            assert_eq!(answer.status, status, "{:.80}", body);
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            assert!(answer.body.len() < 500);
        }
        let huge = daemon.get_with("POST", "/graphql", "Content-Length: 314572800\r\n");
        assert_eq!(huge.status, 413, "300 MiB are not waited for");
        assert_eq!(
            daemon.get_with("DELETE", "/graphql", "").header("allow"),
            Some("GET, HEAD, POST, OPTIONS")
        );
        head_is_get_without_a_body(&daemon);
        half_of_a_surrogate_pair_is_refused(&daemon);
        the_only_operation_has_its_defaults_with_and_without_a_name(&daemon);
        // A wrong document gets a few short errors.
        let wrong = body(&format!("{{assets{{{}}}}}", "nope ".repeat(2_400)));
        let answer = daemon.post("/graphql", "", wrong.as_bytes());
        assert_eq!(answer.status, 200, "{:?}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.json()["errors"].as_array().unwrap().len(), 10);
        assert!(answer.body.len() < wrong.len());
        let circle = daemon.graphql("{...a} fragment a on Query {...b} fragment b on Query {...a}");
        assert!(circle["errors"][0]["message"].is_string() && circle.get("data").is_none());
    });
}

#[test]
fn accept_chooses_the_explorer_and_the_media_type() {
    let sim = network(64, FaultPlan::none());
    let database = block_on(fresh_database());
    let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &[]);
    daemon.wait_for_publication();
    let browser = "Accept: text/html,application/xhtml+xml\r\n";
    let led = daemon.get_with("GET", "/graphql", browser);
    assert_eq!(
        (led.status, led.header("location"), led.header("vary")),
        (303, Some("graphiql"), Some("Accept"))
    );
    assert_eq!(daemon.get_with("GET", "/graphql?query=%7B__typename%7D", browser).status, 200);
    for accepted in ["application/json", "application/json, text/html;q=0.5", "text/html;q=0, */*"] {
        let answer = daemon.get_with("GET", "/graphql", &format!("Accept: {accepted}\r\n"));
        assert_eq!(answer.status, 200, "{accepted}");
    }
    the_media_type_is_what_the_client_accepts(&daemon);
}
