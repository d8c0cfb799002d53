//! One view of all versions of `LedgerCloseMeta` and `TransactionMeta`.

use stellar_xdr as xdr;

/// Transaction that a ledger applied.
pub(crate) struct Applied<'a> {
    /// Position in the order of application, from 1. Failed transactions count.
    pub(crate) number: usize,
    /// Hash and result.
    pub(crate) pair: &'a xdr::TransactionResultPair,
    /// Entry changes of the transaction.
    pub(crate) meta: &'a xdr::TransactionMeta,
}

/// Header of the ledger, with the hash that the object claims for it.
pub(crate) const fn header(meta: &xdr::LedgerCloseMeta) -> &xdr::LedgerHeaderHistoryEntry {
    match meta {
        xdr::LedgerCloseMeta::V0(meta) => &meta.ledger_header,
        xdr::LedgerCloseMeta::V1(meta) => &meta.ledger_header,
        xdr::LedgerCloseMeta::V2(meta) => &meta.ledger_header,
    }
}

/// Transactions in the order in which the ledger applied them.
pub(crate) fn applied(meta: &xdr::LedgerCloseMeta) -> Vec<Applied<'_>> {
    let numbered = |(index, (pair, meta))| Applied { number: index + 1, pair, meta };
    match meta {
        xdr::LedgerCloseMeta::V0(meta) => meta
            .tx_processing
            .iter()
            .map(|of| (&of.result, &of.tx_apply_processing))
            .enumerate()
            .map(numbered)
            .collect(),
        xdr::LedgerCloseMeta::V1(meta) => meta
            .tx_processing
            .iter()
            .map(|of| (&of.result, &of.tx_apply_processing))
            .enumerate()
            .map(numbered)
            .collect(),
        xdr::LedgerCloseMeta::V2(meta) => meta
            .tx_processing
            .iter()
            .map(|of| (&of.result, &of.tx_apply_processing))
            .enumerate()
            .map(numbered)
            .collect(),
    }
}

/// Envelopes of the transaction set, in the set's own order.
pub(crate) fn envelopes(meta: &xdr::LedgerCloseMeta) -> Vec<&xdr::TransactionEnvelope> {
    match meta {
        xdr::LedgerCloseMeta::V0(meta) => meta.tx_set.txs.iter().collect(),
        xdr::LedgerCloseMeta::V1(meta) => of_generalized(&meta.tx_set),
        xdr::LedgerCloseMeta::V2(meta) => of_generalized(&meta.tx_set),
    }
}

fn of_generalized(set: &xdr::GeneralizedTransactionSet) -> Vec<&xdr::TransactionEnvelope> {
    let xdr::GeneralizedTransactionSet::V1(set) = set;
    set.phases.iter().flat_map(of_phase).collect()
}

fn of_phase(phase: &xdr::TransactionPhase) -> Vec<&xdr::TransactionEnvelope> {
    match phase {
        xdr::TransactionPhase::V0(components) => components
            .iter()
            .flat_map(|xdr::TxSetComponent::TxsetCompTxsMaybeDiscountedFee(component)| component.txs.iter())
            .collect(),
        xdr::TransactionPhase::V1(component) => component
            .execution_stages
            .iter()
            .flat_map(|stage| stage.0.iter())
            .flat_map(|cluster| cluster.0.iter())
            .collect(),
    }
}

/// Entry changes of one operation, or `None` if the metadata has none for it. Version 0 is older than any ledger that
/// is served today, and Horizon refuses it.
pub(crate) fn operation_changes(
    meta: &xdr::TransactionMeta,
    index: usize,
) -> Option<&[xdr::LedgerEntryChange]> {
    let changes = match meta {
        xdr::TransactionMeta::V0(_) => return None,
        xdr::TransactionMeta::V1(meta) => &meta.operations.get(index)?.changes,
        xdr::TransactionMeta::V2(meta) => &meta.operations.get(index)?.changes,
        xdr::TransactionMeta::V3(meta) => &meta.operations.get(index)?.changes,
        xdr::TransactionMeta::V4(meta) => &meta.operations.get(index)?.changes,
    };
    Some(changes.0.as_slice())
}

/// Source account and operations of a transaction, or of the inner one of a fee bump.
pub(crate) fn operations(envelope: &xdr::TransactionEnvelope) -> (xdr::MuxedAccount, &[xdr::Operation]) {
    match envelope {
        xdr::TransactionEnvelope::TxV0(envelope) => (
            xdr::MuxedAccount::Ed25519(envelope.tx.source_account_ed25519.clone()),
            envelope.tx.operations.as_slice(),
        ),
        xdr::TransactionEnvelope::Tx(envelope) => {
            (envelope.tx.source_account.clone(), envelope.tx.operations.as_slice())
        }
        xdr::TransactionEnvelope::TxFeeBump(envelope) => {
            let xdr::FeeBumpTransactionInnerTx::Tx(inner) = &envelope.tx.inner_tx;
            (inner.tx.source_account.clone(), inner.tx.operations.as_slice())
        }
    }
}

/// Results of a transaction's operations, or `None` if the transaction failed.
pub(crate) fn operation_results(result: &xdr::TransactionResult) -> Option<&[xdr::OperationResult]> {
    match &result.result {
        xdr::TransactionResultResult::TxSuccess(results) => Some(results.as_slice()),
        xdr::TransactionResultResult::TxFeeBumpInnerSuccess(inner) => match &inner.result.result {
            xdr::InnerTransactionResultResult::TxSuccess(results) => Some(results.as_slice()),
            _ => None,
        },
        _ => None,
    }
}
