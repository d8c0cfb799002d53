//! Lakes that are refused at start.

use stellar_ticker::sim::{Endpoint, Fault};

use super::*;

fn refused(lake: &str) -> String {
    let horizon = ["--horizon-url", NOWHERE, "--network", PASSPHRASE];
    let (database, lake) = (block_on(fresh_database()), ["--database-url", "", "--lake-url", lake]);
    let lake = [&lake[..1], &[database.as_str()], &lake[2..]].concat();
    let (code, _, log) =
        run(&[&["ingest", "trades", "--ledger-source", "lake"], &horizon[..], &lake].concat());
    assert_eq!(code, 78, "{log}");
    log
}

#[test]
fn a_lake_of_another_network_is_refused() {
    let sim = with_lake(81, 1.0, 0, FaultPlan::none());
    sim.lake().announce("Another Network");
    let log = refused(&lake_url(&sim));
    assert!(log.contains("Another Network") && log.contains(PASSPHRASE), "{log}");
}

#[test]
fn a_lake_from_before_sep_54_is_refused_with_that_word() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("FFFFFFFF--0-63.xdr.zstd"), "").unwrap();
    let log = refused(&format!("file://{}", directory.path().display()));
    assert!(log.contains("before SEP-54") && log.contains(".config.json"), "{log}");
}

#[test]
fn a_source_that_is_a_lake_needs_one() {
    let (code, _, log) = run(&["config", "check", "--ledger-source", "lake"]);
    assert_eq!(code, 78, "{log}");
    assert!(log.contains("--lake-url"), "{log}");
    let (code, _, log) = run(&["config", "check", "--lake-url", "s3://bucket/lake"]);
    assert!(code != 0 && log.contains("file:///DIRECTORY"), "{log}");
}

#[test]
fn a_page_of_a_proxy_in_place_of_the_manifest_refuses_no_lake() {
    let plan = FaultPlan::none();
    let sim = with_lake(209, 2.0, 0, plan.clone());
    plan.push(Endpoint::Lake, Fault::ProxyPage(404));
    plan.push(Endpoint::Lake, Fault::HtmlWith200);
    block_on(async {
        let daemon = reading_lake(&sim, &sim.url(), "0").await;
        wait_for_trades(&recomputation::connect(&daemon.database).await, 10).await;
        assert_eq!(plan.pending(Endpoint::Lake), 0);
    });
}
