//! Statements of the leader that an index must serve, because they run often and most assets do not concern them.

use super::{assets::URL, *};

/// Returns the plan of a statement of `src/db/sql`, with these values for `$1` and so on.
async fn plan(scene: &Scene, statement: &str, values: &[&str]) -> String {
    let mut statement = statement.to_owned();
    for (number, value) in (1..).zip(values) {
        statement = statement.replace(&format!("${number}"), value);
    }
    let rows = scene.client.query(&format!("EXPLAIN {statement}"), &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect::<Vec<String>>().join("\n")
}

/// A scene with many assets of as many issuers, all looked up. One of 500 is valid, and one links to [`URL`].
async fn with_many_assets() -> Scene {
    let scene = Scene::new().await;
    let many = format!(
        "INSERT INTO assets (code, issuer, type, meets_rules, is_valid, num_accounts, checked_at, last_valid, toml_url)
         SELECT 'T' || n, 'G' || n, 'credit_alphanum12', true, n % 500 = 0, 5, now() - n * interval '1 second', now(),
                CASE WHEN n = 7 THEN '{URL}' ELSE 'https://tea.example/' || n END
         FROM generate_series(1, 50000) n;
         ANALYZE assets"
    );
    scene.client.batch_execute(&many).await.unwrap();
    scene
}

#[tokio::test]
async fn few_of_many_assets_are_found_by_an_index() {
    let scene = with_many_assets().await;
    let lock = include_str!("../../../src/db/sql/toml_files/lock_assets.sql");
    let expire = include_str!("../../../src/db/sql/toml_files/expire.sql");
    let listed = include_str!("../../../src/db/sql/assets/listed.sql");
    let url = format!("'{{{URL}}}'");
    for (statement, value, index) in [
        (lock, url.as_str(), "assets_issuer"),
        (expire, "now() - interval '1 day'", "assets_is_valid"),
        (listed, "20", "assets_checked_at"),
    ] {
        let plan = plan(&scene, statement, &[value]).await;
        assert!(plan.contains(index) && !plan.contains("Seq Scan on assets"), "{plan}");
    }
}
