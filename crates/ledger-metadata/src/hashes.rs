//! Hashes of the protocol: SHA-256 of XDR.

use std::fmt;

use sha2::{Digest as _, Sha256};
use stellar_xdr::{self as xdr, Limits, WriteXdr};

/// Envelope types that a transaction's hash covers (`EnvelopeType` in `Stellar-ledger-entries.x`).
const ENVELOPE_TYPE_TX: u32 = 2;
const ENVELOPE_TYPE_FEE_BUMP: u32 = 5;
/// Key type that precedes the source key of a transaction. An envelope of version 0 leaves it out.
const KEY_TYPE_ED25519: u32 = 0;

/// SHA-256 hash of a ledger, a transaction or a set of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

/// Network that a ledger belongs to: the hash of its passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(Hash);

impl Network {
    /// Network with this passphrase.
    #[must_use]
    pub fn of(passphrase: &str) -> Self {
        Self(Hash::of([passphrase.as_bytes()]))
    }
}

impl Hash {
    /// Hash of the parts, one after another.
    pub(crate) fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }
}

/// Hash of a value's XDR.
pub(crate) fn of_xdr(value: &impl WriteXdr) -> Result<Hash, xdr::Error> {
    Ok(Hash::of([value.to_xdr(Limits::none())?.as_slice()]))
}

/// Hash of a transaction, by which results name it. That of a fee bump is its outer transaction's.
pub(crate) fn of_envelope(network: Network, envelope: &xdr::TransactionEnvelope) -> Result<Hash, xdr::Error> {
    let (kind, before, transaction) = match envelope {
        xdr::TransactionEnvelope::TxV0(envelope) => {
            (ENVELOPE_TYPE_TX, KEY_TYPE_ED25519.to_be_bytes().to_vec(), envelope.tx.to_xdr(Limits::none())?)
        }
        xdr::TransactionEnvelope::Tx(envelope) => {
            (ENVELOPE_TYPE_TX, Vec::new(), envelope.tx.to_xdr(Limits::none())?)
        }
        xdr::TransactionEnvelope::TxFeeBump(envelope) => {
            (ENVELOPE_TYPE_FEE_BUMP, Vec::new(), envelope.tx.to_xdr(Limits::none())?)
        }
    };
    Ok(Hash::of([&network.0.0[..], &kind.to_be_bytes(), &before, &transaction]))
}

/// Hash of a transaction set of the first protocols: the previous ledger's hash and all envelopes.
pub(crate) fn of_first_transaction_set(set: &xdr::TransactionSet) -> Result<Hash, xdr::Error> {
    let mut bytes = set.previous_ledger_hash.0.to_vec();
    for envelope in set.txs.iter() {
        bytes.extend(envelope.to_xdr(Limits::none())?);
    }
    Ok(Hash::of([bytes.as_slice()]))
}

impl From<&xdr::Hash> for Hash {
    fn from(hash: &xdr::Hash) -> Self {
        Self(hash.0)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
