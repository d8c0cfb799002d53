//! Lakes and RPC servers that `doctor` examines: a sound one, and one for each fault.

use stellar_ticker::sim::lake::LakeFault;

use super::*;
use crate::doctor::Found;

/// Ledgers, of two seconds each, by which a source is behind.
const BEHIND: u32 = 100;

/// Runs `doctor` with a new database and these sources.
fn examined(horizon: &str, sources: &[&str]) -> Found {
    let database = block_on(fresh_database());
    let network = ["--horizon-url", horizon, "--network", PASSPHRASE, "--database-url", &database];
    Found::read(run(&[&["doctor", "--json"], &network[..], sources].concat()))
}

/// Options that read history and new trades from the lake of `sim`, and from its RPC.
fn sources(sim: &SimServer) -> [Vec<String>; 2] {
    [("lake", "--lake-url", lake_url(sim)), ("rpc", "--rpc-url", format!("{}/rpc", sim.url()))].map(
        |(name, flag, url)| {
            let options = ["--ledger-source", name, "--live-from", name, flag];
            options.into_iter().map(str::to_owned).chain([url]).collect()
        },
    )
}

/// Examines the lake and the RPC of `sim`.
fn both_examined(sim: &SimServer) -> [Found; 2] {
    sources(sim).map(|sources| {
        let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
        examined(&sim.url(), &sources)
    })
}

#[test]
fn doctor_reads_the_manifest_the_newest_ledger_and_its_hash_at_horizon() {
    let sim = with_lake(82, 2.0, 1, FaultPlan::none());
    let [lake, rpc] = both_examined(&sim);
    for name in ["lake", "lake_lag", "lake_ledger", "lake_anchor"] {
        assert_eq!(lake.check(name)["status"], "ok", "{}", lake.check(name));
    }
    for name in ["rpc", "rpc_lag", "rpc_ledger", "rpc_anchor"] {
        assert_eq!(rpc.check(name)["status"], "ok", "{}", rpc.check(name));
    }
}

#[test]
fn doctor_fails_for_a_lake_and_an_rpc_of_another_network() {
    let sim = with_lake(251, 2.0, 1, FaultPlan::none());
    sim.lake().announce("Another Network");
    let [lake, rpc] = both_examined(&sim);
    lake.assert("lake", "failure", "Another Network");
    rpc.assert("rpc", "failure", "Another Network");
    assert_eq!(
        (&lake.check("lake_ledger")["status"], &rpc.check("rpc_ledger")["status"]),
        (&"skipped".into(), &"skipped".into())
    );
}

#[test]
fn doctor_fails_for_a_source_of_new_trades_that_is_behind() {
    let sim = with_lake(252, 2.0, 1, FaultPlan::none());
    let newest = sim.oracle().head().latest - BEHIND;
    sim.lake().stop_at(Some(newest));
    let behind = format!("its newest ledger {newest} closed ");
    let [lake, rpc] = both_examined(&sim);
    lake.assert("lake_lag", "failure", &behind);
    rpc.assert("rpc_lag", "failure", &behind);
    // A source of history alone may be behind.
    let history_only = examined(&sim.url(), &["--ledger-source", "lake", "--lake-url", &lake_url(&sim)]);
    assert_eq!(history_only.check("lake_lag")["status"], "ok", "{}", history_only.check("lake_lag"));
}

#[test]
fn doctor_fails_for_a_newest_ledger_that_is_damaged() {
    let sim = with_lake(253, 2.0, 1, FaultPlan::none());
    let newest = sim.oracle().head().latest;
    sim.lake().stop_at(Some(newest));
    sim.lake().spoil(newest, LakeFault::Damaged);
    let refused = format!("ledger {newest} is refused: ");
    let [lake, rpc] = both_examined(&sim);
    lake.assert("lake_ledger", "failure", &refused);
    rpc.assert("rpc_ledger", "failure", &refused);
}

#[test]
fn doctor_fails_for_a_ledger_that_has_another_hash_at_horizon() {
    let sim = with_lake(254, 2.0, 1, FaultPlan::none());
    let newest = sim.oracle().head().latest;
    sim.lake().stop_at(Some(newest));
    // In itself it is consistent.
    sim.lake().spoil(newest, LakeFault::ChainBreak);
    let other = format!("ledger {newest} has another hash at Horizon");
    let [lake, rpc] = both_examined(&sim);
    assert_eq!(lake.check("lake_ledger")["status"], "ok", "{}", lake.check("lake_ledger"));
    lake.assert("lake_anchor", "failure", &other);
    rpc.assert("rpc_anchor", "failure", &other);
}

#[test]
fn doctor_warns_of_a_lake_whose_objects_may_be_too_large() {
    let directory = tempfile::tempdir().unwrap();
    let lake = format!("file://{}", directory.path().display());
    for (ledgers, is_too_large) in [(128, false), (256, true)] {
        let manifest = serde_json::json!({
            "networkPassphrase": PASSPHRASE, "version": "1.0", "compression": "zstd",
            "ledgersPerBatch": ledgers, "batchesPerPartition": 10,
        });
        std::fs::write(directory.path().join(".config.json"), manifest.to_string()).unwrap();
        let found = examined(NOWHERE, &["--lake-url", &lake]);
        if is_too_large {
            found.assert("lake", "warning", "too large to be read");
        } else {
            assert_eq!(found.check("lake")["status"], "ok", "{}", found.check("lake"));
        }
    }
}
