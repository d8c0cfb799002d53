//! When a publication is made, and how.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use metrics::{counter, gauge, histogram};
use tracing::{debug, info, warn};

use super::{Aggregator, MarketState};
use crate::{
    actors::{envelope::TraceContext, messages::PublicationReady},
    domain::instant::UnixSeconds,
    published::Publication,
};

/// Windows that are so far ahead of the clock were moved on by a clock that was wrong, and has been put right since.
const AHEAD_SECONDS_MAX: i64 = 5;
/// How long the JSON writer may take to say that it heard.
const WRITER_TIMEOUT: Duration = Duration::from_secs(1);

impl Aggregator {
    /// After a commit: at once if the last publication is long enough ago; else the tick does it.
    pub(super) fn publish_if_due(&mut self, ctx: &mut Context<Self>) {
        let has_news = self.has_news();
        let is_due = self.state.pace.is_due(Instant::now(), self.deps.publish_interval, has_news);
        if is_due || self.state.draining {
            self.publish(ctx);
        }
    }

    /// The first one waits for what it must, and not for a tick, which may be hours away.
    pub(super) fn publish_first(&mut self, ctx: &mut Context<Self>) {
        if self.state.last.is_none() {
            self.publish(ctx);
        }
    }

    /// Whether there are newer trades than those that were published.
    fn has_news(&self) -> bool {
        let latest = self.state.markets.as_ref().and_then(MarketState::latest);
        let published = self.deps.published.newest().and_then(|newest| newest.latest);
        latest > published
    }

    /// Renders a publication of what is known now, unless it would be the last one again.
    pub(super) fn publish(&mut self, ctx: &mut Context<Self>) {
        if self.state.rendering || !self.state.readiness.may_publish(Instant::now()) {
            return;
        }
        let now = UnixSeconds::from(self.deps.clock.now());
        self.forget_what_is_ahead(now);
        let now = self.not_before_the_last(now);
        let Some(markets) = &mut self.state.markets else { return };
        let is_last = self.state.last == Some((markets.seq(), markets.as_of().max(now)));
        if is_last || !markets.is_settled() {
            return;
        }
        let begun = Instant::now();
        let (seq, latest) = (markets.seq(), markets.latest());
        let snapshot = markets.snapshot_at(now);
        let trace = self.state.cause.take().unwrap_or_else(TraceContext::root);
        self.state.rendering = true;
        self.state.pace.begin(begun, self.has_news());
        let maker = Arc::clone(&self.state.maker);
        let render = crate::blocking::run(move || {
            let mut maker = maker.lock().unwrap_or_else(PoisonError::into_inner);
            Publication::render(seq, latest, snapshot, &mut maker)
        });
        ctx.spawn(render.into_actor(self).map(move |rendered, this, ctx| {
            this.state.rendering = false;
            match rendered {
                Ok(Ok(publication)) => this.published(publication, begun, trace, ctx),
                Ok(Err(error)) => warn!(%error, "a publication could not be compressed"),
                Err(error) => {
                    warn!(%error, "a publication could not be rendered");
                    this.state.maker = Arc::default(); // who knows where it stopped
                }
            }
            // What came while this one was rendered.
            if this.state.draining || this.has_news() {
                this.publish_if_due(ctx);
            }
        }));
    }

    /// Windows never go back in time: trades that belong in them again have left them for good. So where the clock has
    /// gone back they are loaded anew, and the published time goes back as well.
    fn forget_what_is_ahead(&mut self, now: UnixSeconds) {
        let ahead_s = |markets: &MarketState| markets.as_of().0.saturating_sub(now.0);
        let Some(ahead_s) = self.state.markets.as_ref().map(ahead_s) else { return };
        if ahead_s > AHEAD_SECONDS_MAX {
            warn!(ahead_s, "the clock has gone back: loading everything anew");
            self.drop_markets();
            self.state.maker = Arc::default(); // its rows are told apart by what changed since
        }
    }

    /// A clock that was put back by little does not take the published time with it, even where windows began anew.
    fn not_before_the_last(&self, now: UnixSeconds) -> UnixSeconds {
        let last = self.deps.published.newest().map(|newest| newest.as_of);
        let is_near = |last: &UnixSeconds| last.0.saturating_sub(now.0) <= AHEAD_SECONDS_MAX;
        last.filter(is_near).map_or(now, |last| last.max(now))
    }

    fn published(
        &mut self,
        publication: Publication,
        begun: Instant,
        trace: TraceContext,
        ctx: &mut Context<Self>,
    ) {
        let (seq, as_of) = (publication.seq, publication.as_of);
        let publication = Arc::new(publication);
        self.deps.published.publish(Arc::clone(&publication));
        if self.state.last.replace((seq, as_of)).is_none() {
            info!(seq, as_of = %as_of.to_rfc3339(), "the first publication is there");
        }
        debug!(%trace, seq, "published");
        self.deps.status.advance();
        counter!("ticker_publications_total").increment(1);
        histogram!("ticker_publication_seconds").record(begun.elapsed().as_secs_f64());
        let directory = publication.snapshot.directory();
        #[expect(clippy::as_conversions, reason = "gauges are doubles")]
        for (gauge, figure) in [
            (gauge!("ticker_publication_seq"), seq as f64),
            (gauge!("ticker_known_markets"), directory.market_count() as f64),
            (gauge!("ticker_valid_assets"), directory.asset_count() as f64),
        ] {
            gauge.set(figure);
        }
        let writer = self.deps.writer.clone();
        let tell = async move {
            writer.call(&trace.child(), PublicationReady { publication }, WRITER_TIMEOUT).await
        };
        ctx.spawn(tell.into_actor(self).map(|told, _, _| {
            if let Err(error) = told {
                debug!(%error, "the writer did not hear of a publication: the next one follows");
            }
        }));
    }
}
