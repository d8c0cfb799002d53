//! A row that PostgreSQL refuses costs that row and never its batch.

use stellar_ticker::{
    db::trades::QuarantineEntry,
    domain::orderbook::{BestPrices, BookFigures, OrderBook, PolledBook},
};

use super::{
    assets::{URL, fetch, file, now, standing, tea},
    *,
};

/// From now on PostgreSQL refuses rows of `table` for which `odd` holds: by a constraint (class 23), and by the error
/// of a character that its encoding lacks (class 22).
async fn refuse(scene: &Scene, table: &str, by_constraint: &str, by_value: &str) {
    let sql = format!(
        "ALTER TABLE {table} ADD CONSTRAINT odd CHECK (NOT ({by_constraint}));
         CREATE FUNCTION refuse_{table}() RETURNS trigger LANGUAGE plpgsql AS $body$
         BEGIN RAISE EXCEPTION 'no equivalent in encoding' USING ERRCODE = '22P05'; END $body$;
         CREATE TRIGGER odd BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW WHEN ({by_value})
         EXECUTE FUNCTION refuse_{table}()"
    );
    scene.client.batch_execute(&sql).await.unwrap();
}

/// A batch of trades with these amounts, each with a record of its own.
fn of_amounts(expected: Option<PagingToken>, stroops: &[i64]) -> TradeBatch {
    let ledger = expected.map_or(5, |token| token.ledger() + 1);
    let orders = 0_i32..;
    let trades = orders.zip(stroops).map(|(order, stroops)| trade(ledger, order, 1, *stroops)).collect();
    let mut batch = batch(expected, trades);
    for incoming in &mut batch.trades {
        incoming.raw = format!("{{\"paging_token\": \"{}\"}}", incoming.trade.token).into();
    }
    batch
}

#[tokio::test]
async fn a_record_is_found_in_quarantine_by_its_own_bytes() {
    let scene = Scene::new().await;
    let raw = |text: &'static str| Bytes::from_static(text.as_bytes());
    let mut stored = of_amounts(None, &[10]);
    stored.quarantine.push(QuarantineEntry {
        source: "pages",
        token: Some(token(5, 1)),
        reason: "not a trade".into(),
        raw: raw("{}"),
    });
    scene.database.write_trades(scene.epoch, &stored).await.unwrap();
    let database = &scene.database;
    assert!(database.are_quarantined(&[]).await.unwrap());
    assert!(database.are_quarantined(&[raw("{}")]).await.unwrap());
    assert!(!database.are_quarantined(&[raw("{}"), raw("{ }")]).await.unwrap(), "one of them was never seen");
}

#[tokio::test]
async fn a_trade_that_is_refused_goes_to_quarantine_and_the_rest_of_its_batch_is_stored() {
    let scene = Scene::new().await;
    refuse(&scene, "trades", "base_amount = 13", "NEW.base_amount = 14").await;
    let mut mixed = of_amounts(None, &[10, 13, 11, 14, 12, 13, 15]);
    // The batch has a record in quarantine before PostgreSQL refuses three of its trades.
    mixed.quarantine.push(QuarantineEntry {
        source: "stream",
        token: None,
        reason: "not a trade".into(),
        raw: Bytes::from_static(b"{}"),
    });
    let written = scene.database.write_trades(scene.epoch, &mixed).await.unwrap();
    assert_eq!((written.trades.len(), written.quarantined.len()), (4, 4));
    assert_eq!((scene.count("trades").await, scene.count("quarantine").await), (4, 4));
    let (refused, own): (Vec<_>, Vec<_>) = scene
        .database
        .latest_quarantined(10)
        .await
        .unwrap()
        .into_iter()
        .partition(|entry| entry.source == "refused");
    assert_eq!((refused.len(), own.len()), (3, 1));
    for entry in refused {
        assert!(entry.reason.starts_with("refused by the database: "), "{}", entry.reason);
    }
    assert_eq!((own[0].source.as_str(), own[0].reason.as_str()), ("stream", "not a trade"));
    assert_eq!(scene.database.cursor("live").await.unwrap(), Some(token(5, 6)), "the stream goes on");
    let again = of_amounts(Some(token(5, 6)), &[13]);
    let again = scene.database.write_trades(scene.epoch, &again).await.unwrap();
    assert_eq!((again.trades.len(), again.quarantined.len()), (0, 1));
    assert_eq!(scene.database.cursor("live").await.unwrap(), Some(token(6, 0)));
}

#[tokio::test]
async fn a_table_that_refuses_everything_is_no_matter_of_odd_rows() {
    let scene = Scene::new().await;
    refuse(&scene, "trades", "base_amount > 0", "false").await;
    let trades = (0..500).map(|order| trade(5, order, 1, 10)).collect();
    let error = scene.database.write_trades(scene.epoch, &batch(None, trades)).await.unwrap_err();
    assert!(error.to_string().contains("23514"), "{error}");
    assert_eq!((scene.count("trades").await, scene.count("quarantine").await), (0, 0));
    assert_eq!(scene.database.cursor("live").await.unwrap(), None, "nothing is passed over");
}

#[tokio::test]
async fn an_asset_that_is_refused_stays_as_it_is_and_the_sweep_goes_on() {
    let scene = Scene::new().await;
    let known = [standing(1, URL), standing(2, URL), standing(3, URL)];
    scene.database.record_standings(scene.epoch, &known, true, None, now()).await.unwrap();
    refuse(&scene, "assets", "num_accounts = 13", "NEW.num_accounts = 14").await;
    let mut standings = known.clone();
    for (standings, accounts) in standings.iter_mut().zip([13, 14, 15]) {
        standings.num_accounts = accounts;
    }
    let sweep = stellar_ticker::db::assets::AssetSweep {
        token: Some("TEA_x".into()),
        began_at: Some(now()),
        ..Default::default()
    };
    let later = now() + chrono::TimeDelta::hours(1);
    scene.database.record_standings(scene.epoch, &standings, true, Some(&sweep), later).await.unwrap();
    let accounts = "SELECT num_accounts FROM assets WHERE issuer <> 'native' ORDER BY num_accounts";
    let accounts: Vec<i64> =
        scene.client.query(accounts, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(accounts, [12, 12, 15]);
    assert_eq!(scene.database.asset_sweep().await.unwrap(), sweep);
    let checked = scene.count(&format!("assets WHERE checked_at = '{later}'")).await;
    assert_eq!(checked, 3, "none is looked up again at once");
}

#[tokio::test]
async fn words_of_a_file_that_are_refused_are_left_out_and_other_files_are_stored() {
    let scene = Scene::new().await;
    let other = "https://other.example/.well-known/stellar.toml";
    let assets = [standing(1, URL), standing(2, URL), standing(3, other)];
    scene.database.record_standings(scene.epoch, &assets, true, None, now()).await.unwrap();
    refuse(&scene, "assets", "anchor_asset_code = 'BAD'", "NEW.anchor_asset_code = 'ODD'").await;
    refuse(&scene, "issuers", "name = 'BAD'", "false").await;
    let mut both = file(1, "BAD");
    both.currencies.extend(file(2, "GOOD").currencies);
    let mut others = file(3, "ODD");
    others.org.name = "BAD".into();
    let mut fetches = [fetch(Ok(both)), fetch(Ok(others))];
    fetches[1].url = other.into();
    scene.database.record_files(scene.epoch, &fetches, true, now()).await.unwrap();
    let words = "SELECT anchor_asset_code, is_valid, toml_applied_at IS NOT NULL FROM assets
                 WHERE issuer <> 'native' ORDER BY num_accounts, id";
    let words: Vec<(String, bool, bool)> = scene
        .client
        .query(words, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    let expected = ["", "GOOD", ""].map(|code| (code.to_owned(), true, true));
    assert_eq!(words, expected, "valid, and without the words that were refused");
    assert!(scene.database.due_files(&[], 10, now()).await.unwrap().is_empty(), "none is fetched again");
    assert_eq!(scene.count("issuers WHERE name = 'Tea House'").await, 2);
}

#[tokio::test]
async fn a_book_that_is_refused_is_named_and_the_others_are_stored() {
    let scene = Scene::new().await;
    let trades = vec![trade(5, 0, 1, 10), trade(5, 1, 2, 10), trade(5, 2, 3, 10)];
    let written = scene.database.write_trades(scene.epoch, &batch(None, trades)).await.unwrap();
    refuse(&scene, "orderbook_stats", "bid_count = 13", "NEW.bid_count = 14").await;
    let book = |bid_count| PolledBook {
        figures: BookFigures { bid_count, ..BookFigures::default() },
        best: BestPrices::default(),
        fetched_at: UnixSeconds(NOW),
    };
    let markets: Vec<i32> = written.new_markets.iter().map(|ids| ids.market).collect();
    let [first, second, third] = scene.markets(&markets).await.try_into().unwrap();
    let unknown = MarketAssets { market: 999_999, ..first };
    let books = [(first, 13), (second, 1), (third, 14), (unknown, 2)]
        .map(|(market, count)| (market, book(count), OrderBook::default()));
    let recorded = scene.database.record_books(scene.epoch, &books, UnixSeconds(NOW)).await.unwrap();
    assert_eq!(recorded.refused, [markets[0], markets[2], 999_999], "the last is of no market");
    assert!(recorded.seq.is_some());
    assert_eq!(scene.count("orderbook_stats").await, 1);
    let none = scene.database.record_books(scene.epoch, &books[..1], UnixSeconds(NOW)).await.unwrap();
    assert_eq!((none.seq, none.refused), (None, vec![markets[0]]));
}

#[tokio::test]
async fn an_asset_that_trades_bring_and_that_is_refused_costs_its_own_trades() {
    let scene = Scene::new().await;
    let odd = tea(2);
    refuse(&scene, "assets", &format!("issuer = '{}'", odd.issuer()), "false").await;
    let trades = vec![trade(5, 0, 1, 10), trade(5, 1, 2, 10), trade(5, 2, 3, 10)];
    let written = scene.database.write_trades(scene.epoch, &batch(None, trades)).await.unwrap();
    assert_eq!((written.trades.len(), written.quarantined.len()), (2, 1));
}
