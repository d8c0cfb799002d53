//! Real transactions, and the trades that Horizon and stellar-etl made of them. The files lie beside the project, and
//! a clone may lack them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    io::{ErrorKind, Write as _},
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::DateTime;
use ledger_metadata::{Network, Verification, read_object};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use stellar_xdr::{self as xdr, Limits, ReadXdr, WriteXdr as _};

/// Transactions of a file, or `None` if it is absent.
fn transactions(name: &str) -> Option<Vec<Value>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/lake").join(name);
    let text = std::fs::read_to_string(&path);
    if text.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        let _ = writeln!(std::io::stderr(), "\nNOT TESTED: {} is absent", path.display());
        return None;
    }
    serde_json::from_str(&text.unwrap()).unwrap()
}

fn decoded<T: ReadXdr>(base64: &Value) -> T {
    T::from_xdr(STANDARD.decode(base64.as_str().unwrap()).unwrap(), Limits::none()).unwrap()
}

/// Transaction of a ledger.
struct Transaction {
    ledger: u32,
    closed_at: i64,
    /// Number in the order of application, from 1.
    number: usize,
    envelope: xdr::TransactionEnvelope,
    result: xdr::TransactionResultPair,
    meta: xdr::TransactionMeta,
}

impl Transaction {
    /// Ledger with this transaction. The numbers before it failed.
    fn in_ledger(self) -> Vec<u8> {
        let failed = xdr::TransactionResultPair {
            transaction_hash: self.result.transaction_hash.clone(),
            result: xdr::TransactionResult {
                fee_charged: 100,
                result: xdr::TransactionResultResult::TxFailed(xdr::VecM::default()),
                ext: xdr::TransactionResultExt::V0,
            },
        };
        let mut results = vec![failed; self.number - 1];
        results.push(self.result);
        let envelope = self.envelope.to_xdr(Limits::none()).unwrap();
        let set = xdr::TransactionSet {
            previous_ledger_hash: xdr::Hash([1; 32]),
            txs: vec![self.envelope].try_into().unwrap(),
        };
        let result_set = xdr::TransactionResultSet { results: results.clone().try_into().unwrap() };
        let header = xdr::LedgerHeader {
            previous_ledger_hash: set.previous_ledger_hash.clone(),
            scp_value: xdr::StellarValue {
                // A set of the first protocols has no length before its envelopes.
                tx_set_hash: sha256(&[&set.previous_ledger_hash.0[..], &envelope].concat()),
                close_time: xdr::TimePoint(u64::try_from(self.closed_at).unwrap()),
                ..xdr::StellarValue::default()
            },
            tx_set_result_hash: sha256(&result_set.to_xdr(Limits::none()).unwrap()),
            ledger_seq: self.ledger,
            ..xdr::LedgerHeader::default()
        };
        let mut processing: Vec<_> = results.into_iter().map(without_changes).collect();
        processing.last_mut().unwrap().tx_apply_processing = self.meta;
        let ledger = xdr::LedgerCloseMetaV0 {
            ledger_header: xdr::LedgerHeaderHistoryEntry {
                hash: sha256(&header.to_xdr(Limits::none()).unwrap()),
                header,
                ext: xdr::LedgerHeaderHistoryEntryExt::V0,
            },
            tx_set: set,
            tx_processing: processing.try_into().unwrap(),
            ..xdr::LedgerCloseMetaV0::default()
        };
        xdr::LedgerCloseMeta::V0(ledger).to_xdr(Limits::none()).unwrap()
    }

    /// Trades of the transaction, as they serialise.
    fn trades(self, passphrase: &str) -> Vec<Value> {
        let read = read_object(&self.in_ledger(), Network::of(passphrase), Verification::Full);
        let ledger = read.unwrap().remove(0).unwrap();
        ledger.trades.iter().map(|trade| serde_json::to_value(trade).unwrap()).collect()
    }
}

fn without_changes(result: xdr::TransactionResultPair) -> xdr::TransactionResultMeta {
    xdr::TransactionResultMeta {
        result,
        fee_processing: xdr::LedgerEntryChanges(xdr::VecM::default()),
        tx_apply_processing: xdr::TransactionMeta::V1(xdr::TransactionMetaV1::default()),
    }
}

fn sha256(bytes: &[u8]) -> xdr::Hash {
    xdr::Hash(Sha256::digest(bytes).into())
}

/// Number of the transaction of a trade.
fn transaction_number(trade: &Value) -> usize {
    let (toid, _) = trade["id"].as_str().unwrap().split_once('-').unwrap();
    usize::try_from(toid.parse::<u64>().unwrap() >> 12 & 0xf_ffff).unwrap()
}

/// A row of Horizon's database, as its maker sees it.
fn seen_by_maker(row: &Value, closed_at: i64) -> Value {
    let (maker, taker, n, d) = if row["base_is_seller"] == true {
        ("base", "counter", "price_n", "price_d")
    } else {
        ("counter", "base", "price_d", "price_n")
    };
    let of = |side: &str, field: &str| row[format!("{side}_{field}")].clone();
    json!({
        "id": row["id"],
        "ledger_close_time": closed_at,
        "sold_asset": of(maker, "asset"),
        "sold_amount": of(maker, "amount"),
        "bought_asset": of(taker, "asset"),
        "bought_amount": of(taker, "amount"),
        "price_n": row[n],
        "price_d": row[d],
        "seller": of(maker, "account"),
        "buyer": of(taker, "account"),
        "liquidity_pool_id": null,
    })
}

#[test]
fn the_trades_of_horizons_scenarios_are_those_of_its_database() {
    let Some(rows) = transactions("horizon-scenarios.json") else { return };
    let mut count = 0;
    for row in rows {
        let golden = row["horizon_trades"].as_array().unwrap();
        let closed_at = row["close_time"].as_i64().unwrap();
        let transaction = Transaction {
            ledger: u32::try_from(row["ledger"].as_u64().unwrap()).unwrap(),
            closed_at,
            number: transaction_number(&golden[0]),
            envelope: decoded(&row["envelope_xdr"]),
            result: decoded(&row["result_pair_xdr"]),
            meta: decoded(&row["meta_xdr"]),
        };
        let expected: Vec<_> = golden.iter().map(|row| seen_by_maker(row, closed_at)).collect();
        assert_eq!(transaction.trades("Test SDF Network ; September 2015"), expected, "{}", row["scenario"]);
        count += expected.len();
    }
    assert_eq!(count, 12);
}

/// Effects of a trade on both accounts: the account, what it sold and bought, and the other account.
fn effects(trade: &Value) -> [String; 2] {
    let text = |field: &str| trade[field].as_str().unwrap();
    let amount = |field: &str| {
        let stroops: u64 = text(field).parse().unwrap();
        format!("{}.{:07}", stroops / 10_000_000, stroops % 10_000_000)
    };
    let (sold, bought) = (amount("sold_amount"), amount("bought_amount"));
    let (maker, taker) = (text("seller"), text("buyer"));
    [format!("{maker} {sold} {bought} {taker}"), format!("{taker} {bought} {sold} {maker}")]
}

#[test]
fn the_trades_of_the_public_network_have_the_effects_that_stellar_etl_lists() {
    let Some(rows) = transactions("etl-2020-pubnet.json") else { return };
    let mut count = 0;
    for row in rows {
        let closed_at = DateTime::parse_from_rfc3339(row["closed_at"].as_str().unwrap()).unwrap();
        let transaction = Transaction {
            ledger: u32::try_from(row["ledger"].as_u64().unwrap()).unwrap(),
            closed_at: closed_at.timestamp(),
            number: transaction_number(&row["derived_trades"][0]),
            envelope: decoded(&row["envelope_xdr"]),
            result: xdr::TransactionResultPair {
                transaction_hash: row["transaction_hash"].as_str().unwrap().parse().unwrap(),
                result: decoded(&row["result_xdr"]),
            },
            meta: decoded(&row["meta_xdr"]),
        };
        let trades = transaction.trades("Public Global Stellar Network ; September 2015");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut golden: Vec<String> = Vec::new();
        for effect in row["golden_trade_effects"].as_array().unwrap() {
            let of = &effect["details"];
            let [sold, bought, other] =
                ["sold_amount", "bought_amount", "seller"].map(|name| text(&of[name]));
            golden.push(format!("{} {sold} {bought} {other}", text(&effect["address"])));
        }
        let mut found: Vec<String> = trades.iter().flat_map(effects).collect();
        golden.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, golden);
        let derived = row["derived_trades"].as_array().unwrap();
        assert_eq!(trades.len(), derived.len());
        for (trade, derived) in trades.iter().zip(derived) {
            for field in ["id", "sold_asset", "bought_asset", "price_n", "price_d"] {
                assert_eq!(trade[field], derived[field], "{field}");
            }
        }
        count += golden.len();
    }
    assert_eq!(count, 8);
}
