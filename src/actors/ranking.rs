//! Who knows which markets are busiest: the aggregator, which has them in its windows.

use std::{sync::Arc, time::Duration};

use tracing::debug;

use super::{envelope::TraceContext, messages::RankMarkets, port::Port};
use crate::domain::ranking::RankedMarket;

/// How long the aggregator may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where the ranking comes from.
#[derive(Clone)]
pub enum Ranking {
    /// From the aggregator, each time anew.
    Aggregator(Port<RankMarkets>),
    /// Made once, for a command that runs alone.
    Fixed(Arc<Vec<RankedMarket>>),
}

impl Ranking {
    /// The markets that traded in the last 7 days, the busiest first; none while nobody knows.
    pub async fn ask(&self) -> Option<Arc<Vec<RankedMarket>>> {
        match self {
            Self::Fixed(ranked) => Some(Arc::clone(ranked)),
            Self::Aggregator(port) => port
                .call(&TraceContext::root(), RankMarkets, TIMEOUT)
                .await
                .inspect_err(|error| debug!(%error, "the markets are not ranked now"))
                .ok()
                .flatten(),
        }
    }
}
