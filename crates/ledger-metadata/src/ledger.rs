//! One ledger: its place in the chain, and its trades.

use stellar_xdr as xdr;
use ticker_domain::{conversions::SaturatingFrom, cursor::PagingToken, instant::UnixSeconds};

use crate::{
    applied::Applied,
    claims::{self, Claim},
    error::{LedgerContentError, LedgerError},
    hashes::{Hash, Hasher, Network},
    key::AccountKey,
    limits::{TRADES_MAX, TRANSACTIONS_MAX},
    maker_price::{self, OfferChange},
    reader::Reader,
    trade::{LedgerTrade, Maker},
    transaction_set::TransactionSet,
};

/// Largest operation number that fits a paging token.
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
    /// Reads a `LedgerCloseMeta`, verifies it and derives its trades.
    ///
    /// Proven by [`Verification::Full`]: which transactions the ledger applied and with which results, all of them and
    /// no others, and its close time. Not proven: entry changes (only the bucket list covers them), and that the
    /// network made this ledger at all. The chain to a ledger with a known hash proves that.
    ///
    /// The outer error says that the bytes are no ledger. The inner one is a fault of the
    /// ledger, after which the next one can be read.
    pub(crate) fn read(
        reader: &mut Reader<'_>,
        network: Network,
        verification: Verification,
    ) -> Result<Result<Self, LedgerError>, xdr::Error> {
        let version = reader.read::<u32>()?;
        match version {
            0 => {}
            1 | 2 => reader.skip::<xdr::LedgerCloseMetaExt>()?,
            _ => return Err(xdr::Error::Invalid),
        }
        let claimed = Hash::from(&reader.read::<xdr::Hash>()?);
        let (header, header_bytes) = reader.with_bytes(Reader::read::<xdr::LedgerHeader>)?;
        reader.skip::<xdr::LedgerHeaderHistoryEntryExt>()?;
        let set = match version {
            0 => TransactionSet::read_first(reader, network)?,
            _ => TransactionSet::read_generalized(reader, network)?,
        };
        let mut trades = Trades::of(&header, &set);
        let mut results = Hasher::default();
        let (count, count_bytes) = reader.with_bytes(Reader::read::<u32>)?;
        results.add(count_bytes);
        for _ in 0..count {
            let (applied, pair) = Applied::read(reader, version == 2)?;
            results.add(pair);
            trades.add(&applied);
        }
        skip_rest(reader, version)?;
        let proven = [
            (Hash::of([header_bytes]) == claimed, LedgerContentError::HeaderHash),
            (results.finish() == Hash::from(&header.tx_set_result_hash), LedgerContentError::ResultHash),
            (set.hash == Hash::from(&header.scp_value.tx_set_hash), LedgerContentError::TransactionSetHash),
        ];
        let unproven = proven.into_iter().find(|(is_proven, _)| !is_proven).map(|(_, problem)| problem);
        let sequence = header.ledger_seq;
        let judged = match unproven.filter(|_| verification == Verification::Full) {
            Some(problem) => Err(problem),
            None => trades.finish(verification),
        };
        let ledger = judged.map(|(closed_at, trades)| Self {
            sequence,
            hash: claimed,
            previous: (&header.previous_ledger_hash).into(),
            closed_at,
            trades,
        });
        Ok(ledger.map_err(|problem| LedgerError { sequence, problem }))
    }
}

/// Reads what follows the transactions, and forgets it.
fn skip_rest(reader: &mut Reader<'_>, version: u32) -> Result<(), xdr::Error> {
    reader.each(|reader| {
        reader.skip::<xdr::LedgerUpgrade>()?;
        reader.skip_changes()
    })?;
    reader.each(skip_scp_history)?;
    if version > 0 {
        reader.skip::<u64>()?; // size of the state of contracts
        reader.skip_list::<xdr::LedgerKey>()?; // evicted entries
    }
    if version == 1 {
        reader.skip_list::<xdr::LedgerEntry>()?; // unused
    }
    Ok(())
}

/// Reads an `ScpHistoryEntry`, and forgets it.
fn skip_scp_history(reader: &mut Reader<'_>) -> Result<(), xdr::Error> {
    if reader.read::<u32>()? != 0 {
        return Err(xdr::Error::Invalid);
    }
    reader.skip_list::<xdr::ScpQuorumSet>()?;
    reader.skip::<u32>()?; // number of the ledger
    reader.skip_list::<xdr::ScpEnvelope>()
}

/// Trades of a ledger, while its transactions are read.
struct Trades<'a> {
    sequence: u32,
    close_time: u64,
    set: &'a TransactionSet,
    /// Transactions that were read. Failed ones count.
    transactions: usize,
    trades: Result<Vec<LedgerTrade>, LedgerContentError>,
}

impl<'a> Trades<'a> {
    const fn of(header: &xdr::LedgerHeader, set: &'a TransactionSet) -> Self {
        let (sequence, close_time) = (header.ledger_seq, header.scp_value.close_time.0);
        Self { sequence, close_time, set, transactions: 0, trades: Ok(Vec::new()) }
    }

    /// Adds the trades of the next transaction. After a fault nothing is added.
    fn add(&mut self, applied: &Applied) {
        self.transactions += 1;
        if let Ok(trades) = &mut self.trades {
            let position = TransactionPosition {
                sequence: self.sequence,
                closed_at: UnixSeconds(i64::saturating_from(self.close_time)),
                transaction: self.transactions,
            };
            if let Err(problem) = position.add_trades(applied, self.set, trades) {
                self.trades = Err(problem);
            }
        }
    }

    /// Close time and trades, or the first fault.
    fn finish(
        self,
        verification: Verification,
    ) -> Result<(UnixSeconds, Vec<LedgerTrade>), LedgerContentError> {
        let closed_at = i64::try_from(self.close_time).map_err(|_| LedgerContentError::CloseTime)?;
        let trades = self.trades?;
        let wrong = trades.iter().find(|trade| !trade.price_explains_amounts());
        match wrong.filter(|_| verification == Verification::Full) {
            Some(trade) => Err(LedgerContentError::Price(trade.token)),
            None => Ok((UnixSeconds(closed_at), trades)),
        }
    }
}

/// Position of a transaction in the order of application.
struct TransactionPosition {
    sequence: u32,
    closed_at: UnixSeconds,
    /// Number in the order of application, from 1.
    transaction: usize,
}

impl TransactionPosition {
    fn add_trades(
        &self,
        applied: &Applied,
        set: &TransactionSet,
        trades: &mut Vec<LedgerTrade>,
    ) -> Result<(), LedgerContentError> {
        let hash = Hash::from(&applied.hash);
        let accounts =
            set.accounts_by_transaction.get(&hash).ok_or(LedgerContentError::UnknownTransaction(hash))?;
        let Some(results) = applied.results() else { return Ok(()) };
        if results.len() != accounts.count() {
            return Err(LedgerContentError::Operations(hash));
        }
        for (index, result) in results.iter().enumerate() {
            let atoms = claims::of_operation(result);
            if atoms.is_empty() {
                continue;
            }
            let buyer = accounts.of_operation(index);
            let toid = self.toid(index + 1)?;
            let changes = applied.changes_of(index);
            for (order, claim) in atoms.iter().map(Claim::of).enumerate() {
                let token = i32::try_from(order).ok().and_then(|order| PagingToken::new(toid, order));
                let token = token.ok_or(LedgerContentError::Number)?;
                if !claim.is_swept_offer() {
                    if trades.len() == TRADES_MAX {
                        return Err(LedgerContentError::TooManyTrades);
                    }
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
        changes: &[OfferChange],
    ) -> Result<LedgerTrade, LedgerContentError> {
        let (price_n, price_d) = match (claim.maker, claim.offer_id) {
            (Maker::Account(key), Some(offer)) => {
                maker_price::before(changes, key, offer).ok_or(LedgerContentError::NoOffer(token))?
            }
            _ => (claim.bought.stroops, claim.sold.stroops),
        };
        let (maker, sold, bought) = (claim.maker, claim.sold, claim.bought);
        Ok(LedgerTrade { token, closed_at: self.closed_at, sold, bought, price_n, price_d, maker, buyer })
    }

    /// `ledger << 32 | transaction << 12 | operation`, as Horizon numbers operations.
    fn toid(&self, operation: usize) -> Result<i64, LedgerContentError> {
        let transaction = self.transaction;
        if transaction > TRANSACTIONS_MAX || operation > MAX_OPERATION {
            return Err(LedgerContentError::Number);
        }
        let number = |value: usize| i64::try_from(value).map_err(|_| LedgerContentError::Number);
        let ledger = PagingToken::before_ledger(self.sequence).toid;
        let within = (number(transaction)? << 12) | number(operation)?;
        ledger.checked_add(within).ok_or(LedgerContentError::Number)
    }
}
