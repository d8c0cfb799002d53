//! Assets that are due, the rules of their validity, and the changes that readers receive.

use chrono::{DateTime, TimeDelta, Utc};
use stellar_ticker::{
    db::{
        assets::{AssetStanding, AssetSweep},
        toml_files::FileFetch,
    },
    domain::{
        amount::Total,
        issuer_file::{Currency, IssuerFile, Organisation},
        orderbook::{BestPrices, BookFigures, Level, OrderBook, PolledBook},
        price::Price,
    },
};

use super::{reading::load, *};

pub(super) const URL: &str = "https://tea.example/.well-known/stellar.toml";

pub(super) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).unwrap()
}

pub(super) fn tea(issuer: u8) -> Asset {
    Asset::issued("TEA", &address(issuer)).unwrap()
}

pub(super) fn standing(issuer: u8, url: &str) -> AssetStanding {
    AssetStanding {
        asset: tea(issuer),
        meets_rules: true,
        num_accounts: 12,
        amount: 7,
        auth_required: false,
        auth_revocable: false,
        toml_url: url.into(),
    }
}

pub(super) fn fetch(outcome: Result<IssuerFile, String>) -> FileFetch {
    FileFetch { url: URL.into(), outcome, next_check_at: now() + TimeDelta::hours(1) }
}

pub(super) fn file(issuer: u8, anchor: &str) -> IssuerFile {
    IssuerFile {
        org: Organisation { name: "Tea House".into(), ..Organisation::default() },
        currencies: vec![Currency {
            code: "TEA".into(),
            issuer: address(issuer),
            anchor_asset: anchor.into(),
            ..Currency::default()
        }],
    }
}

impl Scene {
    pub(super) async fn record(&self, standings: &[AssetStanding]) -> i64 {
        self.database.record_standings(self.epoch, standings, true, None, now()).await.unwrap()
    }

    pub(super) async fn record_fetch(&self, outcome: Result<IssuerFile, String>, at: DateTime<Utc>) -> i64 {
        self.database.record_files(self.epoch, &[fetch(outcome)], true, at).await.unwrap()
    }

    pub(super) async fn valid(&self) -> i64 {
        self.count("assets WHERE is_valid AND issuer <> 'native'").await
    }
}

#[tokio::test]
async fn assets_of_trades_are_due_the_ranked_ones_first_until_they_were_looked_up() {
    let scene = Scene::new().await;
    let trades = vec![trade(5, 0, 1, 10), trade(5, 1, 2, 10), trade(5, 2, 3, 10)];
    scene.database.write_trades(scene.epoch, &batch(None, trades)).await.unwrap();
    assert!(!scene.database.any_asset_checked().await.unwrap());
    let due = scene.database.due_assets(&[], 10, now()).await.unwrap();
    assert_eq!((due.assets.len(), due.count, due.ranked), (3, 3, 0), "XLM is never due");
    assert_eq!(scene.database.count_due_assets(2, now()).await.unwrap(), 2);
    assert_eq!(scene.database.count_due_assets(9, now()).await.unwrap(), 3);
    let third: i32 = scene
        .client
        .query_one("SELECT id FROM assets WHERE issuer = $1", &[&address(3)])
        .await
        .unwrap()
        .get(0);
    let due = scene.database.due_assets(&[1, third], 1, now()).await.unwrap();
    assert_eq!((due.assets.as_slice(), due.count, due.ranked), (&[tea(3)][..], 3, 1));
    scene.record(&[standing(1, URL), AssetStanding::gone(tea(2))]).await;
    assert_eq!(scene.database.due_assets(&[], 10, now()).await.unwrap().assets, [tea(3)]);
    assert!(scene.database.any_asset_checked().await.unwrap());
}

/// The search runs every few seconds, and mostly finds nothing.
#[tokio::test]
async fn due_assets_are_found_by_the_index_however_many_were_looked_up() {
    let scene = Scene::new().await;
    let many = format!(
        "INSERT INTO assets (code, issuer, type, checked_at)
         SELECT 'T' || n, '{}', 'credit_alphanum12', now() - n * interval '1 second' FROM generate_series(1, 50000) n;
         UPDATE asset_sweep SET swept_from = now() - interval '1 day';
         ANALYZE assets, asset_sweep",
        address(1)
    );
    scene.client.batch_execute(&many).await.unwrap();
    assert_eq!(scene.database.count_due_assets(301, Utc::now()).await.unwrap(), 0);
    assert!(scene.database.due_assets(&[], 20, Utc::now()).await.unwrap().assets.is_empty());
    let count = include_str!("../../../src/db/sql/assets/count_due.sql");
    let due = include_str!("../../../src/db/sql/assets/due.sql");
    for (statement, values) in [
        (count, ["1", "now()", "", ""]),
        (count, ["301", "now()", "", ""]),
        (due, ["'{}'", "20", "1000", "now()"]),
    ] {
        let mut statement = statement.to_owned();
        for (parameter, value) in ["$1", "$2", "$3", "$4"].iter().zip(values) {
            statement = statement.replace(parameter, value);
        }
        let rows = scene.client.query(&format!("EXPLAIN {statement}"), &[]).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(plan.contains("assets_checked_at") && !plan.contains("Seq Scan on assets"), "{plan}");
    }
    scene.client.batch_execute("UPDATE asset_sweep SET swept_from = now()").await.unwrap();
    assert_eq!(scene.database.count_due_assets(301, Utc::now()).await.unwrap(), 301);
    let last = scene.client.query_one("SELECT min(id) FROM assets WHERE code = 'T1'", &[]).await.unwrap();
    let due = scene.database.due_assets(&[last.get(0)], 20, Utc::now()).await.unwrap();
    assert_eq!((due.assets.len(), due.ranked, due.assets[0].code()), (20, 1, "T1"));
    assert!((1_000..=1_001).contains(&due.count), "{}", due.count);
}

#[tokio::test]
async fn what_a_whole_sweep_did_not_meet_is_due_and_the_sweep_goes_on_where_it_was() {
    let scene = Scene::new().await;
    let old = standing(1, URL);
    scene
        .database
        .record_standings(
            scene.epoch,
            &[old.clone(), standing(2, URL)],
            true,
            None,
            now() - TimeDelta::days(1),
        )
        .await
        .unwrap();
    let mut sweep =
        AssetSweep { began_at: Some(now()), token: Some("TEA_x".into()), ..AssetSweep::default() };
    let step = async |standings: &[AssetStanding], sweep: &AssetSweep| {
        scene.database.record_standings(scene.epoch, standings, true, Some(sweep), now()).await.unwrap();
    };
    step(&[standing(2, URL), standing(9, URL)], &sweep).await;
    assert_eq!(scene.database.asset_sweep().await.unwrap(), sweep, "a start in the middle finds its place");
    assert_eq!(scene.count("assets").await, 4, "what qualifies is stored, traded or not");
    assert!(
        scene.database.due_assets(&[], 10, now()).await.unwrap().assets.is_empty(),
        "the sweep is not over"
    );
    sweep = AssetSweep { token: None, began_at: None, swept_from: Some(now()), finished_at: Some(now()) };
    step(&[], &sweep).await;
    assert_eq!(scene.database.due_assets(&[], 10, now()).await.unwrap().assets, [tea(1)]);
    let poor = AssetStanding { meets_rules: false, ..standing(10, "") };
    step(&[poor], &sweep).await;
    assert_eq!(scene.count("assets").await, 4, "what does not qualify and was never traded is not stored");
}

#[tokio::test]
async fn a_sweep_of_a_clock_that_was_ahead_makes_no_asset_due_again() {
    let scene = Scene::new().await;
    let ahead = now() + TimeDelta::days(2);
    let sweep = AssetSweep {
        swept_from: Some(ahead),
        finished_at: Some(ahead + TimeDelta::minutes(5)),
        ..AssetSweep::default()
    };
    let looked_up = [standing(1, URL)];
    scene.database.record_standings(scene.epoch, &looked_up, true, Some(&sweep), now()).await.unwrap();
    scene.database.write_trades(scene.epoch, &batch(None, vec![trade(5, 0, 2, 10)])).await.unwrap();
    let due = async |at| {
        let due = scene.database.due_assets(&[], 10, at).await.unwrap();
        assert_eq!(scene.database.count_due_assets(9, at).await.unwrap(), due.count);
        due.assets
    };
    assert_eq!(due(now()).await, [tea(2)], "it was never looked up");
    assert_eq!(due(ahead).await, [tea(2), tea(1)], "the clock has caught up");
}

#[tokio::test]
async fn many_links_to_one_host_leave_room_for_others() {
    let scene = Scene::new().await;
    let spellings = ["https://evil.com", "https://EVIL.com", "https://https://evil.com", "https:// evil.com"];
    let evil = |n: u8| format!("{}/{n}", spellings[usize::from(n) % spellings.len()]);
    let mut standings: Vec<_> = (1..=100).map(|n| standing(n, &evil(n))).collect();
    standings.extend((101..=110).map(|n| standing(n, &format!("https://tea{n}.example/"))));
    scene.record(&standings).await;
    let due = scene.database.due_files(&[], 14, now()).await.unwrap();
    let of = |host: &str| due.iter().filter(|file| file.url.to_lowercase().contains(host)).count();
    assert_eq!((of("evil"), of("tea")), (4, 10));
    // The highest ranked asset of a host is among its first.
    let row =
        scene.client.query_one("SELECT id FROM assets WHERE toml_url = $1", &[&evil(99)]).await.unwrap();
    let due = scene.database.due_files(&[row.get(0)], 14, now()).await.unwrap();
    assert_eq!((due[0].url.as_str(), due.len()), (evil(99).as_str(), 14));
}

#[tokio::test]
async fn many_names_below_one_domain_leave_room_for_others() {
    let scene = Scene::new().await;
    let mut standings: Vec<_> =
        (1..=100).map(|n| standing(n, &format!("https://a{n}.evil.com/toml"))).collect();
    standings.extend((101..=110).map(|n| standing(n, &format!("https://tea{n}.example/"))));
    scene.record(&standings).await;
    let due = scene.database.due_files(&[], 1_000, now()).await.unwrap();
    let of = |host: &str| due.iter().filter(|file| file.url.contains(host)).count();
    assert_eq!((of("evil"), of("tea")), (64, 10));
}

#[tokio::test]
async fn a_file_decides_for_all_its_assets_and_a_failure_takes_nothing_away_for_a_day() {
    let scene = Scene::new().await;
    scene.record(&[standing(1, URL), standing(2, URL), standing(3, "")]).await;
    assert_eq!(scene.valid().await, 0, "no file was read yet");
    let due = scene.database.due_files(&[], 10, now()).await.unwrap();
    assert_eq!(due.iter().map(|file| (file.url.as_str(), file.failures)).collect::<Vec<_>>(), [(URL, 0)]);
    scene.record_fetch(Err("down".into()), now()).await;
    assert_eq!(scene.valid().await, 0);
    assert!(scene.database.due_files(&[], 10, now()).await.unwrap().is_empty(), "it is left alone");
    let later = now() + TimeDelta::hours(1);
    assert_eq!(scene.database.due_files(&[], 10, later).await.unwrap()[0].failures, 1);
    let earlier = now() - TimeDelta::hours(2);
    assert_eq!(scene.database.due_files(&[], 10, earlier).await.unwrap().len(), 1, "a clock was ahead");
    let seq = scene.record_fetch(Ok(file(1, "USD")), now()).await;
    assert_eq!(scene.valid().await, 2, "the one that is not listed too, and not the one without a link");
    let (changes, _) = load(&scene.database, Some(seq - 1)).await;
    let mut anchors: Vec<_> = changes
        .assets
        .iter()
        .map(|(_, asset)| asset.as_ref().map(|asset| asset.currency.anchor_asset.as_str()))
        .collect();
    anchors.sort_unstable();
    assert_eq!(anchors, [Some(""), Some("USD")]);
    let within = now() + TimeDelta::hours(23);
    scene.record_fetch(Err("down".into()), within).await;
    assert_eq!(scene.valid().await, 2, "the last good verdict holds");
    let grace = Duration::from_secs(24 * 3_600);
    assert_eq!(scene.database.expire_verdicts(scene.epoch, grace, within).await.unwrap(), None);
    let over = now() + TimeDelta::hours(25);
    let expired = scene.database.expire_verdicts(scene.epoch, grace, over).await.unwrap();
    assert!(expired.is_some() && scene.valid().await == 0);
    let kept = "assets WHERE anchor_asset_code = 'USD'";
    assert_eq!(scene.count(kept).await, 1, "a failed fetch never erases what was known");
    scene.record_fetch(Ok(file(1, "")), over).await;
    assert_eq!((scene.valid().await, scene.count(kept).await), (2, 0));
}

#[tokio::test]
async fn a_link_that_moved_takes_nothing_away_for_a_day_whatever_becomes_of_the_new_file() {
    const NEW: &str = "https://new.example/.well-known/stellar.toml";
    let scene = Scene::new().await;
    let record = async |standings: &[AssetStanding], at: DateTime<Utc>| {
        scene.database.record_standings(scene.epoch, standings, true, None, at).await.unwrap()
    };
    let fails = async |at: DateTime<Utc>| {
        let failed = FileFetch { url: NEW.into(), ..fetch(Err("down".into())) };
        scene.database.record_files(scene.epoch, &[failed], true, at).await.unwrap();
    };
    let expire = async |at: DateTime<Utc>| {
        let grace = Duration::from_secs(24 * 3_600);
        scene.database.expire_verdicts(scene.epoch, grace, at).await.unwrap();
    };
    record(&[standing(1, URL), standing(2, URL), standing(3, URL)], now()).await;
    scene.record_fetch(Ok(file(1, "")), now()).await;
    assert_eq!(scene.valid().await, 3);
    // One moves, one drops its link, one is new and never was valid.
    let moved = [standing(1, NEW), standing(3, ""), standing(4, NEW)];
    let confirmed = format!("assets WHERE asset_controlled_by_domain AND toml_url = '{NEW}'");
    let confirmed_before = "assets WHERE asset_controlled_by_domain AND code <> 'XLM'";
    assert_eq!(scene.count(confirmed_before).await, 1, "the file lists one of the three");
    record(&moved, now() + TimeDelta::hours(1)).await;
    assert_eq!(scene.valid().await, 2, "without a link no asset is valid");
    assert_eq!(scene.count(&confirmed).await, 0, "any domain could be claimed");
    fails(now() + TimeDelta::hours(2)).await;
    assert_eq!(scene.valid().await, 2, "the new host is slow");
    for hour in [12, 20, 23] {
        record(&[standing(1, NEW)], now() + TimeDelta::hours(hour)).await;
        expire(now() + TimeDelta::hours(hour)).await;
        assert_eq!(scene.count(&format!("assets WHERE is_valid AND toml_url = '{NEW}'")).await, 1, "{hour}");
    }
    let over = now() + TimeDelta::hours(25);
    expire(over).await;
    assert_eq!(scene.valid().await, 1, "looking again does not prolong it");
    fails(over).await;
    record(&[standing(1, NEW)], over).await;
    assert_eq!(scene.count(&format!("assets WHERE is_valid AND toml_url = '{NEW}'")).await, 0);
    let good = FileFetch { url: NEW.into(), ..fetch(Ok(file(1, ""))) };
    scene.database.record_files(scene.epoch, &[good], true, over).await.unwrap();
    assert_eq!(scene.count(&format!("assets WHERE is_valid AND toml_url = '{NEW}'")).await, 2);
    assert_eq!(scene.count(&confirmed).await, 1, "its own file confirms it");
}

#[tokio::test]
async fn an_issuers_row_is_that_of_the_assets_issuer_whatever_the_file_calls_itself() {
    let scene = Scene::new().await;
    scene.record(&[standing(1, URL)]).await;
    let mut described = file(1, "");
    described.org.url = "https://www.tea.example".into();
    scene.record_fetch(Ok(described), now()).await;
    let row = scene
        .client
        .query_one("SELECT name, toml_url FROM issuers WHERE public_key = $1", &[&address(1)])
        .await
        .unwrap();
    assert_eq!((row.get::<_, String>(0), row.get::<_, String>(1)), ("Tea House".into(), URL.into()));
    assert_eq!(scene.count("assets WHERE asset_controlled_by_domain AND issuer <> 'native'").await, 1);
    let native = "issuers WHERE public_key = 'native' AND name = 'Stellar Development Foundation'";
    assert_eq!(scene.count(native).await, 1);
}

#[tokio::test]
async fn readers_receive_only_real_changes() {
    let scene = Scene::new().await;
    scene.record(&[standing(1, URL)]).await;
    let again = scene.record(&[standing(1, URL)]).await;
    let (changes, _) = load(&scene.database, Some(again - 1)).await;
    assert!(changes.assets.is_empty(), "nothing changed but the time of the look");
    scene.record_fetch(Ok(file(1, "")), now()).await;
    let again = scene.record_fetch(Ok(file(1, "")), now()).await;
    let (changes, _) = load(&scene.database, Some(again - 1)).await;
    assert!(changes.assets.is_empty(), "nothing changed but the time of the fetch");
    let gone = scene.record(&[AssetStanding::gone(tea(1))]).await;
    let (changes, _) = load(&scene.database, Some(gone - 1)).await;
    assert_eq!(changes.assets.len(), 1);
    assert!(changes.assets[0].1.is_none(), "gone from Horizon: not valid any more");
}

#[tokio::test]
async fn books_are_read_by_change_and_those_of_dead_markets_leave() {
    let scene = Scene::new().await;
    let trades = vec![trade(5, 0, 1, 10), trade(5, 1, 2, 10)];
    let written = scene.database.write_trades(scene.epoch, &batch(None, trades)).await.unwrap();
    let markets: Vec<i32> = written.new_markets.iter().map(|ids| ids.market).collect();
    let mut assets = scene.database.market_assets(&markets).await.unwrap();
    assets.sort_by_key(|market| market.counter.issuer().to_owned());
    let sides = |market: &MarketAssets| (market.base, market.counter);
    let mut expected = [tea(1), tea(2)];
    expected.sort_by_key(|asset| asset.issuer().to_owned());
    assert_eq!(assets.iter().map(sides).collect::<Vec<_>>(), expected.map(|tea| (Asset::Native, tea)));
    let book = |bid_count| PolledBook {
        figures: BookFigures { bid_count, bid_volume: 0.1, ..BookFigures::default() },
        best: BestPrices::default(),
        fetched_at: UnixSeconds(NOW),
    };
    let level = |n, stroops| Level {
        price: Price::new(n, 7).unwrap(),
        amount: Total::from_stroops(stroops).unwrap(),
    };
    let levels =
        OrderBook { bids: vec![level(3, 5), level(2, i128::from(i64::MAX) * 9)], asks: vec![level(4, 1)] };
    let polled = PolledBook::of(&levels, UnixSeconds(NOW));
    let [one, other] = scene.markets(&markets).await.try_into().unwrap();
    let first = [(one, book(1), OrderBook::default()), (other, polled, levels.clone())];
    scene.database.record_books(scene.epoch, &first, UnixSeconds(NOW)).await.unwrap();
    let again = [(one, book(3), OrderBook::default())];
    let recorded = scene.database.record_books(scene.epoch, &again, UnixSeconds(NOW)).await.unwrap();
    let held = scene.database.book_levels(markets[1]).await.unwrap();
    assert_eq!(held, Some((levels, UnixSeconds(NOW))));
    let seq = recorded.seq.unwrap();
    let (changes, _) = load(&scene.database, Some(seq - 1)).await;
    assert_eq!((changes.books, changes.has_all_books), (vec![(markets[0], book(3))], false));
    assert_eq!(scene.database.keep_books_of(scene.epoch, &markets).await.unwrap(), 0);
    assert_eq!(scene.database.keep_books_of(scene.epoch, &markets[1..]).await.unwrap(), 1);
    let (changes, _) = load(&scene.database, Some(seq)).await;
    assert_eq!((changes.books, changes.has_all_books), (vec![(markets[1], polled)], true));
    assert_eq!(
        scene.database.book_levels(markets[0]).await.unwrap(),
        None,
        "the levels leave with the figures"
    );
    // A program that does not know the exact prices leaves them as they were.
    scene.client.execute("UPDATE orderbook_stats SET bid_max = 0.25", &[]).await.unwrap();
    let (changes, _) = load(&scene.database, None).await;
    let best = BestPrices { bid: None, ask: Price::new(4, 7) };
    let [(_, moved)] = changes.books[..] else { panic!("{:?}", changes.books) };
    assert_eq!((polled.best.bid, moved.best), (Price::new(3, 7), best));
}
