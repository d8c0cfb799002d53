//! Writers of the same assets and issuers at the same time.

use stellar_ticker::{db::toml_files::FileFetch, domain::issuer_file::IssuerFile};

use super::{
    assets::{fetch, file, now, standing},
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
