//! Transactions: envelope, result and metadata.

use sha2::{Digest as _, Sha256};
use stellar_xdr::{self as xdr, Limits, WriteXdr as _};

use super::operation::Operation;
use super::{LakeError, Shape, operation};
use crate::num::hash3;

pub(super) const ENVELOPE_TYPE_TX: u32 = 2;
const ENVELOPE_TYPE_FEE_BUMP: u32 = 5;

/// Transaction of a ledger.
pub(super) struct Transaction {
    pub(super) hash: [u8; 32],
    pub(super) envelope: xdr::TransactionEnvelope,
    pub(super) result: xdr::TransactionResult,
    pub(super) meta: xdr::TransactionMeta,
}

/// Where a transaction stands.
#[derive(Clone, Copy)]
pub(super) struct Position<'a> {
    pub(super) passphrase: &'a str,
    pub(super) ledger: u32,
    /// Number of the transaction within the ledger, from 1.
    pub(super) number: u32,
    pub(super) shape: Shape,
}

impl Transaction {
    /// Transaction of these operations. A failed one keeps the claims of its operations in its result.
    pub(super) fn new(
        at: Position<'_>,
        operations: Vec<Operation>,
        succeeds: bool,
    ) -> Result<Self, LakeError> {
        let variety = hash3(0x7478, u64::from(at.ledger), u64::from(at.number));
        let source = operations.first().map_or([0; 32], |operation| operation.source);
        let results: Vec<_> = operations.iter().map(|operation| operation.result.clone()).collect();
        let meta = meta(at.shape, Vec::new(), operations.iter().map(|operation| operation.changes.clone()))?;
        let bodies = operations.into_iter().map(|operation| xdr::Operation {
            // The source of an operation may be left out only where it is that of the transaction.
            source_account: (operation.source != source)
                .then(|| operation::muxed(operation.source, variety.is_multiple_of(3).then_some(variety))),
            body: operation.body,
        });
        let inner = xdr::Transaction {
            source_account: operation::muxed(source, (variety % 4 == 3).then_some(variety)),
            fee: 100,
            seq_num: xdr::SequenceNumber(i64::from(at.ledger) << 20 | i64::from(at.number)),
            cond: xdr::Preconditions::None,
            memo: xdr::Memo::None,
            operations: bodies.collect::<Vec<_>>().try_into()?,
            ext: xdr::TransactionExt::V0,
        };
        let inner_hash = hash(at.passphrase, ENVELOPE_TYPE_TX, &inner.to_xdr(Limits::none())?);
        let signatures = xdr::VecM::default();
        let results = results.try_into()?;
        let (hash, envelope, result) = match variety % 4 {
            0 => {
                let envelope = xdr::TransactionV0Envelope { tx: first_version(inner, source), signatures };
                (inner_hash, xdr::TransactionEnvelope::TxV0(envelope), outcome(succeeds, results))
            }
            2 => {
                let inner = xdr::TransactionV1Envelope { tx: inner, signatures: xdr::VecM::default() };
                let tx = xdr::FeeBumpTransaction {
                    fee_source: operation::muxed([7; 32], None),
                    fee: 200,
                    inner_tx: xdr::FeeBumpTransactionInnerTx::Tx(inner),
                    ext: xdr::FeeBumpTransactionExt::V0,
                };
                let outer = hash(at.passphrase, ENVELOPE_TYPE_FEE_BUMP, &tx.to_xdr(Limits::none())?);
                let envelope = xdr::FeeBumpTransactionEnvelope { tx, signatures };
                let result = fee_bump_outcome(succeeds, xdr::Hash(inner_hash), results);
                (outer, xdr::TransactionEnvelope::TxFeeBump(envelope), result)
            }
            _ => {
                let envelope = xdr::TransactionV1Envelope { tx: inner, signatures };
                (inner_hash, xdr::TransactionEnvelope::Tx(envelope), outcome(succeeds, results))
            }
        };
        let result = xdr::TransactionResult { fee_charged: 100, result, ext: xdr::TransactionResultExt::V0 };
        Ok(Self { hash, envelope, result, meta })
    }
}

/// SHA-256 of the network's id, the type of the envelope and the transaction.
pub(super) fn hash(passphrase: &str, kind: u32, transaction: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(Sha256::digest(passphrase));
    hasher.update(kind.to_be_bytes());
    hasher.update(transaction);
    hasher.finalize().into()
}

/// The same transaction as the first protocols wrote it: its hash is that of the newer form.
fn first_version(transaction: xdr::Transaction, source: [u8; 32]) -> xdr::TransactionV0 {
    xdr::TransactionV0 {
        source_account_ed25519: xdr::Uint256(source),
        fee: transaction.fee,
        seq_num: transaction.seq_num,
        time_bounds: None,
        memo: transaction.memo,
        operations: transaction.operations,
        ext: xdr::TransactionV0Ext::V0,
    }
}

pub(super) fn outcome(
    succeeds: bool,
    results: xdr::VecM<xdr::OperationResult>,
) -> xdr::TransactionResultResult {
    if succeeds {
        xdr::TransactionResultResult::TxSuccess(results)
    } else {
        xdr::TransactionResultResult::TxFailed(results)
    }
}

fn fee_bump_outcome(
    succeeds: bool,
    transaction_hash: xdr::Hash,
    results: xdr::VecM<xdr::OperationResult>,
) -> xdr::TransactionResultResult {
    let inner = |result| xdr::InnerTransactionResultPair {
        transaction_hash,
        result: xdr::InnerTransactionResult {
            fee_charged: 100,
            result,
            ext: xdr::InnerTransactionResultExt::V0,
        },
    };
    if succeeds {
        let result = xdr::InnerTransactionResultResult::TxSuccess(results);
        xdr::TransactionResultResult::TxFeeBumpInnerSuccess(inner(result))
    } else {
        let result = xdr::InnerTransactionResultResult::TxFailed(results);
        xdr::TransactionResultResult::TxFeeBumpInnerFailed(inner(result))
    }
}

/// Metadata of a transaction: the changes before its operations, and those of each operation.
pub(super) fn meta(
    shape: Shape,
    before: Vec<xdr::LedgerEntryChange>,
    changes: impl Iterator<Item = Vec<xdr::LedgerEntryChange>>,
) -> Result<xdr::TransactionMeta, LakeError> {
    let none = || xdr::LedgerEntryChanges(xdr::VecM::default());
    let before = xdr::LedgerEntryChanges(before.try_into()?);
    let mut operations = Vec::new();
    for changes in changes {
        operations.push(xdr::LedgerEntryChanges(changes.try_into()?));
    }
    let ext = xdr::ExtensionPoint::V0;
    if shape.transaction_meta == 4 {
        let with_events = |changes| xdr::OperationMetaV2 {
            ext: xdr::ExtensionPoint::V0,
            changes,
            events: xdr::VecM::default(),
        };
        return Ok(xdr::TransactionMeta::V4(xdr::TransactionMetaV4 {
            ext,
            tx_changes_before: before,
            operations: operations.into_iter().map(with_events).collect::<Vec<_>>().try_into()?,
            tx_changes_after: none(),
            soroban_meta: None,
            events: xdr::VecM::default(),
            diagnostic_events: xdr::VecM::default(),
        }));
    }
    let operations: Vec<_> = operations.into_iter().map(|changes| xdr::OperationMeta { changes }).collect();
    let operations = operations.try_into()?;
    Ok(match shape.transaction_meta {
        1 => xdr::TransactionMeta::V1(xdr::TransactionMetaV1 { tx_changes: before, operations }),
        2 => xdr::TransactionMeta::V2(xdr::TransactionMetaV2 {
            tx_changes_before: before,
            operations,
            tx_changes_after: none(),
        }),
        _ => xdr::TransactionMeta::V3(xdr::TransactionMetaV3 {
            ext,
            tx_changes_before: before,
            operations,
            tx_changes_after: none(),
            soroban_meta: None,
        }),
    })
}
