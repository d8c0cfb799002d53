//! Ledgers, with correct hashes, and batches of them.

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use stellar_xdr::{self as xdr, Limits, WriteXdr as _};

use super::{
    LakeError, Shape,
    operation::Operation,
    payment,
    transaction::{Position, Transaction},
};
use crate::model::SimTrade;

/// Protocol that the headers name.
const PROTOCOL: u32 = 23;

/// Ledger to encode.
#[derive(Debug, Clone)]
pub struct LakeLedger<'a> {
    /// Passphrase of the network.
    pub passphrase: &'a str,
    /// Number of the ledger.
    pub sequence: u32,
    /// Close time, in whole seconds.
    pub closed_at: DateTime<Utc>,
    /// Hash of the ledger before it.
    pub previous: [u8; 32],
    /// Trades of the ledger, in order.
    pub trades: &'a [SimTrade],
    /// Number of payments, after all trades.
    pub payments: u32,
    /// Versions of its metadata.
    pub shape: Shape,
}

/// Ledger as `LedgerCloseMeta`, in XDR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedLedger {
    /// XDR of the `LedgerCloseMeta`.
    pub xdr: Vec<u8>,
    /// Hash of the ledger.
    pub hash: [u8; 32],
    /// XDR of the ledger's `LedgerHeaderHistoryEntry`.
    pub header_xdr: Vec<u8>,
}

/// XDR of a `LedgerCloseMetaBatch` of consecutive ledgers, of which the first is `start`.
pub fn batch(start: u32, ledgers: &[EncodedLedger]) -> Vec<u8> {
    let count = u32::try_from(ledgers.len()).unwrap_or(u32::MAX);
    let end = start.saturating_add(count).saturating_sub(1);
    let mut bytes: Vec<u8> = [start, end, count].iter().flat_map(|number| number.to_be_bytes()).collect();
    ledgers.iter().for_each(|ledger| bytes.extend_from_slice(&ledger.xdr));
    bytes
}

impl LakeLedger<'_> {
    /// Encodes the ledger.
    ///
    /// # Errors
    ///
    /// [`LakeError`] for a trade that no ledger can hold.
    pub fn encode(&self) -> Result<EncodedLedger, LakeError> {
        let transactions = self.transactions()?;
        let pairs: Vec<_> = transactions
            .iter()
            .map(|of| xdr::TransactionResultPair {
                transaction_hash: xdr::Hash(of.hash),
                result: of.result.clone(),
            })
            .collect();
        let results = xdr::TransactionResultSet { results: pairs.clone().try_into()? };
        let set = self.transaction_set(&transactions)?;
        let header = self.header(set.hash()?, sha256(&results.to_xdr(Limits::none())?))?;
        let header_xdr = header.to_xdr(Limits::none())?;
        let hash = header.hash.0;
        let metas = transactions.into_iter().map(|transaction| transaction.meta);
        let meta = close_meta(self.shape, header, set, pairs.into_iter().zip(metas))?;
        Ok(EncodedLedger { xdr: meta.to_xdr(Limits::none())?, hash, header_xdr })
    }

    /// Transactions in the order of application: one for each number that trades, fillers between.
    fn transactions(&self) -> Result<Vec<Transaction>, LakeError> {
        let transaction_of = |trade: &SimTrade| u32::try_from(trade.id.toid >> 12 & 0xf_ffff).unwrap_or(0);
        let last = self.trades.last().map_or(0, transaction_of);
        let mut rest = self.trades;
        let mut transactions = Vec::new();
        for number in 1..=last {
            let at =
                Position { passphrase: self.passphrase, ledger: self.sequence, number, shape: self.shape };
            let own = rest.iter().take_while(|trade| transaction_of(trade) == number).count();
            let (own, after) = rest.split_at(own);
            transactions.push(if own.is_empty() { self.filler(at)? } else { self.trading(at, own)? });
            rest = after;
        }
        for number in (last + 1..).take(usize::try_from(self.payments).unwrap_or(usize::MAX)) {
            let at =
                Position { passphrase: self.passphrase, ledger: self.sequence, number, shape: self.shape };
            transactions.push(payment::transaction(at)?);
        }
        Ok(transactions)
    }

    /// Transaction with these trades. Operations without trades are payments.
    fn trading(&self, at: Position<'_>, trades: &[SimTrade]) -> Result<Transaction, LakeError> {
        let operation_of = |trade: &SimTrade| trade.id.toid & 0xfff;
        let last = trades.last().map_or(0, operation_of);
        let mut operations = Vec::new();
        for number in 1..=last {
            let own: Vec<_> = trades.iter().filter(|trade| operation_of(trade) == number).collect();
            let trading = Operation::trading(&own, at.ledger, self.shape.close_meta == 0)?;
            operations.push(trading.unwrap_or_else(|| Operation::payment([9; 32])));
        }
        Transaction::new(at, operations, true)
    }

    /// Transaction that does not trade: a payment, or a failed one that would have traded.
    fn filler(&self, at: Position<'_>) -> Result<Transaction, LakeError> {
        let would_trade = self.trades.first().filter(|_| at.number.is_multiple_of(2));
        let trades: Vec<_> = would_trade.into_iter().collect();
        match Operation::trading(&trades, at.ledger, self.shape.close_meta == 0)? {
            Some(operation) => Transaction::new(at, vec![operation], false),
            None => Transaction::new(at, vec![Operation::payment([9; 32])], true),
        }
    }

    fn header(&self, set: [u8; 32], results: [u8; 32]) -> Result<xdr::LedgerHeaderHistoryEntry, LakeError> {
        let close_time = u64::try_from(self.closed_at.timestamp()).unwrap_or_default();
        let header = xdr::LedgerHeader {
            ledger_version: PROTOCOL,
            previous_ledger_hash: xdr::Hash(self.previous),
            scp_value: xdr::StellarValue {
                tx_set_hash: xdr::Hash(set),
                close_time: xdr::TimePoint(close_time),
                upgrades: xdr::VecM::default(),
                ext: xdr::StellarValueExt::Basic,
            },
            tx_set_result_hash: xdr::Hash(results),
            bucket_list_hash: xdr::Hash([3; 32]),
            ledger_seq: self.sequence,
            total_coins: 1_054_439_020_873_472_865,
            fee_pool: 1,
            inflation_seq: 0,
            id_pool: 1,
            base_fee: 100,
            base_reserve: 5_000_000,
            max_tx_set_size: 1000,
            skip_list: [const { xdr::Hash([0; 32]) }; 4],
            ext: xdr::LedgerHeaderExt::V0,
        };
        let hash = xdr::Hash(sha256(&header.to_xdr(Limits::none())?));
        Ok(xdr::LedgerHeaderHistoryEntry { hash, header, ext: xdr::LedgerHeaderHistoryEntryExt::V0 })
    }

    /// The set has its transactions by hash, which is not the order of application.
    fn transaction_set(&self, transactions: &[Transaction]) -> Result<TransactionSet, LakeError> {
        let mut by_hash: Vec<_> = transactions.iter().map(|of| (of.hash, of.envelope.clone())).collect();
        by_hash.sort_unstable_by_key(|(hash, _)| *hash);
        let envelopes: Vec<_> = by_hash.into_iter().map(|(_, envelope)| envelope).collect();
        let previous_ledger_hash = xdr::Hash(self.previous);
        if self.shape.close_meta == 0 {
            let txs = envelopes.try_into()?;
            return Ok(TransactionSet::First(xdr::TransactionSet { previous_ledger_hash, txs }));
        }
        let parallel = if self.shape.close_meta == 2 { envelopes.len() / 3 } else { 0 };
        let (in_parallel, in_sequence) = envelopes.split_at_checked(parallel).unwrap_or_default();
        let component = xdr::TxSetComponentTxsMaybeDiscountedFee {
            base_fee: Some(100),
            txs: in_sequence.to_vec().try_into()?,
        };
        let component = xdr::TxSetComponent::TxsetCompTxsMaybeDiscountedFee(component);
        let mut phases = vec![xdr::TransactionPhase::V0(vec![component].try_into()?)];
        if self.shape.close_meta == 2 {
            let cluster = xdr::DependentTxCluster(in_parallel.to_vec().try_into()?);
            let stage = xdr::ParallelTxExecutionStage(vec![cluster].try_into()?);
            let component =
                xdr::ParallelTxsComponent { base_fee: None, execution_stages: vec![stage].try_into()? };
            phases.push(xdr::TransactionPhase::V1(component));
        }
        let set = xdr::TransactionSetV1 { previous_ledger_hash, phases: phases.try_into()? };
        Ok(TransactionSet::Generalized(xdr::GeneralizedTransactionSet::V1(set)))
    }
}

/// Transaction set of either kind.
enum TransactionSet {
    First(xdr::TransactionSet),
    Generalized(xdr::GeneralizedTransactionSet),
}

impl TransactionSet {
    fn hash(&self) -> Result<[u8; 32], LakeError> {
        match self {
            Self::First(set) => {
                let mut bytes = set.previous_ledger_hash.0.to_vec();
                for envelope in set.txs.iter() {
                    bytes.extend(envelope.to_xdr(Limits::none())?);
                }
                Ok(sha256(&bytes))
            }
            Self::Generalized(set) => Ok(sha256(&set.to_xdr(Limits::none())?)),
        }
    }
}

fn close_meta(
    shape: Shape,
    ledger_header: xdr::LedgerHeaderHistoryEntry,
    set: TransactionSet,
    transactions: impl Iterator<Item = (xdr::TransactionResultPair, xdr::TransactionMeta)>,
) -> Result<xdr::LedgerCloseMeta, LakeError> {
    let none = || xdr::LedgerEntryChanges(xdr::VecM::default());
    let tx_set = match set {
        TransactionSet::First(tx_set) => {
            let of = |(result, tx_apply_processing)| xdr::TransactionResultMeta {
                result,
                fee_processing: none(),
                tx_apply_processing,
            };
            return Ok(xdr::LedgerCloseMeta::V0(xdr::LedgerCloseMetaV0 {
                ledger_header,
                tx_set,
                tx_processing: transactions.map(of).collect::<Vec<_>>().try_into()?,
                upgrades_processing: xdr::VecM::default(),
                scp_info: xdr::VecM::default(),
            }));
        }
        TransactionSet::Generalized(tx_set) => tx_set,
    };
    if shape.close_meta == 1 {
        let of = |(result, tx_apply_processing)| xdr::TransactionResultMeta {
            result,
            fee_processing: none(),
            tx_apply_processing,
        };
        return Ok(xdr::LedgerCloseMeta::V1(xdr::LedgerCloseMetaV1 {
            ext: xdr::LedgerCloseMetaExt::V0,
            ledger_header,
            tx_set,
            tx_processing: transactions.map(of).collect::<Vec<_>>().try_into()?,
            upgrades_processing: xdr::VecM::default(),
            scp_info: xdr::VecM::default(),
            total_byte_size_of_live_soroban_state: 0,
            evicted_keys: xdr::VecM::default(),
            unused: xdr::VecM::default(),
        }));
    }
    let of = |(result, tx_apply_processing)| xdr::TransactionResultMetaV1 {
        ext: xdr::ExtensionPoint::V0,
        result,
        fee_processing: none(),
        tx_apply_processing,
        post_tx_apply_fee_processing: none(),
    };
    Ok(xdr::LedgerCloseMeta::V2(xdr::LedgerCloseMetaV2 {
        ext: xdr::LedgerCloseMetaExt::V0,
        ledger_header,
        tx_set,
        tx_processing: transactions.map(of).collect::<Vec<_>>().try_into()?,
        upgrades_processing: xdr::VecM::default(),
        scp_info: xdr::VecM::default(),
        total_byte_size_of_live_soroban_state: 0,
        evicted_keys: xdr::VecM::default(),
    }))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
