//! Words of a stellar.toml and verdicts on its assets: readers receive both together, and what they received one by one
//! is what the database holds.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use stellar_ticker::{
    db::{assets::AssetStanding, toml_files::FileFetch},
    domain::{asset::Asset, directory::AssetId, issuer_file::IssuerFile, listed_asset::ListedAsset},
};

use super::{
    assets::{URL, fetch, file, now, standing},
    isolation::held_up,
    reading::load,
    *,
};

const OTHER: &str = "https://other.example/.well-known/stellar.toml";

/// File with the `TEA` of these issuers, and the anchor of each.
fn file_of(anchors: &[(u8, &str)]) -> IssuerFile {
    let mut all = IssuerFile::default();
    for (issuer, anchor) in anchors {
        all.currencies.extend(file(*issuer, anchor).currencies);
    }
    all
}

impl Scene {
    /// Asserts that these assets are valid and no others, by the bytes of their issuers, with their anchors.
    async fn expect(&self, expected: &[(u8, &str)], why: &str) {
        let (all, _) = load(&self.database, None).await;
        let listed = all.assets.iter().filter_map(|(_, asset)| asset.as_ref());
        let found: BTreeMap<String, &str> = listed
            .filter(|asset| asset.issuer() != "native")
            .map(|asset| (asset.issuer().to_owned(), asset.currency.anchor_asset.as_str()))
            .collect();
        let expected: BTreeMap<String, &str> =
            expected.iter().map(|(issuer, anchor)| (address(*issuer), *anchor)).collect();
        assert_eq!(found, expected, "{why}");
    }

    /// Names of the organisations behind the valid assets.
    async fn organisations(&self) -> Vec<String> {
        let (all, _) = load(&self.database, None).await;
        let listed = all.assets.into_iter().filter_map(|(_, asset)| asset);
        listed.filter(|asset| asset.issuer() != "native").map(|asset| asset.issuer.name.clone()).collect()
    }

    async fn due(&self, ranked: &[AssetId]) -> Vec<String> {
        let due = self.database.due_files(ranked, 10, now()).await.unwrap();
        due.into_iter().map(|file| file.url).collect()
    }

    /// Records a failed fetch with this wait until the next one.
    async fn fail(&self, at: DateTime<Utc>, wait: TimeDelta) {
        let failed = FileFetch { next_check_at: at + wait, ..fetch(Err("down".into())) };
        self.database.record_files(self.epoch, &[failed], true, at).await.unwrap();
    }
}

#[tokio::test]
async fn an_asset_that_is_new_in_a_file_of_others_is_published_with_its_words_and_not_before() {
    let scene = Scene::new().await;
    scene.record(&[standing(1, URL)]).await;
    scene.record_fetch(Ok(file_of(&[(1, "USD"), (2, "EUR")])), now()).await;
    assert!(scene.due(&[]).await.is_empty());
    scene.record(&[standing(2, URL)]).await;
    scene.expect(&[(1, "USD")], "its words are not known").await;
    assert_eq!(scene.due(&[]).await, [URL], "the file is read for it");
    scene.record(&[standing(2, URL)]).await;
    scene.expect(&[(1, "USD")], "another look-up does not change that").await;
    let seq = scene.record_fetch(Ok(file_of(&[(1, "USD"), (2, "EUR")])), now()).await;
    scene.expect(&[(1, "USD"), (2, "EUR")], "both at once").await;
    let (changes, _) = load(&scene.database, Some(seq - 1)).await;
    assert_eq!(changes.assets.len(), 1);
    assert!(scene.due(&[]).await.is_empty());
    // Without a need for a file, as on testnet, nothing is waited for.
    scene.database.record_standings(scene.epoch, &[standing(3, URL)], false, None, now()).await.unwrap();
    scene.expect(&[(1, "USD"), (2, "EUR"), (3, "")], "no file is required").await;
}

#[tokio::test]
async fn an_asset_that_is_new_in_a_file_that_fails_shares_the_last_verdict_if_no_fetch_is_near() {
    let scene = Scene::new().await;
    scene.record(&[standing(1, URL)]).await;
    scene.record_fetch(Ok(file_of(&[(1, "USD")])), now()).await;
    scene.record(&[standing(2, URL)]).await;
    // A host is given little time at first, and is asked again soon.
    scene.fail(now(), TimeDelta::seconds(5)).await;
    scene.expect(&[(1, "USD")], "the next fetch is near").await;
    scene.record(&[standing(3, URL)]).await;
    scene.fail(now(), TimeDelta::minutes(1)).await;
    scene.expect(&[(1, "USD")], "the next fetch is near").await;
    scene.fail(now(), TimeDelta::minutes(2)).await;
    scene.expect(&[(1, "USD"), (2, ""), (3, "")], "all assets of a file have one verdict").await;
    scene.record(&[standing(4, URL)]).await;
    scene.expect(&[(1, "USD"), (2, ""), (3, ""), (4, "")], "also one that is new by now").await;
    let anchors = [(1, "USD"), (2, "EUR"), (3, "EUR"), (4, "EUR")];
    scene.record_fetch(Ok(file_of(&anchors)), now()).await;
    scene.expect(&anchors, "the words follow").await;
}

#[tokio::test]
async fn a_file_that_an_asset_waits_for_is_read_before_files_that_nobody_has_read() {
    let scene = Scene::new().await;
    scene.record(&[standing(1, URL)]).await;
    scene.record_fetch(Ok(file_of(&[])), now()).await;
    scene.record(&[standing(2, URL), standing(3, OTHER)]).await;
    assert_eq!(scene.due(&[]).await, [URL, OTHER]);
    let row = "SELECT id FROM assets WHERE issuer = $1";
    let third: AssetId = scene.client.query_one(row, &[&address(3)]).await.unwrap().get(0);
    assert_eq!(scene.due(&[third]).await, [OTHER, URL], "busy markets come first all the same");
}

#[tokio::test]
async fn an_asset_that_meets_the_rules_again_is_published_with_the_words_of_today() {
    let scene = Scene::new().await;
    scene.record(&[standing(1, URL), standing(2, URL)]).await;
    scene.record_fetch(Ok(file_of(&[(1, "USD")])), now()).await;
    scene.expect(&[(1, "USD"), (2, "")], "before").await;
    let poor = AssetStanding { meets_rules: false, ..standing(1, URL) };
    scene.record(&[poor]).await;
    scene.expect(&[(2, "")], "too few hold it").await;
    scene.record_fetch(Ok(file_of(&[(1, "EUR")])), now()).await;
    scene.record(&[standing(1, URL)]).await;
    scene.expect(&[(2, "")], "the file has changed since").await;
    assert_eq!(scene.due(&[]).await, [URL]);
    scene.record_fetch(Ok(file_of(&[(1, "EUR")])), now()).await;
    scene.expect(&[(1, "EUR"), (2, "")], "both at once").await;
}

#[tokio::test]
async fn a_look_up_that_meets_the_storing_of_a_file_takes_nothing_of_it_back() {
    let scene = Scene::new().await;
    scene.record(&[standing(1, URL)]).await;
    scene.expect(&[], "no file was read").await;
    // The TOML checker has begun to store the first good fetch when the asset poller looks the asset up.
    let lock = "SELECT FROM assets WHERE code = 'TEA' FOR UPDATE";
    let stored = format!(
        "INSERT INTO toml_files (url, is_good, good_at, failures, problem, checked_at, next_check_at)
         VALUES ('{URL}', true, '{0}', 0, '', '{0}', '{0}'::timestamptz + interval '1 hour');
         UPDATE assets SET is_valid = true, last_valid = '{0}', anchor_asset_code = 'USD', toml_applied_at = '{0}',
             version = nextval('asset_version') WHERE code = 'TEA'",
        now()
    );
    let standings = [standing(1, URL)];
    held_up(&scene, lock, scene.record(&standings), &stored).await;
    scene.expect(&[(1, "USD")], "the verdict stays").await;
    assert!(scene.due(&[]).await.is_empty(), "the file was read for it");
}

#[tokio::test]
async fn an_issuer_that_moves_is_the_same_for_all_its_assets_and_for_every_reader() {
    let scene = Scene::new().await;
    let coffee = AssetStanding { asset: Asset::issued("COFFEE", &address(1)).unwrap(), ..standing(1, URL) };
    let store = async |url: &str, name: &str| {
        let mut described = file(1, "");
        described.org.name = name.into();
        let fetched = FileFetch { url: url.into(), ..fetch(Ok(described)) };
        scene.database.record_files(scene.epoch, &[fetched], true, now()).await.unwrap();
    };
    scene.record(&[standing(1, URL), coffee]).await;
    store(URL, "Tea House").await;
    let (before, _) = load(&scene.database, None).await;
    // One of its assets is looked up since it moved. The other one links to the old file until the next sweep.
    scene.record(&[standing(1, OTHER)]).await;
    store(OTHER, "Coffee House").await;
    let (changes, _) = load(&scene.database, Some(before.seq)).await;
    let mut followed: BTreeMap<AssetId, Option<ListedAsset>> = before.assets.into_iter().collect();
    followed.extend(changes.assets);
    followed.retain(|_, asset| asset.is_some());
    assert_eq!(scene.organisations().await, ["Coffee House"; 2]);
    let loaded: BTreeMap<AssetId, Option<ListedAsset>> =
        load(&scene.database, None).await.0.assets.into_iter().collect();
    assert_eq!(followed, loaded, "by changes, and at once");
    store(URL, "Tea House").await;
    assert_eq!(scene.organisations().await, ["Coffee House"; 2], "its old file is no longer its own");
    scene.record(&[standing(1, URL)]).await;
    store(URL, "Tea House").await;
    assert_eq!(scene.organisations().await, ["Tea House"; 2], "it has moved back");
}
