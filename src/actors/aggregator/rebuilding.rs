//! Windows that the audit found wrong, made anew from the database.

use std::sync::Arc;

use actix::{ActorFutureExt, Context, Handler, ResponseActFuture, WrapFuture};
use tracing::warn;

use super::{Aggregator, LOAD_TIMEOUT, MarketState};
use crate::{
    actors::{
        envelope::Envelope,
        messages::{RebuildMarkets, Rebuilt, ReloadDirectory},
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
            let _handling = handling;
            let (seq, windows) =
                read.inspect_err(|error| warn!(%error, "windows cannot be made anew")).ok()?;
            let markets = this.state.markets.as_mut()?;
            markets.replace(seq, windows);
            let as_of = markets.as_of();
            this.was_rebuilt(ctx);
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
            let _handling = handling;
            let told = read.inspect_err(|error| warn!(%error, "lists cannot be read anew")).ok()?;
            let markets = this.state.markets.as_mut()?;
            let seq = told.seq;
            markets.replace_directory(told);
            let as_of = markets.as_of();
            this.was_rebuilt(ctx);
            Some(Rebuilt { seq, as_of })
        }))
    }
}

impl Aggregator {
    fn was_rebuilt(&mut self, ctx: &mut Context<Self>) {
        // Rows of the file that were made of what is gone are made anew, whatever they were told of.
        self.state.maker = Arc::default();
        self.deps.status.advance();
        self.catch_up(ctx);
    }

    /// Corrupts the data in memory if a test hook asks for it.
    pub(super) fn corrupt_if_armed(&mut self) {
        if let Some(markets) = &mut self.state.markets {
            markets.corrupt_if_armed(self.deps.status.test_hooks());
        }
    }
}
