//! Payments, which give ledgers the size and the compressibility of real ones.

use stellar_xdr as xdr;

use super::{
    LakeError, operation,
    transaction::{ENVELOPE_TYPE_TX, Position, Transaction, hash, meta, outcome},
};
use crate::{num::hash3, protocol::account_id};

/// Number of accounts that pay.
const ACCOUNTS: u64 = 20_000;
/// Number of assets that are paid.
const ASSETS: u64 = 500;

/// Signed payment of an issued asset, with the entries that it changed.
pub(super) fn transaction(at: Position<'_>) -> Result<Transaction, LakeError> {
    let random = |purpose: u64| hash3(purpose, u64::from(at.ledger), u64::from(at.number));
    let (source, destination) = (account(random(1) % ACCOUNTS), account(random(2) % ACCOUNTS));
    let (asset, amount) = (asset(random(3) % ASSETS), positive(random(4)));
    let body = xdr::OperationBody::Payment(xdr::PaymentOp {
        destination: operation::muxed(destination, None),
        asset: xdr::Asset::CreditAlphanum4(asset.clone()),
        amount,
    });
    let sequence = i64::from(at.ledger) << 20 | i64::from(at.number);
    let tx = xdr::Transaction {
        source_account: operation::muxed(source, None),
        fee: 100,
        seq_num: xdr::SequenceNumber(sequence),
        cond: xdr::Preconditions::None,
        memo: xdr::Memo::Id(random(5)),
        operations: vec![xdr::Operation { source_account: None, body }].try_into()?,
        ext: xdr::TransactionExt::V0,
    };
    let id = hash(at.passphrase, ENVELOPE_TYPE_TX, &xdr::WriteXdr::to_xdr(&tx, xdr::Limits::none())?);
    let envelope = xdr::TransactionV1Envelope { tx, signatures: vec![signature(&random)?].try_into()? };
    let paid = xdr::OperationResultTr::Payment(xdr::PaymentResult::Success);
    let paid = vec![xdr::OperationResult::OpInner(paid)].try_into()?;
    let changes = [
        trust_line_changes(at.ledger, source, &asset, random(6), -amount),
        trust_line_changes(at.ledger, destination, &asset, random(7), amount),
    ];
    let of_source = account_changes(at.ledger, source, random(8), sequence)?;
    Ok(Transaction {
        hash: id,
        envelope: xdr::TransactionEnvelope::Tx(envelope),
        result: xdr::TransactionResult {
            fee_charged: 100,
            result: outcome(true, paid),
            ext: xdr::TransactionResultExt::V0,
        },
        meta: meta(at.shape, of_source, std::iter::once(changes.concat()))?,
    })
}

fn signature(random: &impl Fn(u64) -> u64) -> Result<xdr::DecoratedSignature, LakeError> {
    let bytes: Vec<u8> = (20..28).flat_map(|purpose| random(purpose).to_be_bytes()).collect();
    let hint = xdr::SignatureHint([1, 2, 3, 4]);
    Ok(xdr::DecoratedSignature { hint, signature: xdr::Signature(bytes.try_into()?) })
}

/// Changes of the paying account: its sequence number grows.
fn account_changes(
    ledger: u32,
    key: [u8; 32],
    random: u64,
    sequence: i64,
) -> Result<Vec<xdr::LedgerEntryChange>, LakeError> {
    let signers: Vec<_> = (0..random % 3)
        .map(|number| xdr::Signer {
            key: xdr::SignerKey::Ed25519(xdr::Uint256(account(number ^ random))),
            weight: 1,
        })
        .collect();
    let entry = |sequence| -> Result<xdr::LedgerEntryData, LakeError> {
        Ok(xdr::LedgerEntryData::Account(xdr::AccountEntry {
            account_id: account_id(key),
            balance: positive(random),
            seq_num: xdr::SequenceNumber(sequence),
            num_sub_entries: 5,
            inflation_dest: None,
            flags: 0,
            home_domain: xdr::String32::default(),
            thresholds: xdr::Thresholds([1, 0, 0, 0]),
            signers: signers.clone().try_into()?,
            ext: xdr::AccountEntryExt::V0,
        }))
    };
    Ok(changed(ledger, entry(sequence - 1)?, entry(sequence)?))
}

fn trust_line_changes(
    ledger: u32,
    key: [u8; 32],
    asset: &xdr::AlphaNum4,
    random: u64,
    amount: i64,
) -> Vec<xdr::LedgerEntryChange> {
    let entry = |balance| {
        xdr::LedgerEntryData::Trustline(xdr::TrustLineEntry {
            account_id: account_id(key),
            asset: xdr::TrustLineAsset::CreditAlphanum4(asset.clone()),
            balance,
            limit: i64::MAX,
            flags: 1,
            ext: xdr::TrustLineEntryExt::V0,
        })
    };
    let balance = positive(random);
    changed(ledger, entry(balance), entry(balance.saturating_add(amount)))
}

fn changed(
    ledger: u32,
    before: xdr::LedgerEntryData,
    after: xdr::LedgerEntryData,
) -> Vec<xdr::LedgerEntryChange> {
    let entry = |last_modified_ledger_seq, data| xdr::LedgerEntry {
        last_modified_ledger_seq,
        data,
        ext: xdr::LedgerEntryExt::V0,
    };
    vec![
        xdr::LedgerEntryChange::State(entry(ledger.saturating_sub(77), before)),
        xdr::LedgerEntryChange::Updated(entry(ledger, after)),
    ]
}

fn account(number: u64) -> [u8; 32] {
    let mut key = [0; 32];
    for (word, place) in key.chunks_exact_mut(8).zip(0..) {
        word.copy_from_slice(&hash3(0x7061_7965, number, place).to_be_bytes());
    }
    key
}

fn asset(number: u64) -> xdr::AlphaNum4 {
    let letter = |shift: u32| b'A' + u8::try_from(number >> (4 * shift) & 0xf).unwrap_or_default();
    let asset_code = xdr::AssetCode4([letter(0), letter(1), letter(2), b'P']);
    xdr::AlphaNum4 { asset_code, issuer: account_id(account(1_000_000 + number)) }
}

/// Positive amount of at most 2^40 stroops.
fn positive(random: u64) -> i64 {
    i64::try_from(random >> 24).unwrap_or(1).max(1)
}
