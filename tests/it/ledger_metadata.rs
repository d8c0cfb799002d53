//! The command `ledger trades`: what it prints of simulated and of real ledgers.

use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output};

use serde_json::Value;
use stellar_ticker::sim::{
    SimConfig, Simulation,
    lake::{LakeLedger, Shape},
};

use crate::support::{daemon::output_of, fixtures};

const PUBLIC: &str = "public";
/// Network of stellar-core's own tests.
const CORE_TESTS: &str = "(V) (;,,;) (V)";

fn ledger_trades(file: &Path, network: &str) -> Output {
    let mut process = Process::new(env!("CARGO_BIN_EXE_stellar-ticker"));
    process.env_clear().args(["ledger", "trades"]).arg(file).args(["--network", network]);
    output_of(&mut process)
}

fn rows(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A simulated ledger of the public network: its bytes, and the ids of its trades.
fn simulated() -> (Vec<u8>, Vec<String>) {
    let simulation = Simulation::new(&SimConfig::default()).unwrap();
    let sequence = 50_000_001;
    let trades = simulation.trades(sequence..=sequence);
    let ledger = LakeLedger {
        passphrase: stellar_ticker::config::PUBLIC_PASSPHRASE,
        sequence,
        closed_at: simulation.closed_at(sequence),
        previous: [1; 32],
        trades: &trades,
        payments: 0,
        shape: Shape::of_ledger(sequence),
    };
    (ledger.encode().unwrap().xdr, trades.iter().map(|trade| trade.id.to_string()).collect())
}

fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

#[test]
fn prints_one_line_per_trade_in_the_order_of_the_ledger() {
    let (bytes, ids) = simulated();
    let output = ledger_trades(written(&bytes).path(), PUBLIC);
    assert!(output.status.success(), "{output:?}");
    let rows = rows(&output);
    assert_eq!(rows.iter().map(|row| row["id"].as_str().unwrap()).collect::<Vec<_>>(), ids);
    let names = [
        "id",
        "ledger_close_time",
        "sold_asset",
        "sold_amount",
        "bought_asset",
        "bought_amount",
        "price_n",
        "price_d",
        "seller",
        "buyer",
        "liquidity_pool_id",
    ];
    for row in &rows {
        let row = row.as_object().unwrap();
        assert!(names.iter().all(|name| row.contains_key(*name)) && row.len() == names.len(), "{row:?}");
        assert_ne!(row["seller"].is_null(), row["liquidity_pool_id"].is_null());
    }
}

#[test]
fn prints_nothing_of_a_ledger_that_fails_its_hashes() {
    let (mut bytes, _) = simulated();
    let previous = bytes.windows(32).position(|window| window == [1; 32]).unwrap();
    bytes[previous] ^= 1;
    let output = ledger_trades(written(&bytes).path(), PUBLIC);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{output:?}");
}

#[test]
fn names_what_is_wrong_with_a_file() {
    let (bytes, _) = simulated();
    for (file, network, code, text) in [
        (written(&bytes), "testnet", 1, "of another network"),
        (written(b"{}"), PUBLIC, 1, "neither a LedgerCloseMetaBatch"),
        (written(&[0x28, 0xb5, 0x2f, 0xfd, 9]), PUBLIC, 1, "cannot be decompressed"),
    ] {
        let output = ledger_trades(file.path(), network);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert!(error.contains(text), "{error}");
    }
    let absent = ledger_trades(&PathBuf::from("no/such/file"), PUBLIC);
    assert_eq!(absent.status.code(), Some(78));
}

/// Golden rows by Horizon's own extraction code, beside real ledgers.
#[test]
fn the_golden_rows_of_real_ledgers_are_printed() {
    if !fixtures::are_there() {
        return;
    }
    let objects: Vec<_> = fixtures::files("lake")
        .into_iter()
        .filter(|file| file.to_string_lossy().ends_with(".xdr.zst"))
        .collect();
    assert!(objects.len() >= 7, "{objects:?}");
    for object in objects {
        let name = object.to_string_lossy().into_owned();
        let network = if name.contains("pubnet") { PUBLIC } else { CORE_TESTS };
        let output = ledger_trades(&fixtures::path(&object), network);
        assert!(output.status.success(), "{name}: {output:?}");
        let golden = fixtures::read(Path::new(&name.replace(".xdr.zst", ".trades.json"))).unwrap();
        let golden: Vec<Value> = serde_json::from_str(&golden).unwrap();
        let rows = rows(&output);
        assert_eq!(rows.len(), golden.len(), "{name}");
        for (row, golden) in rows.iter().zip(&golden) {
            for (field, value) in row.as_object().unwrap() {
                let golden = match field.as_str() {
                    "liquidity_pool_id" => &golden["pool"],
                    field => &golden[field],
                };
                assert_eq!(value, golden, "{name}: {field} of {row}");
            }
        }
    }
}
