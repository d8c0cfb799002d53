//! Hashes of the protocol: SHA-256 of XDR, over the bytes as they stand in the object.

use std::fmt;

use sha2::{Digest as _, Sha256};
use stellar_xdr as xdr;

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
        let mut hasher = Hasher::default();
        parts.into_iter().for_each(|part| hasher.add(part));
        hasher.finish()
    }
}

/// Hash of parts that come one after another.
#[derive(Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn add(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    pub(crate) fn finish(self) -> Hash {
        Hash(self.0.finalize().into())
    }
}

/// Hash of the XDR of a transaction, by which results name it.
pub(crate) fn of_transaction(network: Network, transaction: &[u8]) -> Hash {
    Hash::of([&network.0.0[..], &ENVELOPE_TYPE_TX.to_be_bytes(), transaction])
}

/// The same for a V0 transaction, which is hashed in its V1 form.
pub(crate) fn of_first_transaction(network: Network, transaction: &[u8]) -> Hash {
    let kinds = [ENVELOPE_TYPE_TX.to_be_bytes(), KEY_TYPE_ED25519.to_be_bytes()].concat();
    Hash::of([&network.0.0[..], &kinds, transaction])
}

/// The same for a fee bump: results name its outer transaction.
pub(crate) fn of_fee_bump(network: Network, transaction: &[u8]) -> Hash {
    Hash::of([&network.0.0[..], &ENVELOPE_TYPE_FEE_BUMP.to_be_bytes(), transaction])
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
