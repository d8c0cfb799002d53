//! GraphQL: the old ticker's answers to the queries that its readers have in their code.

use stellar_ticker::domain::instant::HOUR;

use super::*;
use crate::support::daemon::Answer;

/// The old file of BLANK was a 404 with an empty body, that of TYPO has one field of the wrong type.
const NOT_VALID: &str = "BLANK";
const VALID: &str = "TYPO";
/// The lowest price of TEA1_TEA: a price of 0 sets no price.
const LOW_OF_TEA1_TEA: f64 = 2_390_438.247_011_952;
/// The issuer of CHF, BRLT and COFFEE1KG, whose row the old program kept under its SIGNING_KEY.
const FJORD: (&str, &str) = ("GA4R57FZ", "GCBVO5KE");
/// Keys of a row that stand for it.
const KEYS: [&str; 3] = ["tradePair", "publicKey", "code"];

/// One request, and what is right.
struct Case<'a> {
    name: &'a str,
    query: &'a str,
    expected: &'a Value,
    ties: &'a Value,
    now: i64,
}

#[test]
fn graphql_answers_are_the_old_tickers_but_for_what_is_named() {
    if !fixtures::are_there() {
        return;
    }
    let now = DateTime::from_timestamp(Utc::now().timestamp(), 0).unwrap();
    let sim = horizon(now);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (daemon, client) = filled(&sim).await;
        let (requests, ties) = (json_of("expected-graphql.json"), json_of("expected-ties.json"));
        let requests = requests.as_object().unwrap();
        for (name, request) in requests {
            let query = request["query"].as_str().unwrap_or_default();
            let case =
                Case { name, query, expected: &request["response"], ties: &ties, now: now.timestamp() };
            case.check(request, &ask(&daemon, request));
        }
        let assets = daemon.graphql("{assets{code issuerAccount issuerID}}");
        for asset in assets["data"]["assets"].as_array().unwrap() {
            let id = i32::try_from(asset["issuerID"].as_i64().unwrap()).unwrap();
            let row = client.query_one("SELECT public_key FROM issuers WHERE id = $1", &[&id]).await.unwrap();
            assert_eq!(
                row.get::<_, &str>(0),
                asset["issuerAccount"].as_str().unwrap(),
                "an issuer's own row"
            );
        }
        println!("{} answers compared with the old ticker's", requests.len());
    });
}

fn ask(daemon: &Daemon, request: &Value) -> Answer {
    let mut body = json!({"query": request["query"]});
    if request["variables"].is_object() {
        body["variables"] = request["variables"].clone();
    }
    let body = request["body"].as_str().map_or_else(|| body.to_string(), str::to_owned);
    let kind = request["request_content_type"].as_str().unwrap_or("application/json");
    daemon.post("/graphql", &format!("Content-Type: {kind}\r\n"), body.as_bytes())
}

impl Case<'_> {
    fn check(&self, request: &Value, answer: &Answer) {
        let name = self.name;
        assert_eq!(u64::from(answer.status), request["status"].as_u64().unwrap_or(200), "{name}");
        if answer.status != 200 {
            return;
        }
        let served = answer.json();
        if let Some(errors) = self.expected["errors"].as_array() {
            assert!(!served["errors"].as_array().unwrap().is_empty(), "{name}");
            assert_eq!(served.get("data"), self.expected.get("data"), "{name}");
            if name.ends_with("-169h") || name == "ticker-bad-name" {
                assert_eq!(served["errors"], json!(errors), "{name}");
            }
            return;
        }
        for (root, expected) in self.expected["data"].as_object().unwrap() {
            let (old, new) = (rows(expected), rows(&served["data"][root]));
            self.compare_names(root, &old, &new);
            for (key, row) in &new {
                // fjord's row had another key.
                let was = old.get(key).or_else(|| old.get(&key.replace(FJORD.0, FJORD.1))).or_else(|| {
                    let renamed = |old: &&String| key.starts_with(FJORD.0) && old.starts_with(FJORD.1);
                    old.keys().find(renamed).and_then(|key| old.get(key))
                });
                if let Some(was) = was {
                    self.compare(root, key, was, row);
                }
            }
        }
    }

    /// Compares the names of the rows.
    fn compare_names(&self, root: &str, old: &BTreeMap<String, Value>, new: &BTreeMap<String, Value>) {
        let is_of = |key: &str, code: &str| key.split([':', ' ', '_']).any(|part| part == code);
        let (name, whole_day) = (self.name, self.hours() >= 24 && !self.query.contains("pairName"));
        if root == "issuers" {
            // native and those of valid assets: fjord, savanna, mesa, alp, types.
            assert_eq!(new.len(), 6, "{name}");
            return;
        }
        if name == "ticker-TEA1_TEA" {
            // Sorted alone, the codes find nothing; the other order does.
            assert_eq!((old.len(), new["TEA1_TEA"]["tradeCount"].as_i64()), (0, Some(9)));
            assert_eq!(new["TEA1_TEA"]["low"], json!(LOW_OF_TEA1_TEA));
            return;
        }
        let mut right: BTreeSet<&str> = old.keys().map(String::as_str).collect();
        right.retain(|key| !is_of(key, NOT_VALID));
        let is_whole = root == "assets"
            || whole_day && !self.query.contains("AssetCode:") && !self.query.contains("AssetIssuer:");
        let added: Vec<&str> = new.keys().map(String::as_str).filter(|key| is_of(key, VALID)).collect();
        assert_eq!(added.len(), usize::from(is_whole), "{name}: {VALID} is valid");
        right.extend(added);
        assert_eq!(new.keys().map(String::as_str).collect::<BTreeSet<_>>(), right, "{name}");
    }

    fn compare(&self, root: &str, row: &str, old: &Value, new: &Value) {
        let name = self.name;
        let number = |row: &Value, key: &str| row[key].as_f64().unwrap();
        for (key, served) in new.as_object().unwrap() {
            let at = format!("{name} {row} {key}");
            match key.as_str() {
                "publicKey" | "issuerID" => {} // compared by the rows' names, and with the database
                "intervalStart" => {
                    let start: DateTime<Utc> = served.as_str().unwrap().parse().unwrap();
                    assert!(served.as_str().unwrap().ends_with('Z'), "{at}");
                    let as_of = start.timestamp() + self.hours() * HOUR;
                    assert!((self.now..self.now + 900).contains(&as_of), "{at}");
                }
                "firstLedgerCloseTime" | "lastLedgerCloseTime" => {
                    let closed_at: DateTime<Utc> = served.as_str().unwrap().parse().unwrap();
                    let age = &old[key.replace("Time", "OffsetSeconds")];
                    assert_eq!(json!(self.now - closed_at.timestamp()), *age, "{at}");
                }
                "open" | "close" => {
                    let right = self.tie(root, row, key).unwrap_or_else(|| number(old, key));
                    assert_eq!(number(new, key), right, "{at}");
                }
                "change" => {
                    assert_eq!(number(new, key), number(new, "close") - number(new, "open"), "{at}");
                }
                "low"
                    if row.starts_with("TEA1") && row.contains("TEA1") && self.hours() > 1 && is_tea(row) =>
                {
                    assert_eq!(number(new, key), LOW_OF_TEA1_TEA, "{at}");
                }
                "baseVolume" | "counterVolume" => assert_close(number(new, key), number(old, key), &at),
                "orderbookStats" => {
                    for (key, served) in served.as_object().unwrap() {
                        assert_close(served.as_f64().unwrap(), number(&old["orderbookStats"], key), &at);
                    }
                }
                _ => assert_eq!(served, &old[key], "{at}"),
            }
        }
    }

    /// The right first or last price where several trades share its second.
    fn tie(&self, root: &str, row: &str, key: &str) -> Option<f64> {
        let hours = self.hours();
        let of_pair = self.query.split("pairName:\"").nth(1).and_then(|rest| rest.split('"').next());
        let (section, row) = match (root, of_pair) {
            ("markets", _) => (format!("markets_{hours}h"), row.to_owned()),
            (_, None) => (format!("ticker_{hours}h"), row.to_owned()),
            (_, Some(pair)) => {
                // Keyed by the two codes in the order in which they were found.
                let (first, second) = pair.split_once('_').unwrap();
                let section = format!("ticker_of_pairName_{hours}h");
                let there = !self.ties[&section][pair].is_null();
                (section, if there { pair.to_owned() } else { format!("{second}_{first}") })
            }
        };
        self.ties[section][row][format!("{key}_by_paging_token")].as_f64()
    }

    fn hours(&self) -> i64 {
        let asked = self.query.split("numHoursAgo:").nth(1);
        let digits =
            |rest: &str| rest.chars().take_while(|c| *c == '-' || c.is_ascii_digit()).collect::<String>();
        asked.map_or(24, |rest| digits(rest).parse().unwrap_or(168))
    }
}

fn is_tea(row: &str) -> bool {
    row == "TEA1_TEA" || row.contains(" / TEA:")
}

fn assert_close(served: f64, right: f64, at: &str) {
    assert!((served - right).abs() <= RELATIVE * right.abs(), "{at}: {served}, was {right}");
}

/// Rows by what stands for them.
fn rows(list: &Value) -> BTreeMap<String, Value> {
    let key = |row: &Value| {
        let key = KEYS.iter().find_map(|key| row[key].as_str()).unwrap();
        row["issuerAccount"].as_str().map_or_else(|| key.to_owned(), |issuer| format!("{key}:{issuer}"))
    };
    let rows: BTreeMap<_, _> = list.as_array().unwrap().iter().map(|row| (key(row), row.clone())).collect();
    assert_eq!(rows.len(), list.as_array().unwrap().len(), "each once");
    rows
}
