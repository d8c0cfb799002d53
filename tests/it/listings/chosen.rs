//! The stored choices of the assets that stand for codes.

use stellar_ticker::domain::market::QUOTE_ASSETS;
use tokio_postgres::Client;

use super::{PASSPHRASE, USDC, by, daemon, daemon_with, fresh_database, horizon, ok, text};
use crate::support::{daemon::Daemon, network::block_on, reached, recomputation, wait_until};

#[test]
fn the_leader_stores_choices_and_a_stored_choice_wins_after_a_restart() {
    let sim = horizon();
    block_on(async {
        let first = daemon(&sim).await;
        let client = recomputation::connect(&first.database).await;
        reached("every code with volume that the figures choose is stored", async || {
            let stored =
                client.query("SELECT code, issuer FROM symbol_choices ORDER BY 1", &[]).await.unwrap();
            let stored: Vec<String> = stored
                .iter()
                .map(|row| format!("{}-{}", row.get::<_, &str>(0), row.get::<_, &str>(1)))
                .collect();
            let symbols = ok(&first, "/api/v1/symbols").json();
            let is_chosen = |asset: &String| {
                by(&symbols["symbols"], "asset").get(asset).is_some_and(|it| it["reason"] == "volume")
            };
            !stored.is_empty() && stored.iter().all(is_chosen)
        })
        .await;
        // Another asset of a code that is not in the fixed list, as an earlier week would have chosen it.
        let assets = ok(&first, "/api/v1/assets").json();
        let symbols = ok(&first, "/api/v1/symbols").json();
        let chosen = by(&symbols["symbols"], "asset");
        let is_fixed = |code: &str| {
            code == "XLM" || QUOTE_ASSETS.iter().any(|asset| asset.starts_with(&format!("{code}:")))
        };
        let assets = by(&assets["assets"], "id");
        let (id, asset) = assets
            .iter()
            .find(|(id, asset)| !chosen.contains_key(*id) && !is_fixed(text(asset, "code")))
            .unwrap();
        let (code, issuer) = (text(asset, "code"), text(asset, "issuer"));
        let sql = "INSERT INTO symbol_choices (code, issuer, since, checked_at)
                   VALUES ($1, $2, '2026-01-02T03:04:05Z', now())
                   ON CONFLICT (code) DO UPDATE SET issuer = excluded.issuer, since = excluded.since";
        client.execute(sql, &[&code, &issuer]).await.unwrap();
        let database = first.database.clone();
        drop(first);
        let second = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--backfill-hours", "1"]);
        second.wait_for_publication();
        wait_until("the stored choice is served", || {
            let symbols = ok(&second, "/api/v1/symbols").json();
            let symbols = by(&symbols["symbols"], "code");
            symbols.get(code).is_some_and(|symbol| {
                text(symbol, "asset") == id
                    && symbol["since"] == "2026-01-02T03:04:05Z"
                    && symbol["reason"] == "volume"
            })
        });
    });
}

/// Waits for stored choices. Returns the code and the issuer of one, with few assets that could take the code over.
async fn first_choice(client: &Client) -> (String, String) {
    let mut first: Option<(String, String)> = None;
    reached("a choice is stored", async || {
        let sql = "SELECT code, issuer FROM symbol_choices AS choice
                   ORDER BY (SELECT count(*) FROM assets WHERE assets.code = choice.code), code LIMIT 1";
        let row = client.query_opt(sql, &[]).await.unwrap();
        first = row.map(|row| (row.get(0), row.get(1)));
        first.is_some()
    })
    .await;
    first.unwrap()
}

/// An issuer without an asset of any chosen code.
fn other_issuer() -> &'static str {
    USDC.split_once('-').unwrap().1
}

#[test]
fn an_issuer_that_led_for_a_week_takes_the_code_over_with_a_line_in_the_log() {
    let sim = horizon();
    block_on(async {
        let first = daemon(&sim).await;
        let (database, more) = (first.database.clone(), ["--backfill-hours", "1"]);
        let client = recomputation::connect(&database).await;
        let (code, leader) = first_choice(&client).await;
        // A running daemon would take the changed choice for a fault, and restore it.
        drop(first);
        let planted = other_issuer();
        let sql = "UPDATE symbol_choices
                   SET issuer = $2, since = now() - interval '30 days', challenger_issuer = $3,
                       challenger_since = now() - interval '8 days', checked_at = now()
                   WHERE code = $1";
        client.execute(sql, &[&code, &planted, &leader]).await.unwrap();
        let second = Daemon::serve(&sim.url(), &database, PASSPHRASE, &more);
        reached("the leader has changed the choice", async || {
            let sql = "SELECT issuer = $2 AND previous_issuer = $3 AND since > checked_at
                       FROM symbol_choices WHERE code = $1";
            let row = client.query_one(sql, &[&code, &leader, &planted]).await.unwrap();
            row.get::<_, Option<bool>>(0) == Some(true)
        })
        .await;
        let said = |log: &str| {
            let lines = log.lines().filter(|line| line.contains("another issuer had led for 7 days"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        wait_until("it is logged", || !said(&second.log()).is_empty());
        let lines = said(&second.log());
        assert!(lines.len() == 1 && lines[0].contains(&leader) && lines[0].contains(planted), "{lines:?}");
        drop(second);
        // The notice of three minutes has passed.
        let sql = "UPDATE symbol_choices SET since = '2026-01-02T03:04:05Z' WHERE code = $1";
        client.execute(sql, &[&code]).await.unwrap();
        let third = Daemon::serve(&sim.url(), &database, PASSPHRASE, &more);
        third.wait_for_publication();
        wait_until("the new issuer stands for the code", || {
            let symbols = ok(&third, "/api/v1/symbols").json();
            by(&symbols["symbols"], "code").get(&code).is_some_and(|symbol| {
                text(symbol, "asset") == format!("{code}-{leader}")
                    && symbol["since"] == "2026-01-02T03:04:05Z"
                    && symbol["reason"] == "volume"
            })
        });
    });
}

#[test]
fn a_stored_choice_without_a_candidate_for_a_year_is_deleted() {
    let sim = horizon();
    block_on(async {
        let first = daemon(&sim).await;
        let database = first.database.clone();
        let client = recomputation::connect(&database).await;
        drop(first);
        let sql = "INSERT INTO symbol_choices (code, issuer, since, checked_at)
                   VALUES ('YEAR', $1, '2020-01-02T03:04:05Z', now() - interval '366 days'),
                          ('MONTHS', $1, '2020-01-02T03:04:05Z', now() - interval '300 days')";
        client.execute(sql, &[&other_issuer()]).await.unwrap();
        let second = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--backfill-hours", "1"]);
        reached("one of both is left", async || {
            let sql = "SELECT string_agg(code, ' ') FROM symbol_choices WHERE code IN ('YEAR', 'MONTHS')";
            let left: Option<String> = client.query_one(sql, &[]).await.unwrap().get(0);
            left.as_deref() == Some("MONTHS")
        })
        .await;
        wait_until("it is logged", || second.log().contains("stored symbols deleted"));
    });
}

/// Waits until the self-audit has begun another pass. Those before have ended then.
fn wait_for_pass(daemon: &Daemon) {
    let begun = || {
        let metrics = String::from_utf8(daemon.admin("/metrics").body).unwrap();
        let line = metrics.lines().find_map(|line| line.strip_prefix("ticker_audit_lists_total "));
        line.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    let before = begun();
    daemon.audit_now();
    wait_until("another pass of the self-audit has begun", || begun() > before);
}

#[test]
fn a_stored_choice_that_changed_against_the_rule_is_logged_and_restored() {
    let sim = horizon();
    block_on(async {
        let daemon = daemon_with(&sim, &["--audit-interval", "100ms"]).await;
        let client = recomputation::connect(&daemon.database).await;
        let (code, chosen) = first_choice(&client).await;
        // The second one began after a pass that has seen the choice.
        wait_for_pass(&daemon);
        wait_for_pass(&daemon);
        let sql = "UPDATE symbol_choices SET issuer = $2 WHERE code = $1";
        client.execute(sql, &[&code, &other_issuer()]).await.unwrap();
        daemon.audit_now();
        wait_until("the change is logged", || {
            daemon.log().contains("stored symbol changed, but no other issuer led for 7 days")
        });
        reached("the choice is restored", async || {
            let sql = "SELECT issuer FROM symbol_choices WHERE code = $1";
            client.query_one(sql, &[&code]).await.unwrap().get::<_, String>(0) == chosen
        })
        .await;
    });
}

#[test]
fn counted_accounts_are_in_the_documents_and_a_pair_that_trades_with_itself_is_flagged() {
    let sim = horizon();
    block_on(async {
        let first = daemon(&sim).await;
        let client = recomputation::connect(&first.database).await;
        reached("accounts are counted", async || {
            let row = client.query_one("SELECT count(*) FROM market_accounts", &[]).await.unwrap();
            row.get::<_, i64>(0) > 0
        })
        .await;
        // They count from a moment on. A replica that starts later finds that moment in the past.
        let sql = "UPDATE market_accounts SET counts_from = '2026-01-01T00:00:00Z'";
        client.execute(sql, &[]).await.unwrap();
        let row = client
            .query_one("SELECT market_id FROM market_accounts WHERE largest_pair < 5000 LIMIT 1", &[])
            .await
            .unwrap();
        let sql =
            "UPDATE market_accounts SET takers = 2, makers = 3, largest_pair = 5000 WHERE market_id = $1";
        client.execute(sql, &[&row.get::<_, i32>(0)]).await.unwrap();
        let database = first.database.clone();
        drop(first);
        let second = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--backfill-hours", "1"]);
        second.wait_for_publication();
        let mut markets = Vec::new();
        wait_until("the counts are shown", || {
            markets = ok(&second, "/api/v1/markets?limit=200").json()["markets"].as_array().unwrap().clone();
            markets.iter().any(|market| market["accounts"].is_object())
        });
        let is_flagged = |market: &serde_json::Value| {
            market["flags"].as_array().unwrap().iter().any(|flag| flag["flag"] == "concentrated")
        };
        let share = |market: &serde_json::Value| {
            market["accounts"]["largest_pair_percent"].as_str().map(|text| text.parse::<f64>().unwrap())
        };
        for market in &markets {
            assert_eq!(is_flagged(market), share(market).is_some_and(|share| share >= 50.0), "{market}");
        }
        let planted = markets.iter().filter(|market| market["accounts"]["takers"] == 2);
        let planted: Vec<_> = planted.filter(|market| market["accounts"]["makers"] == 3).collect();
        assert!(
            planted.iter().any(|market| share(market) == Some(50.0) && is_flagged(market)),
            "{planted:#?}"
        );
    });
}

/// A function of the database stands for a count that runs into its time limit.
#[test]
fn a_count_of_accounts_that_fails_is_not_repeated_at_once() {
    let sim = horizon();
    block_on(async {
        let database = fresh_database().await;
        let client = recomputation::connect(&database).await;
        let failing = "CREATE FUNCTION public.round(numeric) RETURNS numeric LANGUAGE plpgsql AS
                           $$ BEGIN RAISE query_canceled; END $$;
                       DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog',
                                                  current_database()); END $$";
        client.batch_execute(failing).await.unwrap();
        let daemon = Daemon::serve(&sim.url(), &database, PASSPHRASE, &["--backfill-hours", "1"]);
        let attempts = || daemon.log().matches("counting the accounts behind markets").count();
        wait_until("a count has failed", || attempts() > 0);
        daemon.wait_for_publication();
        // A failure of the whole database is followed by a pause of 5 s.
        let published = || {
            let as_of = daemon.status()["as_of"].as_str().unwrap().to_owned();
            chrono::DateTime::parse_from_rfc3339(&as_of).unwrap().timestamp()
        };
        let begun = published();
        wait_until("two such pauses have passed", || published() > begun + 11);
        assert_eq!(attempts(), 1);
    });
}
