//! Reading one stretch of history from new to old, page by page, and storing it in batches. What was read whole is told
//! with each batch, so that a stop at any moment loses at most the reading of one batch.

use std::{
    cell::Cell,
    collections::BTreeSet,
    rc::Rc,
    time::{Duration, Instant},
};

use metrics::counter;

use super::{
    Backfill, Stop, Upstream,
    end::{self, EndDoubt},
    page::{self, Page},
    plan::Stretch,
};
use crate::{
    actors::{
        intake::{Intake, IntakeDecision},
        trade_writer::CommittedSummary,
        worker::WorkContext,
    },
    db::trades::{BatchKind, IncomingTrade, QuarantineEntry, TradeBatch},
    domain::{
        close_times::{CONFIRMED_BY, CloseTimes},
        coverage::LedgerRange,
        cursor::PagingToken,
        instant::UnixSeconds,
    },
    horizon::{HorizonClient, HorizonError},
};

/// A batch is written when it holds this many trades. Each keeps the page alive that it came in: 2 KB a trade.
const BATCH_TRADES: usize = 2_000;
/// A batch is written after this time, however few trades it holds.
const BATCH_TIME: Duration = Duration::from_secs(1);
/// Pages of one ledger at most: 200,000 trades.
pub(super) const LEDGER_PAGES_MAX: u32 = 1_000;
/// Pages read ahead if the close times at the end of one cannot be judged. With 200 trades each they hold a few ledgers,
/// unless these are very large. After that many, the close times are accepted as they are.
const PAGES_AHEAD_MAX: u32 = 3;
/// Horizon's answer where a page would lie before all that it still has.
const BEFORE_HISTORY: u16 = 410;

/// What a descent works with.
pub(super) struct DescendingRead<'a> {
    pub(super) deps: &'a Backfill,
    /// The client of the class that this reading is of.
    pub(super) horizon: &'a HorizonClient,
    pub(super) upstream: &'a Upstream,
    pub(super) context: &'a WorkContext,
    pub(super) kind: BatchKind,
    /// Nothing above this ledger is told to be whole, whatever a page holds.
    pub(super) top_max: u32,
    /// The highest ledger of a trade that was read.
    pub(super) newest_seen: Cell<u32>,
    /// Pages to be read at most, but for those of the newest ledger: it is read whole.
    pub(super) pages_max: u32,
    /// Trades that were stored and had not been there.
    pub(super) stored: Rc<Cell<u64>>,
}

/// How far a stretch was read.
struct Reading {
    stretch: Stretch,
    /// The ledger and the close time of the highest trade that is not told yet; none before the first.
    top: Option<(u32, UnixSeconds)>,
    /// Where the next page begins.
    cursor: Option<PagingToken>,
    /// When the lowest trade that was read closed.
    lowest_at: Option<UnixSeconds>,
    /// All ledgers from here up are read whole.
    whole_from: u32,
    is_done: bool,
    trades: Vec<IncomingTrade>,
    quarantine: Vec<QuarantineEntry>,
    written_at: Instant,
    /// A ledger was told to be whole.
    told_whole: bool,
    /// Believed close times of the last page.
    times: CloseTimes,
    /// Ledgers that are older than is wanted, a few of them.
    old: BTreeSet<u32>,
}

impl DescendingRead<'_> {
    /// Reads a stretch. Comes back with what was stored.
    pub(super) async fn read(&self, stretch: Stretch) -> Result<CommittedSummary, Stop> {
        let mut reading = Reading::new(stretch);
        let mut sum = CommittedSummary::default();
        let mut pages = 0;
        while pages < self.pages_max || (!reading.has_whole() && pages < LEDGER_PAGES_MAX) {
            pages += 1;
            self.context.advance();
            match page::read(self.horizon, reading.cursor).await {
                Ok(page) => {
                    let (page, intake) = self.weighed(page, &mut reading).await?;
                    let end = self.end_of(&page, &reading).await?;
                    self.take_in(page, end.and_then(Result::ok), &intake, &mut reading);
                    if let Some(Err(doubt)) = end {
                        self.write(&mut reading, &mut sum).await?;
                        return Err(Stop::End(doubt));
                    }
                }
                Err(HorizonError::Problem { status: BEFORE_HISTORY, .. }) => {
                    self.write(&mut reading, &mut sum).await?;
                    return Err(Stop::BeforeHistory);
                }
                Err(error) => {
                    self.write(&mut reading, &mut sum).await?;
                    return Err(error.into());
                }
            }
            if reading.is_done || reading.is_due() {
                self.write(&mut reading, &mut sum).await?;
            }
            if reading.is_done {
                return Ok(sum);
            }
        }
        self.write(&mut reading, &mut sum).await?;
        Ok(sum)
    }

    /// Weighs the close times of a page. If the lowest ones cannot be judged without those below, it reads on.
    async fn weighed(&self, mut page: Page, reading: &mut Reading) -> Result<(Page, Intake), Stop> {
        let now = UnixSeconds::from(self.deps.writer.clock.now());
        let mut more = 0;
        loop {
            let history = self.deps.history(self.horizon, self.upstream).await?;
            let intake = Intake {
                source: "pages",
                ceiling: history.ceiling(),
                latest_time: history.time(),
                retention_days: self.deps.retention_days,
            };
            let times = page.times().filter(|(ledger, at)| intake.can_be(*ledger, *at, now));
            let weighed = CloseTimes::weigh(&reading.times, times);
            if weighed.undecided_from().is_none() || page.is_last || more == PAGES_AHEAD_MAX {
                reading.times = weighed;
                return Ok((page, intake));
            }
            more += 1;
            self.context.advance();
            let lowest = page.lowest();
            page.join(page::read(self.horizon, lowest).await?);
        }
    }

    /// Oldest ledger of history, if the page claims that nothing lies below it, or the reason to doubt that claim.
    async fn end_of(&self, page: &Page, reading: &Reading) -> Result<Option<Result<u32, EndDoubt>>, Stop> {
        let reaches_below = page.lowest().is_some_and(|lowest| lowest.ledger() < reading.stretch.from);
        if !page.is_last || reaches_below {
            return Ok(None); // ledgers below the stretch are held, or another stretch reads them
        }
        let place = page.lowest().or(reading.cursor);
        end::confirm(self.horizon, Some(&self.deps.writer.database), place).await.map(Some)
    }

    /// Takes in a page. Where its end of history is believed, `ends_at` is the oldest ledger that Horizon has.
    fn take_in(&self, page: Page, ends_at: Option<u32>, intake: &Intake, reading: &mut Reading) {
        let now = UnixSeconds::from(self.deps.writer.clock.now());
        let lowest = page.lowest();
        let from = reading.stretch.from;
        for (token, received) in page.trades.into_iter().rev() {
            let (ledger, closed_at) = (token.ledger(), received.trade.closed_at);
            if ledger > intake.ceiling {
                // It would pass for the newest ledger; the rest of the page is what counts.
                if let IntakeDecision::Quarantined(entry) = intake.judge(received, now) {
                    reading.quarantine.push(entry);
                }
                continue;
            }
            self.newest_seen.set(self.newest_seen.get().max(ledger));
            if let Some(closed_at) = reading.times.believed(ledger) {
                reading.saw(ledger.min(self.top_max), closed_at);
            }
            if ledger < from {
                continue; // held already
            }
            if reading.times.contradict(ledger, closed_at) {
                reading.quarantine.push(intake.misfit(received));
                continue;
            }
            match intake.judge(received, now) {
                IntakeDecision::Stored(trade) => reading.trades.push(*trade),
                IntakeDecision::Quarantined(entry) => reading.quarantine.push(entry),
                IntakeDecision::PassedOver => counter!("ticker_trades_passed_over_total").increment(1),
            }
        }
        for refused in page.refused {
            reading.quarantine.push(intake.refuse(refused));
        }
        if lowest.is_some() || ends_at.is_some() {
            reading.reached(lowest, ends_at);
        }
    }

    async fn write(&self, reading: &mut Reading, sum: &mut CommittedSummary) -> Result<(), Stop> {
        let covered = reading.covered();
        if reading.trades.is_empty() && reading.quarantine.is_empty() && covered.is_none() {
            return Ok(());
        }
        let batch = TradeBatch {
            kind: self.kind,
            cursor: None,
            trades: std::mem::take(&mut reading.trades),
            quarantine: std::mem::take(&mut reading.quarantine),
            covered,
        };
        // A connection that was opened meanwhile may lead to another network.
        self.deps.history(self.horizon, self.upstream).await?;
        let written = self.deps.writer.write(&batch, self.context).await?;
        self.stored.set(self.stored.get().saturating_add(written.new));
        sum.new = sum.new.saturating_add(written.new);
        sum.repeats = sum.repeats.saturating_add(written.repeats);
        reading.written(covered);
        Ok(())
    }
}

impl Reading {
    fn new(stretch: Stretch) -> Self {
        Self {
            top: None,
            cursor: stretch.to.map(|to| PagingToken::before_ledger(to.saturating_add(1))),
            lowest_at: None,
            whole_from: stretch.to.map_or(u32::MAX, |to| to.saturating_add(1)),
            is_done: false,
            trades: Vec::new(),
            quarantine: Vec::new(),
            written_at: Instant::now(),
            told_whole: false,
            times: CloseTimes::default(),
            old: BTreeSet::new(),
            stretch,
        }
    }

    /// A trade of this ledger was read.
    fn saw(&mut self, ledger: u32, closed_at: UnixSeconds) {
        self.top.get_or_insert((ledger, closed_at));
        self.lowest_at = Some(closed_at);
    }

    /// A page down to `lowest` was read. Where it was the last, nothing lies below down to the ledger `ends_at`.
    fn reached(&mut self, lowest: Option<PagingToken>, ends_at: Option<u32>) {
        let from = self.stretch.from;
        let (Some(lowest), None) = (lowest, ends_at) else {
            self.whole_from = from.max(ends_at.unwrap_or_default());
            self.is_done = true;
            return;
        };
        self.cursor = Some(lowest);
        // More of the lowest ledger may come with the next page.
        self.whole_from = lowest.ledger().saturating_add(1).max(from);
        // One such ledger is not enough: if its time is wrong, all older ledgers would never be read.
        self.old.extend(self.times.ledgers_before(self.stretch.since));
        self.is_done = lowest.ledger() < from || self.old.len() >= CONFIRMED_BY;
    }

    /// Whether any ledger has been read whole. What was read of one that is not must be read again.
    fn has_whole(&self) -> bool {
        self.told_whole || self.covered().is_some()
    }

    fn is_due(&self) -> bool {
        self.trades.len() >= BATCH_TRADES || self.written_at.elapsed() >= BATCH_TIME
    }

    /// The ledgers that have been read whole since the last write.
    fn covered(&self) -> Option<LedgerRange> {
        let to = self.stretch.to.or(self.top.map(|(ledger, _)| ledger))?;
        let at = self.lowest_at.or(self.stretch.before)?;
        let to_time = self.top.map_or(at, |(_, at)| at);
        (self.whole_from <= to).then_some(LedgerRange {
            from: self.whole_from,
            to,
            from_time: at.min(to_time),
            to_time,
        })
    }

    fn written(&mut self, covered: Option<LedgerRange>) {
        self.written_at = Instant::now();
        if let Some(covered) = covered {
            self.told_whole = true;
            let below = covered.from.saturating_sub(1);
            self.stretch.to = Some(below);
            self.top = Some((below, covered.from_time));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(from: u32, to: Option<u32>) -> Reading {
        Reading::new(Stretch { from, to, before: Some(UnixSeconds(900)), since: UnixSeconds(100) })
    }

    fn place(ledger: u32) -> Option<PagingToken> {
        PagingToken::new((i64::from(ledger) << 32) + 1, 0)
    }

    fn held(reading: &Reading) -> Option<(u32, u32, i64, i64)> {
        reading.covered().map(|range| (range.from, range.to, range.from_time.0, range.to_time.0))
    }

    #[test]
    fn the_lowest_ledger_of_a_page_is_whole_only_with_the_next() {
        let mut reading = reading(10, Some(50));
        reading.saw(48, UnixSeconds(480));
        reading.saw(40, UnixSeconds(400));
        reading.reached(place(40), None);
        assert_eq!((held(&reading), reading.is_done), (Some((41, 50, 400, 480)), false));
        let covered = reading.covered();
        reading.written(covered);
        reading.saw(40, UnixSeconds(400));
        reading.reached(place(40), None);
        assert_eq!(held(&reading), None, "all of the page was one ledger");
        assert!(reading.has_whole(), "those above it are");
        assert_eq!(reading.cursor, place(40), "the next page begins where this one ended");
        reading.saw(9, UnixSeconds(90));
        reading.reached(place(9), None);
        assert_eq!((held(&reading), reading.is_done), (Some((10, 40, 90, 400)), true));
    }

    #[test]
    fn a_tail_begins_at_its_newest_trade_or_at_what_a_second_witness_says() {
        let mut reading = reading(10, None);
        reading.saw(28, UnixSeconds(300)); // the page began at 30
        reading.saw(20, UnixSeconds(200));
        reading.reached(place(20), None);
        assert_eq!(held(&reading), Some((21, 28, 200, 300)));
    }

    fn incoming() -> IncomingTrade {
        let received = page::tests::received(20, 0);
        IncomingTrade { trade: received.trade, raw: received.raw }
    }

    /// A page with one trade in each of these ledgers.
    fn page(reading: &mut Reading, ledgers: &[(u32, i64)]) {
        reading.times =
            CloseTimes::weigh(&reading.times, ledgers.iter().map(|(ledger, at)| (*ledger, UnixSeconds(*at))));
        for (ledger, _) in ledgers {
            let believed = reading.times.believed(*ledger).unwrap();
            reading.saw(*ledger, believed);
        }
        reading.reached(ledgers.last().and_then(|(ledger, _)| place(*ledger)), None);
    }

    #[test]
    fn what_is_old_enough_ends_it_and_so_does_the_end_of_history() {
        let mut old = reading(10, Some(50));
        page(&mut old, &[(32, 101), (31, 99), (30, 98)]);
        assert_eq!((held(&old), old.is_done), (Some((31, 50, 98, 101)), false), "two ledgers may be wrong");
        page(&mut old, &[(29, 98)]);
        assert!(old.is_done);
        let mut last = reading(10, Some(50));
        last.reached(None, Some(25));
        assert_eq!(
            (held(&last), last.is_done),
            (Some((25, 50, 900, 900)), true),
            "not below where it begins"
        );
        let mut empty = reading(10, Some(50));
        empty.reached(place(60), Some(5));
        assert_eq!(held(&empty), Some((10, 50, 900, 900)));
        let mut one = reading(50, Some(50));
        one.saw(49, UnixSeconds(490));
        one.reached(place(49), None);
        assert_eq!((held(&one), one.is_done), (Some((50, 50, 490, 490)), true));
    }

    #[test]
    fn nothing_is_whole_before_the_first_page_and_the_lowest_ledger_is_read_to_its_end() {
        let mut reading = reading(10, Some(50));
        assert_eq!((held(&reading), reading.has_whole()), (None, false));
        assert_eq!(reading.cursor, Some(PagingToken::before_ledger(51)));
        reading.reached(place(10), None);
        assert!(!reading.is_done, "more of the ledger 10 may come");
    }

    #[test]
    fn a_range_never_begins_later_than_it_ends() {
        let mut reading = reading(10, Some(50));
        reading.saw(48, UnixSeconds(480));
        reading.saw(40, UnixSeconds(490)); // within the slack of clocks
        reading.reached(place(40), None);
        assert_eq!(held(&reading), Some((41, 50, 480, 480)));
    }

    #[test]
    fn a_batch_is_due_when_it_is_large_or_old() {
        let mut reading = reading(10, Some(50));
        let never = Instant::now().checked_add(Duration::from_secs(3_600)).unwrap();
        reading.written_at = never;
        reading.trades = vec![incoming(); BATCH_TRADES - 1];
        assert!(!reading.is_due());
        reading.trades.push(incoming());
        assert!(reading.is_due());
        reading.trades.clear();
        reading.written_at = Instant::now().checked_sub(BATCH_TIME).unwrap();
        assert!(reading.is_due());
        reading.written_at = never;
        reading.written(None);
        assert!(reading.written_at < never, "the next batch is as old as the last write");
    }
}
