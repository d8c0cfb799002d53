//! Making of publications: when, and from what.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use metrics::{counter, gauge, histogram};
use tracing::{debug, info, warn};

use super::{Aggregator, MarketState};
use crate::{
    actors::{messages::PublicationReady, subjects, test_hooks, trace::step::Step},
    domain::{conversions::Integer, instant::UnixSeconds},
    published::Publication,
    steps,
};

/// Seconds by which windows may be ahead of the clock. If it is more, a wrong clock moved them on and was corrected.
const AHEAD_SECONDS_MAX: i64 = 5;
/// Time limit for the JSON writer to acknowledge a publication.
const WRITER_TIMEOUT: Duration = Duration::from_secs(1);

impl Aggregator {
    /// Publishes after a commit if the last publication is long enough ago. Otherwise the tick does it.
    pub(super) fn publish_if_due(&mut self, ctx: &mut Context<Self>) {
        let has_news = self.has_news();
        let is_due = self.state.pace.is_due(Instant::now(), self.deps.publish_interval, has_news);
        if is_due || self.state.is_draining {
            self.publish(ctx);
        }
    }

    /// Publishes for the first time as soon as that is possible. The tick may be hours away, by `--publish-interval`.
    pub(super) fn publish_first(&mut self, ctx: &mut Context<Self>) {
        if self.state.last_published.is_none() {
            self.publish(ctx);
        }
    }

    /// Returns true if there are newer trades than the published ones.
    fn has_news(&self) -> bool {
        let latest = self.state.markets.as_ref().and_then(MarketState::latest);
        let published = self.deps.published.newest().and_then(|newest| newest.latest);
        latest > published
    }

    /// Renders a publication of the current data, unless the last one has the same `seq` and `as_of`.
    pub(super) fn publish(&mut self, ctx: &mut Context<Self>) {
        // After the drain, the process may end at any moment, and would cut the writes of the files.
        if self.state.is_drained
            || self.state.is_rendering
            || !self.state.readiness.may_publish(Instant::now())
        {
            return;
        }
        let now = UnixSeconds::from(self.deps.clock.now());
        self.reload_if_clock_went_back(now);
        let now = self.not_before_last(now);
        let has_news = self.has_news();
        let Some(markets) = &mut self.state.markets else { return };
        // Equal names mean equal content: a publication is a function of `seq` and `as_of`.
        let is_last = self.state.last_published == Some((markets.seq(), markets.as_of().max(now)));
        if is_last || !markets.is_settled() {
            return;
        }
        let begun = Instant::now();
        let (seq, latest) = (markets.seq(), markets.latest());
        let last = self.deps.published.newest().map(|newest| Arc::clone(&newest.snapshot));
        let hooks = self.deps.status.test_hooks();
        let snapshot = test_hooks::old_if_armed(hooks, markets.snapshot_at(now), last.as_deref(), has_news);
        let (cause, links) = self.state.causes.take();
        let step = self.deps.status.step(steps::RENDER, cause.as_ref()).with_links(links.clone());
        self.state.is_rendering = true;
        self.state.pace.begin(begun, has_news);
        let maker = Arc::clone(&self.state.maker);
        let render = crate::blocking::run(move || {
            let mut maker = maker.lock().unwrap_or_else(PoisonError::into_inner);
            Publication::render(seq, latest, snapshot, last.as_deref(), &mut maker)
        });
        ctx.spawn(render.into_actor(self).map(move |rendered, this, ctx| {
            this.state.is_rendering = false;
            match rendered {
                Ok(Ok(publication)) => this.published(publication, begun, step, ctx),
                Ok(Err(error)) => {
                    warn!(%error, "publication could not be compressed");
                    step.failed();
                    this.state.causes.put_back(cause, &links);
                }
                Err(error) => {
                    warn!(%error, "publication could not be rendered");
                    step.failed();
                    this.state.causes.put_back(cause, &links);
                    this.state.maker = Arc::default(); // it may have stopped at any point
                }
            }
            // Trades may have come while this one was rendered.
            if this.state.is_draining || this.has_news() {
                this.publish_if_due(ctx);
            }
        }));
    }

    /// Drops the windows if the clock went back. Windows cannot go back in time: trades that would belong in them again
    /// have left them for good. After the reload, the published time goes back too.
    fn reload_if_clock_went_back(&mut self, now: UnixSeconds) {
        let ahead_s = |markets: &MarketState| markets.as_of().0.saturating_sub(now.0);
        let Some(ahead_s) = self.state.markets.as_ref().map(ahead_s) else { return };
        if ahead_s > AHEAD_SECONDS_MAX {
            warn!(ahead_s, "clock went back, reloading everything");
            self.drop_markets();
            self.state.maker = Arc::default(); // its rows are identified by changes since the last snapshot
        }
    }

    /// Keeps the published time from going back if the clock went back by a little, even if the windows were reloaded.
    fn not_before_last(&self, now: UnixSeconds) -> UnixSeconds {
        let last = self.deps.published.newest().map(|newest| newest.as_of);
        let is_near = |last: &UnixSeconds| last.0.saturating_sub(now.0) <= AHEAD_SECONDS_MAX;
        last.filter(is_near).map_or(now, |last| last.max(now))
    }

    /// Records the steps of a publication that was rendered and compressed. Returns the step that publishes it.
    fn trace(&self, publication: &Publication, mut render: Step) -> Step {
        let (status, subject) = (&self.deps.status, subjects::publication(publication));
        let rendered_at = publication.rendered_at;
        render.set_subject(subject.clone());
        let rendered = render.done_at(rendered_at);
        let mut compress = status.step(steps::COMPRESS, Some(&rendered)).began_at(rendered_at);
        compress.set_subject(subject.clone());
        let mut publish = status.step(steps::PUBLISH, Some(&compress.done()));
        publish.set_subject(subject.clone());
        publication.listing.first_answer.begin(status.recorder(), &publish.trace(), subject);
        publish
    }

    fn published(&mut self, publication: Publication, begun: Instant, render: Step, ctx: &mut Context<Self>) {
        let (seq, as_of) = (publication.seq, publication.as_of);
        let publish = self.trace(&publication, render);
        let publication = Arc::new(publication);
        self.deps.published.publish(Arc::clone(&publication));
        let trace = publish.done();
        if self.state.last_published.replace((seq, as_of)).is_none() {
            info!(seq, as_of = %as_of.to_rfc3339(), "first publication made");
        }
        debug!(%trace, seq, "published");
        self.deps.status.advance();
        counter!("ticker_publications_total").increment(1);
        histogram!("ticker_publication_seconds").record(begun.elapsed().as_secs_f64());
        let directory = publication.snapshot.directory();
        for (gauge, figure) in [
            (gauge!("ticker_publication_seq"), seq.to_f64()),
            (gauge!("ticker_known_markets"), directory.market_count().to_f64()),
            (gauge!("ticker_valid_assets"), directory.asset_count().to_f64()),
        ] {
            gauge.set(figure);
        }
        let writer = self.deps.writer.clone();
        let notify =
            async move { writer.call(Some(&trace), PublicationReady { publication }, WRITER_TIMEOUT).await };
        ctx.spawn(notify.into_actor(self).map(|sent, _, _| {
            if let Err(error) = sent {
                debug!(%error, "JSON writer did not confirm a publication, it will get the next one");
            }
        }));
    }
}
