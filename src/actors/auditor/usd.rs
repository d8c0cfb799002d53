//! Audit of prices in dollars: XLM's and those of some other assets, compared with prices out of the raw trades.

use std::{sync::Arc, time::Duration};

use metrics::counter;
use tracing::{debug, info, warn};

use super::{Audit, DIFFERENCES_LOGGED_MAX, Tally, WorkContext, slice::result_of};
use crate::{
    actors::trace::{step::Step, subject::Subject},
    audit::{
        Comparison,
        usd::{self, CleanMinutes},
    },
    db::{
        DbError,
        recomputation::{Audited, Summed},
    },
    domain::{asset::Asset, conversions::SaturatingFrom},
    published::Publication,
    steps,
};

/// Longest time for reading the trades of 24 hours. A scan of the week may take twice as long.
const LIMIT: Duration = Duration::from_secs(60);

impl Audit {
    /// Compares the prices of some assets, and logs what differs twice. There is nothing to repair: a wrong window is
    /// rebuilt with its slice, and any other difference is a fault of the program.
    pub(super) async fn audit_prices(&self, context: &WorkContext, tally: &mut Tally) -> Result<(), DbError> {
        let mut step = context.pass(steps::AUDIT);
        let audited = self.audit_prices_in(context, &mut step, tally).await;
        step.ended(&audited);
        let is_compared = matches!(audited, Ok(true));
        self.price_turn.set(self.price_turn.get().after_pass(is_compared));
        tally.is_partial |= !is_compared;
        audited?;
        Ok(())
    }

    /// Returns false if the prices could not be compared.
    async fn audit_prices_in(
        &self,
        context: &WorkContext,
        step: &mut Step,
        tally: &mut Tally,
    ) -> Result<bool, DbError> {
        let Some(assets) = self.priced_assets(tally).await else { return Ok(false) };
        step.set_subject(Subject::none().with("prices", assets.len()));
        let Some((first, found)) = self.compare_prices(context, &assets, tally, |_| true).await? else {
            info!("prices in dollars not compared, the next pass tries again");
            return Ok(false);
        };
        counter!("ticker_audit_prices_total").increment(u64::saturating_from(assets.len()));
        if found.difference_count == 0 {
            return Ok(true);
        }
        debug!(
            differences = found.difference_count,
            seq = first.seq,
            "prices in dollars differ, comparing again"
        );
        let again = self.found_twice(
            &first,
            tally,
            async |tally, is_next| self.compare_prices(context, &assets, tally, is_next).await,
            |comparison| comparison,
        );
        let Some(again) = again.await? else {
            info!("differing prices in dollars not compared again, the next pass tries again");
            return Ok(false);
        };
        for difference in again.differences.iter().take(DIFFERENCES_LOGGED_MAX) {
            warn!(
                asset = %difference.entry, field = %difference.field,
                published = %difference.served, expected = %difference.expected,
                "published price in dollars differs from the trades"
            );
        }
        Ok(true)
    }

    /// Returns the assets whose prices this pass compares, or none if the pool failed.
    async fn priced_assets(&self, tally: &mut Tally) -> Option<Vec<Asset>> {
        let publication = self.published.newest()?; // each pass begins with one
        let begun = self.clock.monotonic();
        let source = self.listing.clone();
        let turn = self.price_turn.get().number();
        let chosen = crate::blocking::run(move || {
            let moment = publication.listing.moment(&source);
            Ok(usd::choose(&publication.snapshot, moment.view().usd(), &source.anchors, turn))
        });
        let chosen = result_of(chosen.await);
        tally.spent = tally.spent.saturating_add(self.since(begun));
        chosen
    }

    async fn compare_prices(
        &self,
        context: &WorkContext,
        assets: &[Asset],
        tally: &mut Tally,
        is_acceptable: impl Fn(&Publication) -> bool,
    ) -> Result<Option<(Arc<Publication>, Comparison)>, DbError> {
        let compare = async |publication: &Arc<Publication>| {
            context.advance(); // the read may take a minute
            self.compare_prices_of(publication, assets).await
        };
        self.compare_first(context, tally, is_acceptable, compare).await
    }

    async fn compare_prices_of(
        &self,
        publication: &Arc<Publication>,
        assets: &[Asset],
    ) -> Result<Option<Comparison>, DbError> {
        let audited = Audited { seq: publication.seq, as_of: publication.as_of };
        let markets = usd::markets_of(publication.snapshot.directory(), &self.listing.anchors, assets);
        let summed = if markets.is_empty() {
            Summed::Sums(CleanMinutes::default())
        } else {
            self.database.clean_minutes(audited, &markets, LIMIT).await?
        };
        let minutes = match summed {
            Summed::Sums(minutes) => minutes,
            Summed::Missed(reason) => {
                debug!(reason, "publication expired before its prices in dollars were audited");
                return Ok(None);
            }
        };
        let (publication, source) = (Arc::clone(publication), self.listing.clone());
        let assets = assets.to_vec();
        let compared = crate::blocking::run(move || {
            let moment = publication.listing.moment(&source);
            let prices = moment.view().usd();
            Ok(usd::compare(&publication.snapshot, prices, &source.anchors, &assets, &minutes))
        });
        Ok(result_of(compared.await))
    }
}
