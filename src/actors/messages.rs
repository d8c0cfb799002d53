//! The data messages between actors. Each travels in an [`Envelope`](super::envelope::Envelope) through a
//! [`Port`](super::port::Port), and each is harmless when repeated or lost: the database tells the same.

use std::sync::Arc;

use actix::Message;

use crate::{
    db::trades::CommittedBatch,
    domain::{instant::UnixSeconds, ranking::RankedMarket, windows::MarketId},
    published::Publication,
};

/// A batch of trades is in the database. Sent by whoever committed it, after the commit.
///
/// A receiver that misses one finds out by `seq`, which has no holes, and reads the database instead.
#[derive(Clone, Debug)]
pub struct TradesCommitted {
    /// What was committed.
    pub batch: Arc<CommittedBatch>,
}

impl Message for TradesCommitted {
    /// Answered when it is in the windows: waiting for that is the sender's back-pressure.
    type Result = ();
}

/// Trades came of assets that were never seen before.
#[derive(Clone, Copy, Debug)]
pub struct AssetsSeen;

impl Message for AssetsSeen {
    type Result = ();
}

/// Assets have been looked up at Horizon; their stellar.toml files may be due.
#[derive(Clone, Copy, Debug)]
pub struct AssetsLookedUp {
    /// No asset of the busiest markets was left to be looked up when everything up to this batch was committed.
    pub all_upto: i64,
}

impl Message for AssetsLookedUp {
    type Result = ();
}

/// Which markets are busiest?
#[derive(Clone, Copy, Debug)]
pub struct RankMarkets;

impl Message for RankMarkets {
    /// All that traded in the last 7 days, the busiest first; none while the windows are being loaded.
    type Result = Option<Arc<Vec<RankedMarket>>>;
}

/// The assets of the busiest markets have been looked up, files included, and what was found is in the database.
#[derive(Clone, Copy, Debug)]
pub struct AssetsCommitted {
    /// That is so for the trades up to this batch.
    pub all_upto: i64,
    /// What was found is in the batches up to this one.
    pub seq: i64,
}

impl Message for AssetsCommitted {
    type Result = ();
}

/// The windows of these markets shall be made anew from the database.
#[derive(Clone, Debug)]
pub struct RebuildMarkets {
    /// By their numbers.
    pub markets: Arc<[MarketId]>,
}

/// Windows were made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// From everything up to this batch.
    pub seq: i64,
    /// Every publication of a later second has them.
    pub as_of: UnixSeconds,
}

impl Rebuilt {
    /// Whether a publication has them. Time goes back, by `back_s` seconds or more, only where everything is loaded anew.
    #[must_use]
    pub fn is_in(&self, seq: i64, as_of: UnixSeconds, back_s: i64) -> bool {
        seq >= self.seq && (as_of > self.as_of || as_of.plus(back_s) < self.as_of)
    }
}

impl Message for RebuildMarkets {
    /// None where they could not be: the windows are as they were, or are being loaded altogether.
    type Result = Option<Rebuilt>;
}

/// Assets, markets and books shall be read anew from the database.
#[derive(Clone, Copy, Debug)]
pub struct ReloadDirectory;

impl Message for ReloadDirectory {
    /// None where they could not be: they are as they were, or are being loaded with everything else.
    type Result = Option<Rebuilt>;
}

/// These ledgers are in doubt: they shall be read again from Horizon. Harmless where this replica does not lead.
#[derive(Clone, Debug)]
pub struct RereadLedgers {
    /// Their numbers.
    pub ledgers: Vec<u32>,
}

impl Message for RereadLedgers {
    /// Answered at once; they are read later.
    type Result = ();
}

/// An operator wants all markets audited now, without the rests in between.
#[derive(Clone, Copy, Debug)]
pub struct AuditNow;

impl Message for AuditNow {
    type Result = ();
}

/// A new publication is there; HTTP has it already.
#[derive(Clone, Debug)]
pub struct PublicationReady {
    /// The newest publication.
    pub publication: Arc<Publication>,
}

impl Message for PublicationReady {
    /// Answered at once; the file is written later.
    type Result = ();
}

/// nginx shall read its configuration again. A lost one is asked for anew by the operator.
#[derive(Clone, Copy, Debug)]
pub struct ReloadNginx;

impl Message for ReloadNginx {
    type Result = ();
}
