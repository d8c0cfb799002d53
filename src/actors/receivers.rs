//! Which actor receives which message.

use super::{
    messages::{
        AssetsCommitted, AssetsLookedUp, AssetsSeen, AuditNow, FetchBook, PublicationReady, RankMarkets,
        RebuildMarkets, ReloadDirectory, ReloadNginx, RereadLedgers, TradesCommitted,
    },
    port::Receiver,
};

/// The receivers of all messages. A sender asks for its port: `receivers.rank_markets.port(Self::NAME)`.
#[derive(Clone)]
pub struct Receivers {
    /// The aggregator.
    pub trades_committed: Receiver<TradesCommitted>,
    /// The aggregator.
    pub assets_committed: Receiver<AssetsCommitted>,
    /// The aggregator.
    pub rank_markets: Receiver<RankMarkets>,
    /// The aggregator.
    pub rebuild_markets: Receiver<RebuildMarkets>,
    /// The aggregator.
    pub reload_directory: Receiver<ReloadDirectory>,
    /// The asset poller.
    pub assets_seen: Receiver<AssetsSeen>,
    /// The TOML checker.
    pub assets_looked_up: Receiver<AssetsLookedUp>,
    /// The backfiller.
    pub reread_ledgers: Receiver<RereadLedgers>,
    /// The JSON writer.
    pub publication_ready: Receiver<PublicationReady>,
    /// The auditor.
    pub audit_now: Receiver<AuditNow>,
    /// The book fetcher.
    pub fetch_book: Receiver<FetchBook>,
    /// nginx. Nobody handles it without `--nginx`.
    pub reload_nginx: Receiver<ReloadNginx>,
}
