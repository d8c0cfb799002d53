//! Hashes of a ledger: proof that its transactions, their results and their envelopes belong to its header.

use std::collections::HashMap;

use stellar_xdr as xdr;

use crate::{
    error::LedgerProblem,
    hashes::{self, Hash, Network},
    metadata,
};

/// Verifies everything that a ledger proves about itself.
///
/// Proven: which transactions the ledger applied and with which results, all of them and no others, and its close
/// time. Not proven: entry changes (only the bucket list covers them), and that the network made this ledger at all.
/// The chain to a ledger with a known hash proves that.
pub(crate) fn ledger(meta: &xdr::LedgerCloseMeta) -> Result<(), LedgerProblem> {
    let entry = metadata::header(meta);
    if hashes::of_xdr(&entry.header)? != Hash::from(&entry.hash) {
        return Err(LedgerProblem::HeaderHash);
    }
    let pairs: Vec<_> = metadata::applied(meta).iter().map(|applied| applied.pair.clone()).collect();
    let results = xdr::TransactionResultSet { results: pairs.try_into()? };
    if hashes::of_xdr(&results)? != Hash::from(&entry.header.tx_set_result_hash) {
        return Err(LedgerProblem::ResultHash);
    }
    let set = match meta {
        xdr::LedgerCloseMeta::V0(meta) => hashes::of_first_transaction_set(&meta.tx_set)?,
        xdr::LedgerCloseMeta::V1(meta) => hashes::of_xdr(&meta.tx_set)?,
        xdr::LedgerCloseMeta::V2(meta) => hashes::of_xdr(&meta.tx_set)?,
    };
    if set == Hash::from(&entry.header.scp_value.tx_set_hash) {
        Ok(())
    } else {
        Err(LedgerProblem::TransactionSetHash)
    }
}

/// Envelopes of the ledger by their hash.
pub(crate) fn envelopes_by_hash(
    meta: &xdr::LedgerCloseMeta,
    network: Network,
) -> Result<HashMap<Hash, &xdr::TransactionEnvelope>, LedgerProblem> {
    metadata::envelopes(meta)
        .into_iter()
        .map(|envelope| Ok((hashes::of_envelope(network, envelope)?, envelope)))
        .collect()
}
