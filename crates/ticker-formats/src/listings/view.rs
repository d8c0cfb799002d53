//! View of one publication, from which all documents of the API are rendered.

use std::sync::{Arc, OnceLock};

use ticker_domain::{
    asset::Asset,
    coverage::{self, ClosedLedger, LedgerRange},
    identity::ContractId,
    instant::UnixSeconds,
    market_snapshot::MarketSnapshot,
    span::Span,
    symbols::Symbols,
    trading_accounts::MarketAccounts,
    usd::UsdPrices,
    windows::MarketId,
};

use super::facts::HourlyFacts;

/// Spelling of assets in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IdStyle {
    /// `XLM` and `CODE-ISSUER`.
    Classic,
    /// `C…`, the Soroban contract.
    Contract,
}

/// Snapshot with everything that documents derive from it. A pure function of its parts.
#[derive(Debug)]
pub struct ListingView {
    seq: i64,
    snapshot: Arc<MarketSnapshot>,
    passphrase: Arc<str>,
    database: Arc<str>,
    usd: UsdPrices,
    symbols: Symbols,
    anchors: Arc<[Asset]>,
    facts: Arc<HourlyFacts>,
    by_name: OnceLock<Vec<MarketId>>,
}

impl ListingView {
    /// View of a publication. `anchors` count as one dollar, and `facts` are the stored ones.
    /// Computes all prices in dollars, and the contracts of new assets. That takes milliseconds: do
    /// not call it on a thread that readers wait for.
    #[must_use]
    pub fn new(
        seq: i64,
        snapshot: Arc<MarketSnapshot>,
        passphrase: Arc<str>,
        anchors: &[Asset],
        facts: &Arc<HourlyFacts>,
    ) -> Self {
        snapshot.directory().names().prepare_contracts(&passphrase);
        let usd = UsdPrices::of(&snapshot, anchors);
        let symbols = Symbols::with_xlm(&snapshot, anchors, usd.xlm(), &facts.choices);
        Self {
            seq,
            snapshot,
            passphrase,
            database: Arc::default(),
            usd,
            symbols,
            anchors: anchors.into(),
            facts: Arc::clone(facts),
            by_name: OnceLock::new(),
        }
    }

    /// The same view, of the database with this identity.
    #[must_use]
    pub fn of_database(self, database: Arc<str>) -> Self {
        Self { database, ..self }
    }

    /// Identity of the database, to which the numbers of markets and assets belong.
    #[must_use]
    pub(crate) fn database(&self) -> &str {
        &self.database
    }

    /// Number of the last batch in it.
    #[must_use]
    pub const fn seq(&self) -> i64 {
        self.seq
    }

    /// Time of all figures.
    #[must_use]
    pub fn as_of(&self) -> UnixSeconds {
        self.snapshot.as_of()
    }

    /// The snapshot.
    #[must_use]
    pub fn snapshot(&self) -> &MarketSnapshot {
        &self.snapshot
    }

    /// Last ledger that is complete, and its close time.
    pub(crate) fn latest_ledger(&self) -> Option<ClosedLedger> {
        self.coverage().last().map(|range| (range.to, range.to_time))
    }

    /// Accounts behind a market, and the end of the 24 hours in which they traded.
    pub(super) fn accounts(&self, market: MarketId) -> Option<(UnixSeconds, MarketAccounts)> {
        self.facts.accounts.of_market(market, self.as_of())
    }

    /// Passphrase of the network.
    pub(crate) fn passphrase(&self) -> &str {
        &self.passphrase
    }

    pub(crate) fn coverage(&self) -> &[LedgerRange] {
        self.snapshot.coverage()
    }

    /// Returns true if the trades of a span are known: its ledgers are held, up to the newest one of the last minutes.
    pub(crate) fn is_whole(&self, span: Span) -> bool {
        coverage::is_whole(self.coverage(), span.edge(self.as_of()), self.as_of())
    }

    /// Assets that count as one dollar.
    #[must_use]
    pub fn anchors(&self) -> &[Asset] {
        &self.anchors
    }

    /// Prices in dollars.
    #[must_use]
    pub const fn usd(&self) -> &UsdPrices {
        &self.usd
    }

    /// Markets with a trade in the last 7 days, sorted by name: empty until [`Self::markets`] has sorted them.
    pub(super) const fn by_name(&self) -> &OnceLock<Vec<MarketId>> {
        &self.by_name
    }

    pub(crate) const fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    pub(super) fn contract(&self, asset: &Asset) -> ContractId {
        ContractId::of(asset, &self.passphrase)
    }
}
