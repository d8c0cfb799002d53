//! The stored choices of the assets that stand for codes.

use stellar_ticker::domain::market::QUOTE_ASSETS;

use super::{PASSPHRASE, by, daemon, horizon, ok, text};
use crate::support::{daemon::Daemon, network::block_on, recomputation, wait_until};

#[test]
fn the_leader_stores_choices_and_a_stored_choice_wins_after_a_restart() {
    let sim = horizon();
    block_on(async {
        let first = daemon(&sim).await;
        let client = recomputation::connect(&first.database).await;
        loop {
            // Every code with volume that the figures choose is stored.
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
            if !stored.is_empty() && stored.iter().all(is_chosen) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
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
