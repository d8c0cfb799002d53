//! The way of one trade: from its ledger's close to the first answer that contains it, and where the time went.

use actor_tree::trace::view::RecordView;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{conversions::Integer, cursor::PagingToken},
    steps,
};

/// Type of the message that brings a batch to the aggregator.
const DELIVERED: &str = "TradesCommitted";
/// Steps that collect trades into a batch.
const COLLECTED: [&str; 4] =
    [steps::COLLECT.0, steps::READ_HISTORY.0, steps::READ_LEDGERS.0, steps::READ_AGAIN.0];

/// A part of the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Name. Part by part, each begins where the last one ended.
    pub name: String,
    /// Duration in milliseconds.
    pub ms: f64,
}

/// The way of a trade, as far as it was recorded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Journey {
    /// Records of the way and of what else the same messages caused.
    pub records: Vec<RecordView>,
    /// Parts in order. Their sum is the time from the ledger's close to the last recorded stage.
    pub parts: Vec<Part>,
}

impl Journey {
    /// Time from the ledger's close to the last recorded stage, in milliseconds; none if nothing was recorded.
    #[must_use]
    pub fn total_ms(&self) -> Option<f64> {
        (!self.parts.is_empty()).then(|| self.parts.iter().map(|part| part.ms).sum())
    }

    /// Finds the way of a stored trade among all records. `stored` is its row, if the database answered.
    #[must_use]
    pub fn find(records: &[RecordView], trade: PagingToken, stored: Option<StoredRow>) -> Self {
        // A batch need not hold each trade of its range. Those at its ends it holds. The first batch is the live one.
        let named = |name: &'static str| {
            let of_its_market = |record: &&RecordView| stored.is_none_or(|row| row.may_be_in(record));
            let matching = records.iter().filter(move |record| record.name() == name && spans(record, trade));
            matching.filter(of_its_market).min_by_key(|record| !ends_with(record, trade))
        };
        // On a replica that follows, a read takes the place of the transaction.
        let Some(transaction) = named(steps::TRANSACTION.0).or_else(|| named(steps::CATCH_UP.0)) else {
            return Self::of_unstored(records, trade);
        };
        let stages = Stages::of(records, transaction);
        let closed_at = stored.map(|row| row.closed_at);
        Self { parts: stages.parts(closed_at), records: stages.related(records) }
    }

    /// The way of a trade that is not stored: the steps that read trades around it. It has no parts.
    #[must_use]
    pub fn of_unstored(records: &[RecordView], trade: PagingToken) -> Self {
        let collects = |record: &&RecordView| COLLECTED.contains(&record.name()) && spans(record, trade);
        Self { records: records.iter().filter(collects).cloned().collect(), parts: Vec::new() }
    }
}

/// The row of a trade, as far as its way depends on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StoredRow {
    /// Id of its market in the database.
    pub market: i64,
    /// Close time of its ledger.
    pub closed_at: DateTime<Utc>,
}

impl StoredRow {
    /// Returns false if the record names all of its markets and this one is not among them.
    fn may_be_in(self, record: &RecordView) -> bool {
        record.may_have_member("markets", self.market)
    }
}

/// Returns true if the trade lies in the record's range of trades.
fn spans(record: &RecordView, trade: PagingToken) -> bool {
    range(record).is_some_and(|(from, to)| (from..=to).contains(&trade.toid))
}

/// Returns true if the trade is the first or the last of the record's range.
fn ends_with(record: &RecordView, trade: PagingToken) -> bool {
    range(record).is_some_and(|(from, to)| [from, to].contains(&trade.toid))
}

fn range(record: &RecordView) -> Option<(i64, i64)> {
    record.number_of("trade_from").zip(record.number_of("trade_to"))
}

/// Records of the stages, each none if it is not recorded.
struct Stages<'a> {
    collected: Option<&'a RecordView>,
    /// The transaction that stored the trade, or the read that brought it here.
    transaction: &'a RecordView,
    delivered: Option<&'a RecordView>,
    rendered: Option<&'a RecordView>,
    compressed: Option<&'a RecordView>,
    published: Option<&'a RecordView>,
    answered: Option<&'a RecordView>,
}

impl<'a> Stages<'a> {
    fn of(records: &'a [RecordView], transaction: &'a RecordView) -> Self {
        let named = |name: &'static str| records.iter().filter(move |record| record.name() == name);
        let below = |cause: Option<&RecordView>, name: &'static str| {
            let span = cause?.span.as_str();
            named(name).find(|record| record.parent.as_deref() == Some(span))
        };
        let parent = transaction.parent.as_deref();
        let collected = records
            .iter()
            .find(|record| COLLECTED.contains(&record.name()) && Some(record.span.as_str()) == parent);
        let delivered = below(Some(transaction), DELIVERED);
        // The first publication whose batches reach this one. It need not be caused by this very batch.
        let seq = transaction.number_of("seq");
        let contains =
            |record: &&RecordView| record.number_of("seq") >= seq && record.ended >= transaction.ended;
        let rendered = named(steps::RENDER.0).filter(contains).min_by_key(|record| record.queued);
        let compressed = below(rendered, steps::COMPRESS.0);
        let published = below(compressed, steps::PUBLISH.0);
        let answered = below(published, steps::FIRST_ANSWER.0);
        Self { collected, transaction, delivered, rendered, compressed, published, answered }
    }

    /// Parts of the way. A stage that is not recorded belongs to the next one.
    fn parts(&self, closed_at: Option<DateTime<Utc>>) -> Vec<Part> {
        let transaction = Some(self.transaction);
        // Folding ends where rendering begins: the aggregator may begin a publication while it handles the batch.
        let rendering = self.rendered.map(RecordView::begin);
        let folded = self
            .delivered
            .map(|delivered| rendering.map_or(delivered.ended, |rendering| delivered.ended.min(rendering)));
        let (before, stored) = if self.transaction.name() == steps::CATCH_UP.0 {
            ("other_replica", steps::CATCH_UP.0)
        } else {
            ("check_network", steps::TRANSACTION.0)
        };
        let ends = [
            ("horizon", self.collected.map(RecordView::begin)),
            ("collect", self.collected.map(|it| it.ended)),
            (before, transaction.map(RecordView::begin)),
            (stored, transaction.map(|it| it.ended)),
            ("queue", self.delivered.map(RecordView::begin)),
            ("fold", folded),
            ("wait_for_publication", rendering),
            ("render", self.rendered.map(|it| it.ended)),
            ("compress", self.compressed.map(|it| it.ended)),
            ("publish", self.published.map(|it| it.ended)),
            ("first_answer", self.answered.map(|it| it.ended)),
        ];
        let first = self.collected.unwrap_or(self.transaction).begin();
        let (mut at, mut parts) = (closed_at.unwrap_or(first), Vec::new());
        for (name, end) in ends {
            let Some(end) = end else { continue };
            // A clock of Horizon's that is ahead must not give a negative part.
            let end = end.max(at);
            let micros = (end - at).num_microseconds().unwrap_or(i64::MAX);
            parts.push(Part { name: name.to_owned(), ms: micros.to_f64() / 1_000.0 });
            at = end;
        }
        parts
    }

    /// Records of the batch's trace, and of the publication that contains it.
    fn related(&self, records: &[RecordView]) -> Vec<RecordView> {
        let publication =
            self.rendered.and_then(|rendered| rendered.number_of("seq").zip(rendered.number_of("as_of")));
        let is_related = |record: &&RecordView| {
            record.trace == self.transaction.trace
                && record.number_of("seq").is_none_or(|seq| Some(seq) == self.transaction.number_of("seq"))
                || publication.is_some()
                    && record.number_of("seq").zip(record.number_of("as_of")) == publication
        };
        records.iter().filter(is_related).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use actor_tree::{
        clock::{Clock, ManualClock, SharedClock},
        trace::{
            recorder::Recorder,
            step::{Step, StepName},
            subject::Subject,
        },
    };
    use std::time::Duration;

    use super::*;

    /// Records of one batch and the publication that contains it; each stage lasts 10 ms.
    fn records(toid: i64, source: StepName) -> (Vec<RecordView>, DateTime<Utc>) {
        let clock = Arc::new(ManualClock::new(DateTime::from_timestamp(1_000, 0).unwrap()));
        let shared: SharedClock = clock.clone();
        let recorder = Recorder::on(shared);
        let closed_at = clock.now();
        record_batch(&recorder, &clock, (toid, toid + 5), source);
        let moment = recorder.moment();
        (recorder.records().0.iter().map(|record| record.view(&moment)).collect(), closed_at)
    }

    /// Records a batch with trades of the market 3 and its publication.
    fn record_batch(recorder: &Arc<Recorder>, clock: &ManualClock, toids: (i64, i64), source: StepName) {
        let stage = |name, cause: Option<&_>, subject: Subject| {
            let mut step = Step::begin(recorder, "one", name, cause);
            step.set_subject(subject);
            clock.advance(Duration::from_millis(10));
            step.done()
        };
        let batch = Subject::none().with("trade_from", toids.0).with("trade_to", toids.1);
        let name = Subject::none().with("seq", 8).with("as_of", 1_001);
        clock.advance(Duration::from_millis(10));
        let collected = stage(source, None, batch.clone());
        let committed = batch.with("seq", 7).with_members("markets", [3]);
        stage(steps::TRANSACTION, Some(&collected), committed);
        let rendered = stage(steps::RENDER, None, name.clone());
        let compressed = stage(steps::COMPRESS, Some(&rendered), name.clone());
        let published = stage(steps::PUBLISH, Some(&compressed), name.clone());
        stage(steps::WRITE_FILES, Some(&published), name.clone());
        stage(steps::FIRST_ANSWER, Some(&published), name);
    }

    fn row(market: i64, closed_at: DateTime<Utc>) -> Option<StoredRow> {
        Some(StoredRow { market, closed_at })
    }

    #[test]
    fn the_parts_of_the_way_add_up_to_the_age_at_the_first_reader_from_every_source() {
        for source in [steps::COLLECT, steps::READ_HISTORY, steps::READ_LEDGERS, steps::READ_AGAIN] {
            adds_up(source);
        }
    }

    fn adds_up(source: StepName) {
        let (records, closed_at) = records(100, source);
        let token = PagingToken::new(103, 0).unwrap();
        let journey = Journey::find(&records, token, row(3, closed_at));
        let names: Vec<&str> = journey.parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "horizon",
                "collect",
                "check_network",
                "transaction",
                "wait_for_publication",
                "render",
                "compress",
                "publish",
                "first_answer"
            ]
        );
        let age = records.last().unwrap().ended - closed_at;
        let total = journey.total_ms().unwrap();
        assert!((total - 80.0).abs() < 0.001 && age.num_milliseconds() == 80, "{total}");
        assert_eq!(journey.records.len(), 7);
    }

    #[test]
    fn an_unknown_trade_has_no_way() {
        let (records, closed_at) = records(100, steps::COLLECT);
        let token = PagingToken::new(99, 0).unwrap();
        assert_eq!(Journey::find(&records, token, row(3, closed_at)), Journey::default());
    }

    #[test]
    fn the_batch_that_brought_a_late_trade_is_found_and_not_the_one_around_it() {
        let clock = Arc::new(ManualClock::new(DateTime::from_timestamp(1_000, 0).unwrap()));
        let shared: SharedClock = clock.clone();
        let (recorder, closed_at) = (Recorder::on(shared), clock.now());
        record_batch(&recorder, &clock, (100, 105), steps::COLLECT);
        record_batch(&recorder, &clock, (103, 103), steps::READ_HISTORY);
        let moment = recorder.moment();
        let records: Vec<RecordView> =
            recorder.records().0.iter().map(|record| record.view(&moment)).collect();
        let collected = |toid| {
            let way = Journey::find(&records, PagingToken::new(toid, 0).unwrap(), row(3, closed_at));
            way.records.iter().find(|record| COLLECTED.contains(&record.name())).unwrap().name().to_owned()
        };
        assert_eq!(collected(103), steps::READ_HISTORY.0);
        assert_eq!(collected(104), steps::COLLECT.0);
    }

    #[test]
    fn a_trade_of_no_market_of_the_batch_and_one_that_is_not_stored_have_no_parts() {
        let (records, closed_at) = records(100, steps::COLLECT);
        let token = PagingToken::new(103, 0).unwrap();
        let ways = [Journey::find(&records, token, row(4, closed_at)), Journey::of_unstored(&records, token)];
        for way in ways {
            let names: Vec<&str> = way.records.iter().map(RecordView::name).collect();
            assert_eq!((way.parts, names), (Vec::new(), vec![steps::COLLECT.0]));
        }
    }
}
