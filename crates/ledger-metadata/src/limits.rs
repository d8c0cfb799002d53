//! Limits on what a ledger may hold. A few kilobytes of zstd decompress to
//! [`MAX_DECOMPRESSED`](crate::MAX_DECOMPRESSED) bytes, and decoded XDR takes up to 45 times its bytes. So lists that
//! are kept have a limit, and all else is read value by value.

/// Most operations of a transaction: `MAX_OPS_PER_TX` of the protocol. XDR sets this limit for envelopes only.
pub(crate) const OPERATIONS_MAX: usize = 100;
/// Largest transaction number that fits a paging token.
pub(crate) const TRANSACTIONS_MAX: usize = (1 << 20) - 1;
/// Most bytes of one value: an envelope, an entry change, an event. The network allows 132 KB for a transaction.
pub(crate) const VALUE_MAX: usize = 1 << 20;
/// Most bytes of the result of an operation. It may take 1,000 offers, of 168 bytes each.
pub(crate) const RESULT_MAX: usize = 512 << 10;
/// Most trades of a ledger. The public network's largest have some 5,000. A kept trade takes about 1 KB.
pub(crate) const TRADES_MAX: usize = 100_000;
/// Most trades of an object, whose ledgers are kept at the same time: 64 ledgers of 5,000, and a half more.
pub(crate) const OBJECT_TRADES_MAX: usize = 480_000;
