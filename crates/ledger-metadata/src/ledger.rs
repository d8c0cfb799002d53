//! One ledger: its place in the chain, and its trades.

use stellar_xdr as xdr;
use ticker_domain::{cursor::PagingToken, instant::UnixSeconds};

use crate::{
    claims::{self, Claim},
    error::{LedgerError, LedgerProblem},
    hashes::{Hash, Network},
    key::AccountKey,
    maker_price,
    metadata::{self, Applied},
    trade::{LedgerTrade, Maker},
    verify,
};

/// Largest transaction number and operation number that fit a paging token.
const MAX_TRANSACTION: usize = (1 << 20) - 1;
const MAX_OPERATION: usize = (1 << 12) - 1;

/// Ledger with all of its trades.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Number of the ledger.
    pub sequence: u32,
    /// Hash of its header.
    pub hash: Hash,
    /// Hash of the ledger before it.
    pub previous: Hash,
    /// When it closed.
    pub closed_at: UnixSeconds,
    /// Its trades, in the order of their paging tokens.
    pub trades: Vec<LedgerTrade>,
}

/// Part of a ledger that is verified before its trades are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Header, results, transaction set, and prices against amounts.
    Full,
    /// Nothing but that each result has its envelope. For ledgers that tests have merged.
    Off,
}

impl Ledger {
    /// Verifies a ledger and derives its trades.
    pub(crate) fn of(
        meta: &xdr::LedgerCloseMeta,
        network: Network,
        verification: Verification,
    ) -> Result<Self, LedgerError> {
        let sequence = metadata::header(meta).header.ledger_seq;
        read(meta, network, verification).map_err(|problem| LedgerError { sequence, problem })
    }
}

fn read(
    meta: &xdr::LedgerCloseMeta,
    network: Network,
    verification: Verification,
) -> Result<Ledger, LedgerProblem> {
    if verification == Verification::Full {
        verify::ledger(meta)?;
    }
    let entry = metadata::header(meta);
    let closed_at =
        i64::try_from(entry.header.scp_value.close_time.0).map_err(|_| LedgerProblem::CloseTime)?;
    let place = Place { sequence: entry.header.ledger_seq, closed_at: UnixSeconds(closed_at) };
    let envelopes = verify::envelopes_by_hash(meta, network)?;
    let mut trades = Vec::new();
    for applied in metadata::applied(meta) {
        let hash = Hash::from(&applied.pair.transaction_hash);
        let envelope = envelopes.get(&hash).ok_or(LedgerProblem::UnknownTransaction(hash))?;
        place.add_trades(&applied, envelope, &mut trades)?;
    }
    if verification == Verification::Full {
        let wrong = trades.iter().find(|trade| !trade.price_explains_amounts());
        if let Some(trade) = wrong {
            return Err(LedgerProblem::Price(trade.token));
        }
    }
    Ok(Ledger {
        sequence: place.sequence,
        hash: (&entry.hash).into(),
        previous: (&entry.header.previous_ledger_hash).into(),
        closed_at: place.closed_at,
        trades,
    })
}

/// Ledger number and close time, which all trades of a ledger share.
struct Place {
    sequence: u32,
    closed_at: UnixSeconds,
}

impl Place {
    fn add_trades(
        &self,
        applied: &Applied<'_>,
        envelope: &xdr::TransactionEnvelope,
        trades: &mut Vec<LedgerTrade>,
    ) -> Result<(), LedgerProblem> {
        let Some(results) = metadata::operation_results(&applied.pair.result) else { return Ok(()) };
        let (source, operations) = metadata::operations(envelope);
        if results.len() != operations.len() {
            return Err(LedgerProblem::Operations((&applied.pair.transaction_hash).into()));
        }
        for (index, (operation, result)) in operations.iter().zip(results).enumerate() {
            let atoms = claims::of_operation(result);
            if atoms.is_empty() {
                continue;
            }
            let buyer = AccountKey::of_muxed(operation.source_account.as_ref().unwrap_or(&source));
            let toid = self.toid(applied.number, index + 1)?;
            let changes = metadata::operation_changes(applied.meta, index).unwrap_or_default();
            for (order, claim) in atoms.iter().map(Claim::of).enumerate() {
                let token = i32::try_from(order).ok().and_then(|order| PagingToken::new(toid, order));
                let token = token.ok_or(LedgerProblem::Number)?;
                if !claim.is_swept_offer() {
                    trades.push(self.trade(token, &claim, buyer, changes)?);
                }
            }
        }
        Ok(())
    }

    fn trade(
        &self,
        token: PagingToken,
        claim: &Claim,
        buyer: AccountKey,
        changes: &[xdr::LedgerEntryChange],
    ) -> Result<LedgerTrade, LedgerProblem> {
        let (price_n, price_d) = match (claim.maker, claim.offer_id) {
            (Maker::Account(key), Some(offer)) => {
                maker_price::before(changes, key, offer).ok_or(LedgerProblem::NoOffer(token))?
            }
            _ => (claim.bought.stroops, claim.sold.stroops),
        };
        let (maker, sold, bought) = (claim.maker, claim.sold, claim.bought);
        Ok(LedgerTrade { token, closed_at: self.closed_at, sold, bought, price_n, price_d, maker, buyer })
    }

    /// `ledger << 32 | transaction << 12 | operation`, as Horizon numbers operations.
    fn toid(&self, transaction: usize, operation: usize) -> Result<i64, LedgerProblem> {
        if transaction > MAX_TRANSACTION || operation > MAX_OPERATION {
            return Err(LedgerProblem::Number);
        }
        let number = |value: usize| i64::try_from(value).map_err(|_| LedgerProblem::Number);
        let ledger = PagingToken::before_ledger(self.sequence).toid;
        let within = (number(transaction)? << 12) | number(operation)?;
        ledger.checked_add(within).ok_or(LedgerProblem::Number)
    }
}
