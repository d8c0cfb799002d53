//! Numbers by which batches and publications are found in traces.

use super::trace::subject::Subject;
use crate::{
    db::trades::{CommittedBatch, IncomingTrade, TradeBatch},
    domain::{cursor::PagingToken, trade_stats::WindowTrade, windows::MarketId},
    published::Publication,
};

/// Subject of a batch before it is committed.
pub fn incoming(batch: &TradeBatch) -> Subject {
    let token = |trade: &IncomingTrade| trade.trade.token;
    let closed_at = batch.trades.iter().map(|trade| trade.trade.closed_at.0).max();
    let subject = Subject::none()
        .with("trades", batch.trades.len())
        .with("quarantined", batch.quarantine.len())
        .with_some("closed_at", closed_at);
    with_trades(subject, batch.trades.iter().map(token))
}

/// Subject of a committed batch: its `seq`, and the new trades with their markets.
pub fn committed(batch: &CommittedBatch) -> Subject {
    let closed_at = batch.trades.iter().map(|(_, trade)| trade.closed_at.0).max();
    let subject = Subject::none()
        .with("seq", batch.seq)
        .with("trades", batch.trades.len())
        .with_some("closed_at", closed_at);
    with_trades(subject, batch.trades.iter().map(|(_, trade)| trade.token))
        .with_members("markets", batch.trades.iter().map(|(market, _)| i64::from(*market)))
}

/// Subject of a read of what other replicas committed: its last batch, and the trades with their markets.
pub fn read(seq: i64, trades: &[(MarketId, WindowTrade)]) -> Subject {
    let closed_at = trades.iter().map(|(_, trade)| trade.closed_at.0).max();
    let subject =
        Subject::none().with("seq", seq).with("trades", trades.len()).with_some("closed_at", closed_at);
    with_trades(subject, trades.iter().map(|(_, trade)| trade.token))
        .with_members("markets", trades.iter().map(|(market, _)| i64::from(*market)))
}

/// Subject of a publication: its name.
pub fn publication(publication: &Publication) -> Subject {
    Subject::none().with("seq", publication.seq).with("as_of", publication.as_of.0)
}

/// Adds the range of trades and ledgers. A trade is named by the operation's number (toid) and an order in it; only the
/// first part is kept.
fn with_trades(subject: Subject, tokens: impl Iterator<Item = PagingToken> + Clone) -> Subject {
    let (Some(first), Some(last)) = (tokens.clone().min(), tokens.max()) else { return subject };
    subject
        .with("ledger_from", first.ledger())
        .with("ledger_to", last.ledger())
        .with("trade_from", first.toid)
        .with("trade_to", last.toid)
}
