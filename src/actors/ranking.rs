//! Source of the ranking of markets. It is computed by the actor that asks, from a snapshot of the aggregator.

use std::{sync::Arc, time::Duration};

use tracing::debug;

use super::{messages::RankMarkets, port::Port, receivers::Receivers, trace::context::TraceContext};
use crate::domain::{
    market_snapshot::MarketSnapshot,
    ranking::{self, RankedMarket},
};

/// Time limit for the aggregator's answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Source of the ranking.
#[derive(Clone)]
pub enum Ranking {
    /// Asks the aggregator each time.
    Aggregator(Port<RankMarkets>),
    /// A ranking that was computed once, for a command that runs alone.
    Fixed(Arc<Vec<RankedMarket>>),
}

impl Ranking {
    /// Creates the source for the actor of the name `from`.
    #[must_use]
    pub fn of(receivers: &Receivers, from: &'static str) -> Self {
        Self::Aggregator(receivers.rank_markets.port(from))
    }

    /// Ranks markets once, for a command that runs alone.
    #[must_use]
    pub fn fixed(markets: &MarketSnapshot) -> Self {
        Self::Fixed(Arc::new(rank(markets)))
    }

    /// Returns the markets with trades in the last 7 days, the busiest first; none if the aggregator does not know
    /// them now. `cause` is the pass that asks.
    pub async fn ask(&self, cause: &TraceContext) -> Option<Arc<Vec<RankedMarket>>> {
        match self {
            Self::Fixed(ranked) => Some(Arc::clone(ranked)),
            Self::Aggregator(port) => port
                .call(Some(cause), RankMarkets, TIMEOUT)
                .await
                .inspect_err(|error| debug!(%error, "ranking of markets not available"))
                .ok()
                .flatten()
                .map(|markets| Arc::new(rank(&markets))),
        }
    }
}

fn rank(markets: &MarketSnapshot) -> Vec<RankedMarket> {
    ranking::rank(markets.windows().figures(), markets.directory())
}
