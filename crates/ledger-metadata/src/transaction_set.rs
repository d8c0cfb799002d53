//! Transaction sets: the accounts that act in each transaction, by the hash of the transaction.

use std::collections::HashMap;

use stellar_xdr::{
    self as xdr,
    Error::{Invalid, LengthExceedsMax},
};

use crate::{
    hashes::{self, Hash, Network},
    key::AccountKey,
    limits::TRANSACTIONS_MAX,
    reader::Reader,
};

/// Accounts that act in a transaction, or in the inner one of a fee bump.
pub(crate) struct ActingAccounts {
    source: AccountKey,
    /// Number of operations.
    count: usize,
    /// Index and source of each operation that has its own. The source of the others is that of the transaction.
    own: Box<[(usize, AccountKey)]>,
}

/// Transactions of a set, whatever their order in it.
pub(crate) struct TransactionSet {
    /// Hash of the set, for the header.
    pub(crate) hash: Hash,
    pub(crate) accounts_by_transaction: HashMap<Hash, ActingAccounts>,
}

impl ActingAccounts {
    /// Number of operations.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Account that acts in an operation.
    pub(crate) fn of_operation(&self, index: usize) -> AccountKey {
        self.own.iter().find(|(own, _)| *own == index).map_or(self.source, |(_, source)| *source)
    }

    fn of(source: AccountKey, operations: &[xdr::Operation]) -> Self {
        let own = operations.iter().enumerate().filter_map(|(index, operation)| {
            operation.source_account.as_ref().map(|source| (index, AccountKey::of_muxed(source)))
        });
        Self { source, count: operations.len(), own: own.collect() }
    }

    fn of_transaction(transaction: &xdr::Transaction) -> Self {
        Self::of(AccountKey::of_muxed(&transaction.source_account), &transaction.operations)
    }
}

impl TransactionSet {
    /// Reads a set of the first protocols. Its hash covers the previous ledger's hash and all envelopes.
    pub(crate) fn read_first(reader: &mut Reader<'_>, network: Network) -> Result<Self, xdr::Error> {
        let mut accounts_by_transaction = HashMap::new();
        let previous = reader.read::<xdr::Hash>()?;
        let count = reader.read::<u32>()?;
        let (_, envelopes) = reader.with_bytes(|reader| {
            (0..count).try_for_each(|_| add_envelope(reader, network, &mut accounts_by_transaction))
        })?;
        Ok(Self { hash: Hash::of([&previous.0[..], envelopes]), accounts_by_transaction })
    }

    /// Reads a generalised set.
    pub(crate) fn read_generalized(reader: &mut Reader<'_>, network: Network) -> Result<Self, xdr::Error> {
        let mut accounts_by_transaction = HashMap::new();
        let (_, bytes) = reader.with_bytes(|reader| {
            if reader.read::<u32>()? != 1 {
                return Err(Invalid);
            }
            reader.skip::<xdr::Hash>()?; // that of the previous ledger
            reader.each(|reader| add_phase(reader, network, &mut accounts_by_transaction))
        })?;
        Ok(Self { hash: Hash::of([bytes]), accounts_by_transaction })
    }
}

fn add_phase(
    reader: &mut Reader<'_>,
    network: Network,
    accounts_by_transaction: &mut HashMap<Hash, ActingAccounts>,
) -> Result<(), xdr::Error> {
    let mut envelopes = |reader: &mut Reader<'_>| {
        reader.each(|reader| add_envelope(reader, network, accounts_by_transaction))
    };
    match reader.read::<u32>()? {
        0 => reader.each(|reader| {
            reader.skip::<xdr::TxSetComponentType>()?;
            reader.skip::<Option<i64>>()?; // base fee
            envelopes(reader)
        }),
        1 => {
            reader.skip::<Option<i64>>()?; // base fee
            // Stages of clusters of transactions.
            reader.each(|reader| reader.each(&mut envelopes))
        }
        _ => Err(Invalid),
    }
}

fn add_envelope(
    reader: &mut Reader<'_>,
    network: Network,
    accounts_by_transaction: &mut HashMap<Hash, ActingAccounts>,
) -> Result<(), xdr::Error> {
    if accounts_by_transaction.len() == TRANSACTIONS_MAX {
        return Err(LengthExceedsMax);
    }
    let (hash, of) = match reader.read::<xdr::EnvelopeType>()? {
        xdr::EnvelopeType::TxV0 => {
            let (tx, bytes) = reader.with_bytes(Reader::read::<xdr::TransactionV0>)?;
            let source = AccountKey(tx.source_account_ed25519.0);
            (hashes::of_first_transaction(network, bytes), ActingAccounts::of(source, &tx.operations))
        }
        xdr::EnvelopeType::Tx => {
            let (tx, bytes) = reader.with_bytes(Reader::read::<xdr::Transaction>)?;
            (hashes::of_transaction(network, bytes), ActingAccounts::of_transaction(&tx))
        }
        xdr::EnvelopeType::TxFeeBump => {
            let (bump, bytes) = reader.with_bytes(Reader::read::<xdr::FeeBumpTransaction>)?;
            let xdr::FeeBumpTransactionInnerTx::Tx(inner) = &bump.inner_tx;
            (hashes::of_fee_bump(network, bytes), ActingAccounts::of_transaction(&inner.tx))
        }
        _ => return Err(Invalid),
    };
    reader.skip::<xdr::VecM<xdr::DecoratedSignature, 20>>()?;
    accounts_by_transaction.insert(hash, of);
    Ok(())
}
