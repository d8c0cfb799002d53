//! Data messages between actors. Each travels in an [`Envelope`](super::envelope::Envelope) through a
//! [`Port`](super::port::Port). Each may be lost or repeated without harm, since the database holds the same facts.

use std::sync::Arc;

use actix::Message;

use super::{
    subjects,
    trace::subject::{Subject, Traced},
};
use crate::{
    db::{market_assets::MarketAssets, trades::CommittedBatch},
    domain::{
        instant::UnixSeconds, market_snapshot::MarketSnapshot, orderbook::OrderBook, windows::MarketId,
    },
    published::Publication,
};

/// A batch of trades was committed. Sent by the writer after the commit.
///
/// `seq` has no gaps, so a receiver that misses a message notices it and reads the database.
#[derive(Clone, Debug)]
pub struct TradesCommitted {
    /// The committed batch.
    pub batch: Arc<CommittedBatch>,
}

impl Message for TradesCommitted {
    /// Answered once the trades are in the windows. The sender waits for that, which is the back-pressure.
    type Result = ();
}

impl Traced for TradesCommitted {
    fn subject(&self) -> Subject {
        subjects::committed(&self.batch)
    }
}

/// Trades of unknown assets were committed.
#[derive(Clone, Copy, Debug)]
pub struct AssetsSeen;

impl Message for AssetsSeen {
    type Result = ();
}

impl Traced for AssetsSeen {
    fn subject(&self) -> Subject {
        Subject::none()
    }
}

/// Assets were looked up at Horizon. Their stellar.toml files may be due.
#[derive(Clone, Copy, Debug)]
pub struct AssetsLookedUp {
    /// Newest batch for which every asset of the busiest markets has been looked up; 0 if that is unknown.
    pub all_upto: i64,
}

impl Message for AssetsLookedUp {
    type Result = ();
}

impl Traced for AssetsLookedUp {
    fn subject(&self) -> Subject {
        Subject::none().with("all_upto", self.all_upto)
    }
}

/// Request for the markets, to rank them. The asker sorts them, so that the aggregator stays free.
#[derive(Clone, Copy, Debug)]
pub struct RankMarkets;

impl Message for RankMarkets {
    /// The markets as they are now; none while the windows load.
    type Result = Option<MarketSnapshot>;
}

impl Traced for RankMarkets {
    fn subject(&self) -> Subject {
        Subject::none()
    }
}

/// The assets of the busiest markets were looked up, files included. The results are in the database.
#[derive(Clone, Copy, Debug)]
pub struct AssetsCommitted {
    /// Last batch whose traded assets are covered.
    pub all_upto: i64,
    /// Last batch with results of the look-ups.
    pub seq: i64,
}

impl Message for AssetsCommitted {
    type Result = ();
}

impl Traced for AssetsCommitted {
    fn subject(&self) -> Subject {
        Subject::none().with("all_upto", self.all_upto).with("seq", self.seq)
    }
}

/// Request to rebuild the windows of some markets from the database.
#[derive(Clone, Debug)]
pub struct RebuildMarkets {
    /// Ids of the markets.
    pub markets: Arc<[MarketId]>,
}

/// Windows or lists were rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// Last batch that they contain.
    pub seq: i64,
    /// Time of the windows at the rebuild. Every later publication contains the rebuilt data.
    pub as_of: UnixSeconds,
}

impl Rebuilt {
    /// Returns true if the publication named by `seq` and `as_of` contains the rebuilt data.
    ///
    /// So does one that is older by more than `back_s` seconds: published time steps back that
    /// far only after a full reload.
    #[must_use]
    pub fn is_in(&self, seq: i64, as_of: UnixSeconds, back_s: i64) -> bool {
        seq >= self.seq && (as_of > self.as_of || as_of.plus(back_s) < self.as_of)
    }
}

impl Message for RebuildMarkets {
    /// None if the read failed, which leaves the windows as they were, or if all windows are being loaded.
    type Result = Option<Rebuilt>;
}

impl Traced for RebuildMarkets {
    fn subject(&self) -> Subject {
        Subject::none().with_members("markets", self.markets.iter().map(|market| i64::from(*market)))
    }
}

/// Request to reload assets, markets and books from the database.
#[derive(Clone, Copy, Debug)]
pub struct ReloadDirectory;

impl Message for ReloadDirectory {
    /// None if the read failed, which leaves the lists as they were, or if everything is being loaded.
    type Result = Option<Rebuilt>;
}

impl Traced for ReloadDirectory {
    fn subject(&self) -> Subject {
        Subject::none()
    }
}

/// Request to read ledgers again from their source, Horizon or the lake, because an audit found a difference. A replica
/// that does not lead ignores it.
#[derive(Clone, Debug)]
pub struct RereadLedgers {
    /// Ledger numbers.
    pub ledgers: Vec<u32>,
}

impl Message for RereadLedgers {
    /// Answered at once; the ledgers are read later.
    type Result = ();
}

impl Traced for RereadLedgers {
    fn subject(&self) -> Subject {
        let ledger = |ledger: Option<&u32>| ledger.copied().map(i64::from);
        Subject::none()
            .with("ledgers", self.ledgers.len())
            .with_some("ledger_from", ledger(self.ledgers.iter().min()))
            .with_some("ledger_to", ledger(self.ledgers.iter().max()))
    }
}

/// Request of an operator to audit all markets now, without rests in between.
#[derive(Clone, Copy, Debug)]
pub struct AuditNow;

impl Message for AuditNow {
    type Result = ();
}

impl Traced for AuditNow {
    fn subject(&self) -> Subject {
        Subject::none()
    }
}

/// Request for a fresh order book: read from Horizon now, or a few seconds ago.
#[derive(Clone, Copy, Debug)]
pub struct FetchBook {
    /// Id of the market.
    pub market: MarketId,
}

impl Message for FetchBook {
    /// None if Horizon or the budget does not give it soon. The reader then gets the stored book.
    type Result = Option<Arc<FetchedBook>>;
}

impl Traced for FetchBook {
    fn subject(&self) -> Subject {
        Subject::none().with_members("markets", [i64::from(self.market)])
    }
}

/// An order book, and when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedBook {
    /// Market of the book, with the pair that Horizon was asked for.
    pub market: MarketAssets,
    /// Levels in the orientation of the stored market.
    pub book: OrderBook,
    /// Time at which Horizon's answer had arrived.
    pub fetched_at: UnixSeconds,
}

/// A new publication exists. HTTP serves it already.
#[derive(Clone, Debug)]
pub struct PublicationReady {
    /// The newest publication.
    pub publication: Arc<Publication>,
}

impl Message for PublicationReady {
    /// Answered at once; the files are written later.
    type Result = ();
}

impl Traced for PublicationReady {
    fn subject(&self) -> Subject {
        subjects::publication(&self.publication)
    }
}

/// Request to reload nginx's configuration. If it is lost, the operator has to repeat it.
#[derive(Clone, Copy, Debug)]
pub struct ReloadNginx;

impl Message for ReloadNginx {
    type Result = ();
}

impl Traced for ReloadNginx {
    fn subject(&self) -> Subject {
        Subject::none()
    }
}
