//! Windows that the audit found wrong, made anew from the database.

use std::sync::Arc;

use actix::{ActorFutureExt, Context, Handler, ResponseActFuture, WrapFuture};
use tracing::warn;

use super::{Aggregator, LOAD_TIMEOUT, MarketState};
use crate::{
    actors::{
        envelope::Envelope,
        messages::{RebuildMarkets, Rebuilt},
    },
    domain::instant::Second,
};

/// By this name a test lets a window go wrong (`TICKER_CHAOS`).
const SKEW: &str = "Skew";

impl Handler<Envelope<RebuildMarkets>> for Aggregator {
    type Result = ResponseActFuture<Self, Option<Rebuilt>>;

    fn handle(&mut self, envelope: Envelope<RebuildMarkets>, _: &mut Context<Self>) -> Self::Result {
        let handling = self.deps.status.begin(&envelope);
        let (database, markets) = (self.deps.database.clone(), envelope.body.markets);
        let now = Second::from(self.deps.clock.now());
        let read = async move {
            database.within(LOAD_TIMEOUT, MarketState::read_markets(&database, markets, now)).await
        };
        Box::pin(read.into_actor(self).map(move |read, this, ctx| {
            let _handling = handling;
            let (seq, windows) =
                read.inspect_err(|error| warn!(%error, "windows cannot be made anew")).ok()?;
            let markets = this.state.markets.as_mut()?;
            markets.replace(seq, windows);
            // Rows of the file that were made of what is gone are made anew, whatever they were told of.
            this.state.maker = Arc::default();
            let as_of = markets.as_of();
            this.state.progress += 1;
            this.catch_up(ctx);
            Some(Rebuilt { seq, as_of })
        }))
    }
}

impl Aggregator {
    /// Lets a window go wrong where a test asked for it.
    pub(super) fn skew_if_provoked(&mut self) {
        if self.deps.status.take_provoked(SKEW) {
            let market = self.state.markets.as_mut().and_then(|markets| markets.skew(None));
            warn!(market, "a window was made wrong, as a test asked for");
        }
    }
}
