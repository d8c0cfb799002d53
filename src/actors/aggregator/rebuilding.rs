//! Rebuilding of windows and lists that the audit found to be wrong.

use std::sync::Arc;

use actix::{ActorFutureExt, Context, Handler, ResponseActFuture, WrapFuture};
use tracing::warn;

use super::{Aggregator, LOAD_TIMEOUT, MarketState};
use crate::{
    actors::{
        envelope::Envelope,
        messages::{RebuildMarkets, Rebuilt, ReloadDirectory},
        trace::context::TraceContext,
    },
    domain::instant::UnixSeconds,
};

impl Handler<Envelope<RebuildMarkets>> for Aggregator {
    type Result = ResponseActFuture<Self, Option<Rebuilt>>;

    fn handle(&mut self, envelope: Envelope<RebuildMarkets>, _: &mut Context<Self>) -> Self::Result {
        let handling = self.deps.status.begin(&envelope);
        let (database, markets) = (self.deps.database.clone(), envelope.body.markets);
        let now = UnixSeconds::from(self.deps.clock.now());
        let read = async move {
            database.within(LOAD_TIMEOUT, MarketState::read_markets(&database, markets, now)).await
        };
        Box::pin(read.into_actor(self).map(move |read, this, ctx| {
            this.state.causes.add(handling.trace());
            let (seq, windows) =
                read.inspect_err(|error| warn!(%error, "windows could not be rebuilt")).ok()?;
            // The windows may have been dropped meanwhile. Then the reload replaces this.
            let markets = this.state.markets.as_mut()?;
            markets.replace(seq, windows);
            let as_of = markets.as_of();
            this.was_rebuilt(&handling.trace(), ctx);
            Some(Rebuilt { seq, as_of })
        }))
    }
}

impl Handler<Envelope<ReloadDirectory>> for Aggregator {
    type Result = ResponseActFuture<Self, Option<Rebuilt>>;

    fn handle(&mut self, envelope: Envelope<ReloadDirectory>, _: &mut Context<Self>) -> Self::Result {
        let handling = self.deps.status.begin(&envelope);
        let database = self.deps.database.clone();
        let read = async move { database.within(LOAD_TIMEOUT, database.load_lists()).await };
        Box::pin(read.into_actor(self).map(move |read, this, ctx| {
            this.state.causes.add(handling.trace());
            let rows = read
                .inspect_err(|error| warn!(%error, "assets, markets and books could not be reloaded"))
                .ok()?;
            let markets = this.state.markets.as_mut()?;
            let seq = rows.seq;
            markets.replace_directory(rows);
            let as_of = markets.as_of();
            this.was_rebuilt(&handling.trace(), ctx);
            Some(Rebuilt { seq, as_of })
        }))
    }
}

impl Aggregator {
    fn was_rebuilt(&mut self, cause: &TraceContext, ctx: &mut Context<Self>) {
        // The maker reuses rows unless their market changed. Rebuilt windows change without that.
        self.state.maker = Arc::default();
        self.deps.status.advance();
        self.catch_up(Some(cause), ctx);
    }

    /// Corrupts the data in memory if a test hook asks for it.
    pub(super) fn corrupt_if_armed(&mut self) {
        if let Some(markets) = &mut self.state.markets {
            markets.corrupt_if_armed(self.deps.status.test_hooks());
        }
    }
}
