//! Objects that are made to fill the memory. Each is small when compressed.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

use chrono::DateTime;
use horizon_sim::lake::{LakeLedger, Shape};
use ledger_metadata::{Ledger, LedgerError, Network, ObjectError, Verification, read_object};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use stellar_xdr::{self as xdr, Limits, ReadXdr as _, WriteXdr as _};

const PASSPHRASE: &str = "Simulated Network ; 2026";
/// Results and operations far beyond the protocol's 100. Decoded, they would take 190 MB.
const MANY: u32 = 1 << 20;

/// Ledger of one payment, changed by a function.
fn changed(
    transaction_meta: u32,
    change: impl FnOnce(&mut xdr::TransactionResultResult, &mut xdr::TransactionMeta),
) -> Vec<u8> {
    let ledger = LakeLedger {
        passphrase: PASSPHRASE,
        sequence: 50_000_000,
        closed_at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
        previous: [0; 32],
        trades: &[],
        payments: 1,
        shape: Shape { close_meta: 1, transaction_meta },
    };
    let mut meta = xdr::LedgerCloseMeta::from_xdr(ledger.encode().unwrap().xdr, Limits::none()).unwrap();
    let xdr::LedgerCloseMeta::V1(ledger) = &mut meta else { panic!("not the version that was asked for") };
    let mut transactions = ledger.tx_processing.to_vec();
    let first = &mut transactions[0];
    change(&mut first.result.result.result, &mut first.tx_apply_processing);
    ledger.tx_processing = transactions.try_into().unwrap();
    meta.to_xdr(Limits::none()).unwrap()
}

/// Replaces a list of three equal items by one of [`MANY`].
fn with_many(bytes: &[u8], item: &[u8]) -> Vec<u8> {
    let list = |count: u32| {
        let items = item.repeat(usize::try_from(count).unwrap());
        [&count.to_be_bytes()[..], &items].concat()
    };
    let three = list(3);
    let at = bytes.windows(three.len()).position(|window| window == three).unwrap();
    [&bytes[..at], &list(MANY), &bytes[at + three.len()..]].concat()
}

fn read(bytes: &[u8]) -> Result<Vec<Result<Ledger, LedgerError>>, ObjectError> {
    let object = compress_to_vec(bytes, CompressionLevel::Fastest);
    read_object(&object, Network::of(PASSPHRASE), Verification::Full)
}

fn assert_excessive(bytes: &[u8]) {
    let error = read(bytes).unwrap_err();
    assert!(matches!(error, ObjectError::Excessive(_)), "{error}");
    assert!(error.to_string().starts_with("it holds more than a ledger can: one of its "), "{error}");
}

#[test]
fn more_results_than_a_transaction_may_have_operations_are_refused() {
    let results = || vec![xdr::OperationResult::OpBadAuth; 3].try_into().unwrap();
    let bad = xdr::OperationResult::OpBadAuth.to_xdr(Limits::none()).unwrap();
    for outcome in [xdr::TransactionResultResult::TxSuccess, xdr::TransactionResultResult::TxFailed] {
        assert_excessive(&with_many(&changed(1, |result, _| *result = outcome(results())), &bad));
    }
    for outcome in [xdr::InnerTransactionResultResult::TxSuccess, xdr::InnerTransactionResultResult::TxFailed]
    {
        let inner = xdr::InnerTransactionResultPair {
            transaction_hash: xdr::Hash([5; 32]),
            result: xdr::InnerTransactionResult {
                fee_charged: 1,
                result: outcome(results()),
                ext: xdr::InnerTransactionResultExt::V0,
            },
        };
        let bumped = xdr::TransactionResultResult::TxFeeBumpInnerSuccess(inner);
        assert_excessive(&with_many(&changed(1, |result, _| *result = bumped), &bad));
    }
}

#[test]
fn a_hundred_results_are_read() {
    let results = vec![xdr::OperationResult::OpBadAuth; 100].try_into().unwrap();
    let bytes = changed(1, |result, _| *result = xdr::TransactionResultResult::TxFailed(results));
    // The ledger is not believed, since its header names other results. The object is read.
    assert!(read(&bytes).unwrap()[0].is_err());
}

#[test]
fn more_operations_in_the_metadata_than_a_transaction_may_have_are_refused() {
    let none = || xdr::LedgerEntryChanges(xdr::VecM::default());
    let operations = vec![xdr::OperationMeta { changes: none() }; 3].try_into().unwrap();
    let meta = xdr::TransactionMetaV1 { tx_changes: none(), operations };
    let bytes = changed(1, |_, found| *found = xdr::TransactionMeta::V1(meta));
    // Two empty lists stand together, so the first three zeros are not the operations.
    let three = [&0_u32.to_be_bytes()[..], &3_u32.to_be_bytes(), &[0; 12]].concat();
    let at = bytes.windows(three.len()).rposition(|window| window == three).unwrap() + 4;
    let many = [&MANY.to_be_bytes()[..], &vec![0; 4 * usize::try_from(MANY).unwrap()]].concat();
    assert_excessive(&[&bytes[..at], &many, &bytes[at + 16..]].concat());
}

/// Metadata of a contract's call that returned a value and emitted events.
fn contract_call(return_value: xdr::ScVal, events: Vec<xdr::ContractEvent>) -> Vec<u8> {
    let ext = xdr::SorobanTransactionMetaExt::V0;
    let diagnostic_events = xdr::VecM::default();
    let events = events.try_into().unwrap();
    let soroban = xdr::SorobanTransactionMeta { ext, events, return_value, diagnostic_events };
    changed(3, |_, meta| {
        let xdr::TransactionMeta::V3(meta) = meta else { panic!("not the version that was asked for") };
        meta.soroban_meta = Some(soroban);
    })
}

#[test]
fn a_huge_value_is_refused_and_many_small_ones_are_only_passed() {
    let values = |count: usize| {
        let values = vec![xdr::ScVal::Void; count].try_into().unwrap();
        xdr::ScVal::Vec(Some(xdr::ScVec(values)))
    };
    assert_excessive(&contract_call(values(300_000), Vec::new()));
    let body = xdr::ContractEventV0 { topics: xdr::VecM::default(), data: values(1_000) };
    let event = xdr::ContractEvent {
        ext: xdr::ExtensionPoint::V0,
        contract_id: None,
        type_: xdr::ContractEventType::Contract,
        body: xdr::ContractEventBody::V0(body),
    };
    assert!(read(&contract_call(xdr::ScVal::Void, vec![event; 400])).unwrap()[0].is_ok());
}
