//! Held ledgers, read again from Horizon: at random, and those that an audit named. What is missing is stored as any
//! repair is; what contradicts Horizon stays as it is held, and goes to quarantine for the operator to decide.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use actix::{Context, Handler};
use bytes::Bytes;
use metrics::counter;
use tracing::{info, warn};

use super::{
    Backfill, Backfiller, Retry, Stop, TICK, Upstream, WorkContext,
    descending_read::LEDGER_PAGES_MAX,
    draw::{self, Draw},
    end, page,
};
use crate::{
    actors::{
        envelope::Envelope,
        intake::{Intake, IntakeDecision},
        messages::RereadLedgers,
        trade_writer::NotWritten,
    },
    db::{
        held::{HeldRow, HeldRows},
        trades::{BatchKind, IncomingTrade, QuarantineEntry, TradeBatch},
    },
    domain::{
        close_times::CloseTimes,
        coverage::LedgerRange,
        cursor::PagingToken,
        instant::{DAY, UnixSeconds},
    },
    horizon::budget::Class,
    published::Reread,
};

/// How often ledgers are read again where requests are counted; the budget makes it slower where it must.
const REREAD_INTERVAL: Duration = Duration::from_secs(10);
/// The same where requests cost nothing.
const REREAD_INTERVAL_UNLIMITED: Duration = Duration::from_secs(1);
/// How often it is looked whether there is anything to read again.
const REREAD_POLL: Duration = Duration::from_millis(500);

impl Handler<Envelope<RereadLedgers>> for Backfiller {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<RereadLedgers>, _: &mut Context<Self>) {
        let _handling = self.work.status.begin(&envelope);
        self.work.in_doubt.borrow_mut().add(envelope.body.ledgers);
    }
}

/// How reading again ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Nothing is held.
    Nothing,
    /// What was chosen is compared.
    Compared,
    /// Not all of it can be compared now.
    Unreadable,
}

/// What one look at a page has found.
#[derive(Debug)]
struct Look {
    /// All from here up to where the page began was compared.
    below: PagingToken,
    /// Ledgers that are compared whole now.
    ledgers: u64,
    /// Something on the page cannot be told from a trade that is held.
    is_unreadable: bool,
    /// Trades that are not held.
    missing: Vec<IncomingTrade>,
    /// Trades that are held with other figures.
    contradicting: Vec<IncomingTrade>,
    /// Rows that Horizon does not have.
    surplus: BTreeMap<PagingToken, HeldRow>,
}

impl Backfill {
    pub(super) async fn reread_forever(&self, context: &WorkContext, upstream: &Upstream) {
        let interval = if self.is_limited { REREAD_INTERVAL } else { REREAD_INTERVAL_UNLIMITED };
        let mut retry = Retry::default();
        loop {
            context.advance();
            if self.writer.leadership.epoch_within(TICK).await.is_none() {
                self.in_doubt.borrow_mut().clear(); // whoever leads has an auditor of its own
                continue;
            }
            if !upstream.tail_is_read.get() {
                context.pause(REREAD_POLL).await;
                continue;
            }
            match self.reread(context, upstream).await {
                Ok(Reading::Compared) => retry.succeeded(),
                Ok(Reading::Nothing) => context.pause(REREAD_POLL).await,
                Ok(Reading::Unreadable) => context.pause(interval).await,
                Err(stop) => self.wait_after(&stop, &mut retry, context, upstream).await,
            }
            if self.in_doubt.borrow().is_empty() {
                self.pause_unless_in_doubt(context, interval).await;
            }
        }
    }

    async fn pause_unless_in_doubt(&self, context: &WorkContext, interval: Duration) {
        let mut left = interval;
        while !left.is_zero() && self.in_doubt.borrow().is_empty() && !context.is_draining() {
            let step = left.min(REREAD_POLL);
            context.pause(step).await;
            left = left.saturating_sub(step);
        }
    }

    /// Reads some held ledgers again and has repaired what can be.
    async fn reread(&self, context: &WorkContext, upstream: &Upstream) -> Result<Reading, Stop> {
        let held = self.held().await?;
        let in_doubt = self.in_doubt.borrow_mut().next();
        let oldest = self.writer.database.oldest_held_between(PagingToken::FIRST, PagingToken::LAST).await?;
        let with_trades = oldest.map_or(0, |(token, _)| token.ledger());
        let drawn = draw::draw(&held, in_doubt, with_trades, &mut rand::rng());
        let reading = match drawn {
            None => return Ok(Reading::Nothing),
            Some(Draw::Ledger(range, top)) => self.compare(context, upstream, range, top).await?,
            Some(Draw::Bottom(range)) => self.compare_below_trades(context, upstream, range).await?,
        };
        if let Some(ledger) = in_doubt.filter(|_| reading == Reading::Compared) {
            self.in_doubt.borrow_mut().settled(ledger);
        }
        Ok(reading)
    }

    /// Looks below the oldest trade of a range, where no trade is held and the range says that there is none.
    async fn compare_below_trades(
        &self,
        context: &WorkContext,
        upstream: &Upstream,
        range: LedgerRange,
    ) -> Result<Reading, Stop> {
        let (from, to) =
            (PagingToken::before_ledger(range.from), PagingToken::before_ledger(range.to.saturating_add(1)));
        let Some((above, _)) = self.writer.database.oldest_held_between(from, to).await? else {
            return self.compare(context, upstream, range, range.to).await;
        };
        let look = self.look(context, upstream, range, above).await?;
        let is_unreadable = look.is_unreadable;
        self.settle(context, upstream, range, look).await?;
        Ok(if is_unreadable { Reading::Unreadable } else { Reading::Compared })
    }

    /// Compares page by page from the end of the ledger `top` down until that one was compared whole; what else its last
    /// page holds was compared with it.
    async fn compare(
        &self,
        context: &WorkContext,
        upstream: &Upstream,
        range: LedgerRange,
        top: u32,
    ) -> Result<Reading, Stop> {
        let mut above = PagingToken::before_ledger(top.saturating_add(1));
        for _ in 0..LEDGER_PAGES_MAX {
            let mut look = self.look(context, upstream, range, above).await?;
            if !look.surplus.is_empty() {
                // That a row is not there is believed when it is not there twice.
                let again = self.look(context, upstream, range, above).await?;
                look.surplus.retain(|token, _| again.surplus.contains_key(token));
            }
            let (below, is_unreadable) = (look.below, look.is_unreadable);
            self.settle(context, upstream, range, look).await?;
            if is_unreadable {
                return Ok(Reading::Unreadable);
            }
            if below <= PagingToken::before_ledger(top) {
                return Ok(Reading::Compared);
            }
            above = below;
        }
        Ok(Reading::Unreadable)
    }

    /// The page below `above`, against the rows between its lowest trade and there: a page leaves out none between two
    /// of its trades.
    async fn look(
        &self,
        context: &WorkContext,
        upstream: &Upstream,
        range: LedgerRange,
        above: PagingToken,
    ) -> Result<Look, Stop> {
        let horizon = self.horizon.of_class(Class::Audit);
        let history = self.history(&horizon, upstream).await?;
        context.advance();
        let page = page::read(&horizon, Some(above)).await?;
        context.advance();
        let bottom = PagingToken::before_ledger(range.from);
        let lowest = page.lowest().unwrap_or(above);
        let end = if page.is_last && lowest > bottom {
            Some(end::confirm(&horizon, None, Some(lowest)).await?)
        } else {
            None
        };
        let below = match end {
            Some(Ok(elder)) => bottom.max(PagingToken::before_ledger(elder)),
            _ => bottom.max(lowest),
        };
        let below = below.min(above);
        let intake = Intake {
            source: "audit",
            ceiling: history.ceiling(),
            latest_time: history.time(),
            retention_days: self.retention_days,
        };
        let now = UnixSeconds::from(self.writer.clock.now());
        let possible = page.times().filter(|(ledger, at)| intake.can_be(*ledger, *at, now));
        let times = CloseTimes::weigh(&CloseTimes::default(), possible);
        let is_doubtful = |ledger: u32, at: UnixSeconds| {
            times.contradict(ledger, at) || times.undecided_from().is_some_and(|from| ledger <= from)
        };
        let HeldRows { mut rows, from: below } = self.writer.database.held_between(below, above).await?;
        // An end of history that is not believed says nothing of the rows that are held there. Neither does a server
        // without any trade below: it may be reading its history in again.
        let is_bare = page.is_last && page.trades.is_empty() && !rows.is_empty();
        let is_doubted = is_bare || matches!(end, Some(Err(_)));
        let mut look = Look {
            below,
            ledgers: ledgers_between(below, above),
            is_unreadable: is_doubted || !page.refused.is_empty(),
            missing: Vec::new(),
            contradicting: Vec::new(),
            surplus: BTreeMap::new(),
        };
        for (token, received) in page.trades.into_iter().filter(|(token, _)| *token >= below) {
            let row = rows.remove(&token);
            if is_doubtful(token.ledger(), received.trade.closed_at) {
                continue; // its close time is not believed, or cannot be judged by this page alone
            }
            let IntakeDecision::Stored(incoming) = intake.judge(received, now) else { continue };
            match row {
                None => look.missing.push(*incoming),
                Some(row) if row.is(&incoming.trade) => {}
                Some(_) => look.contradicting.push(*incoming),
            }
        }
        if look.is_unreadable {
            return Ok(look); // a row that seems to be surplus may be what could not be read
        }
        // A day of slack: what is about to be dropped may be gone at Horizon, too.
        let kept_since = now.minus((self.retention_days.saturating_sub(1)).saturating_mul(DAY));
        look.surplus = rows.into_iter().filter(|(_, row)| row.closed_at() > kept_since).collect();
        Ok(look)
    }

    async fn settle(
        &self,
        context: &WorkContext,
        upstream: &Upstream,
        range: LedgerRange,
        look: Look,
    ) -> Result<(), Stop> {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let told = Reread {
            at: Some(self.writer.clock.now()),
            ledgers: look.ledgers,
            missing: number(look.missing.len()),
            contradicting: number(look.contradicting.len()),
            surplus: number(look.surplus.len()),
        };
        if told.missing + told.contradicting + told.surplus > 0 {
            let places = || {
                let trades =
                    look.missing.iter().chain(&look.contradicting).map(|incoming| incoming.trade.token);
                trades.chain(look.surplus.keys().copied())
            };
            warn!(
                missing = told.missing,
                contradicting = told.contradicting,
                surplus = told.surplus,
                from = places().min().map(|token| token.to_string()),
                to = places().max().map(|token| token.to_string()),
                "held ledgers are not what horizon tells"
            );
            let conflicts = look.contradicting.iter().map(conflict);
            let quarantine =
                conflicts.chain(look.surplus.iter().map(|(token, row)| surplus(*token, row))).collect();
            let trades = look.missing;
            let batch =
                TradeBatch { kind: BatchKind::Repair, cursor: None, trades, quarantine, covered: None };
            // A connection that was opened meanwhile may lead to another network.
            self.history(&self.horizon.of_class(Class::Audit), upstream).await?;
            self.uncover_around(&batch.trades, range).await?;
            let written = self.writer.write(&batch, context).await?;
            info!(healed = written.new, "missing trades were stored");
        }
        self.tell_reread(told);
        Ok(())
    }

    /// Marks the ledgers between the held trades around a missing trade as not held, since more may be missing there. They
    /// are then filled like any gap. This also repairs an end of history that was believed wrongly.
    async fn uncover_around(&self, missing: &[IncomingTrade], range: LedgerRange) -> Result<(), Stop> {
        let tokens = || missing.iter().map(|incoming| incoming.trade.token);
        let (Some(lowest), Some(highest)) = (tokens().min(), tokens().max()) else { return Ok(()) };
        let database = &self.writer.database;
        let (from, to) =
            (PagingToken::before_ledger(range.from), PagingToken::before_ledger(range.to.saturating_add(1)));
        let below = database.newest_held_between(from, lowest.max(from)).await?;
        let above = database.oldest_held_between(highest.min(to), to).await?;
        let hole = LedgerRange {
            from: below.map_or(range.from, |(token, _)| token.ledger()),
            to: above.map_or(range.to, |(token, _)| token.ledger()),
            from_time: below.map_or(range.from_time, |(_, at)| at),
            to_time: above.map_or(range.to_time, |(_, at)| at),
        };
        let epoch = self.writer.leadership.epoch().ok_or(NotWritten::NotLeading)?;
        database.uncover(epoch, hole).await?;
        warn!(from = hole.from, to = hole.to, "ledgers count as held no more: trades were missing there");
        Ok(())
    }

    fn tell_reread(&self, new: Reread) {
        counter!("ticker_reread_ledgers_total").increment(new.ledgers);
        for (found, count) in
            [("missing", new.missing), ("contradicting", new.contradicting), ("surplus", new.surplus)]
        {
            counter!("ticker_reread_trades_total", "found" => found).increment(count);
        }
        let told = &self.writer.published.vitals.reread;
        let before = told.load().as_deref().copied().unwrap_or_default();
        told.store(Some(Arc::new(Reread {
            at: new.at,
            ledgers: before.ledgers.saturating_add(new.ledgers),
            missing: before.missing.saturating_add(new.missing),
            contradicting: before.contradicting.saturating_add(new.contradicting),
            surplus: before.surplus.saturating_add(new.surplus),
        })));
    }
}

fn conflict(incoming: &IncomingTrade) -> QuarantineEntry {
    QuarantineEntry {
        source: "audit",
        token: Some(incoming.trade.token),
        reason: "conflict: a row of this identity is held with other figures than horizon tells".into(),
        raw: incoming.raw.clone(),
    }
}

fn surplus(token: PagingToken, row: &HeldRow) -> QuarantineEntry {
    QuarantineEntry {
        source: "audit",
        token: Some(token),
        reason: "surplus: this row is held, and horizon has no such trade".into(),
        raw: Bytes::from(format!("{row:?}")),
    }
}

/// How many ledgers are compared whole once all between two places is, and all above them was before.
fn ledgers_between(below: PagingToken, above: PagingToken) -> u64 {
    let whole_from = |place: PagingToken| {
        place.ledger().saturating_add((place != PagingToken::before_ledger(place.ledger())).into())
    };
    u64::from(whole_from(above).saturating_sub(whole_from(below)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_counts_with_the_page_that_completes_it() {
        let before = PagingToken::before_ledger;
        let within = |ledger: u32| PagingToken { order: 1, ..before(ledger) };
        assert_eq!(ledgers_between(before(10), before(12)), 2);
        assert_eq!(ledgers_between(within(10), before(12)), 1, "more of 10 lies below");
        assert_eq!(ledgers_between(before(10), within(12)), 3, "the upper part of 12 was compared before");
        assert_eq!(ledgers_between(within(10), within(10)), 0);
    }
}
