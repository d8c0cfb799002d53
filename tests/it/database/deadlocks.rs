//! Writers of the same assets and issuers at the same time.

use stellar_ticker::{
    db::{DbError, toml_files::FileFetch},
    domain::issuer_file::IssuerFile,
};

use super::{
    assets::{URL, fetch, file, now, standing},
    books::writers_wait,
    *,
};

/// Transactions of each writer.
const ROUNDS: u8 = 150;
/// Issuers, each with one asset.
const ISSUERS: u8 = 12;

fn link(number: u8) -> String {
    format!("https://tea{}.example/.well-known/stellar.toml", number % 2)
}

/// A file of this link whose organisation is called like the round.
fn fetched(number: u8, round: u8) -> FileFetch {
    let mut named: IssuerFile = file(1, "USD");
    named.org.name = format!("Tea House {round}");
    FileFetch { url: link(number), ..fetch(Ok(named)) }
}

#[tokio::test]
async fn look_ups_and_files_of_the_same_assets_never_wait_for_each_other_in_a_circle() {
    let scene = Scene::new().await;
    let standings =
        |round: u8| (1..=ISSUERS).map(|issuer| standing(issuer, &link(issuer + round))).collect::<Vec<_>>();
    scene.record(&standings(0)).await;
    let look_ups = async {
        for round in 0..ROUNDS {
            scene.record(&standings(round)).await;
        }
    };
    let files = async {
        for round in 0..ROUNDS {
            let files = [fetched(round + 1, round), fetched(round, round)];
            scene.database.record_files(scene.epoch, &files, true, now()).await.unwrap();
        }
    };
    tokio::join!(look_ups, files);
    scene.client.batch_execute("SELECT pg_stat_force_next_flush()").await.unwrap();
    let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let deadlocks: i64 = scene.client.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(deadlocks, 0);
}

/// Assets of one issuer. Half of them link to [`URL`], the first one to another file.
const MANY: usize = 200;

/// A scene with these assets. Their order in the table is not that of their ids, so a writer without an order of its
/// own takes them in another one.
async fn with_assets() -> Scene {
    let scene = Scene::new().await;
    let many = format!(
        "INSERT INTO assets (id, code, issuer, type, meets_rules, is_valid, toml_url, last_valid)
         SELECT 1000 + n, 'T' || n, '{}', 'credit_alphanum12', true, true,
                CASE WHEN n % 2 = 0 THEN '{URL}' ELSE 'https://other.example/' END, 'epoch'::timestamptz
         FROM generate_series(1, {MANY}) n ORDER BY md5(n::text);
         ANALYZE assets",
        address(1)
    );
    scene.client.batch_execute(&many).await.unwrap();
    scene
}

/// Asserts that a writer holds no asset while it waits for the one with the lowest id.
async fn assert_begins_with_the_first<T>(scene: &Scene, write: impl Future<Output = Result<T, DbError>>) {
    let holder = connect(&scene.url).await;
    let lock = "BEGIN; SELECT FROM assets WHERE id > 1000 ORDER BY id LIMIT 1 FOR UPDATE";
    holder.batch_execute(lock).await.unwrap();
    let free = async {
        writers_wait(&scene.client, 1).await;
        let free = "SELECT FROM assets WHERE id > 1000 FOR UPDATE SKIP LOCKED";
        let free = scene.client.query(free, &[]).await.unwrap().len();
        holder.batch_execute("COMMIT").await.unwrap();
        free
    };
    // The result does not matter: on a slow machine the writer may give up its wait for the lock.
    let (_, free) = tokio::join!(write, free);
    assert_eq!(free, MANY - 1);
}

#[tokio::test]
async fn postponed_assets_are_locked_by_their_ids() {
    let scene = with_assets().await;
    let asset = |n: usize| Asset::issued(&format!("T{n}"), &address(1)).unwrap();
    let assets: Vec<Asset> = (1..=MANY).rev().map(asset).collect();
    assert_begins_with_the_first(&scene, scene.database.postpone_assets(scene.epoch, &assets, now())).await;
}

#[tokio::test]
async fn expired_assets_are_locked_by_their_ids() {
    let scene = with_assets().await;
    // This index has the order of the ids, which the statement must have without it too.
    scene.client.batch_execute("DROP INDEX assets_is_valid").await.unwrap();
    let expiry = scene.database.expire_verdicts(scene.epoch, Duration::from_secs(24 * 3_600), now());
    assert_begins_with_the_first(&scene, expiry).await;
}

/// The organisation of a file concerns all assets of its issuer.
#[tokio::test]
async fn a_file_locks_all_assets_of_its_issuers_by_their_ids() {
    let scene = with_assets().await;
    let files = [fetch(Ok(file(1, "USD")))];
    assert_begins_with_the_first(&scene, scene.database.record_files(scene.epoch, &files, true, now())).await;
}
