//! The way of one trade: from its ledger's close to the first answer from a publication with it, and where the time
//! went.

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
    /// First answer of this publication or of a later one, which contains the trade too.
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
        // Nobody may read that publication. It may be ready before its step ends.
        let answers = |record: &&RecordView| {
            record.number_of("seq") >= seq
                && published.is_some_and(|published| record.ended >= published.begin())
        };
        let answered = named(steps::FIRST_ANSWER.0).filter(answers).min_by_key(|record| record.ended);
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

    /// Records of the batch's trace, of the publication that contains it, and the first answer from it or a later
    /// one.
    fn related(&self, records: &[RecordView]) -> Vec<RecordView> {
        let publication =
            self.rendered.and_then(|rendered| rendered.number_of("seq").zip(rendered.number_of("as_of")));
        let is_related = |record: &&RecordView| {
            record.trace == self.transaction.trace
                && record.number_of("seq").is_none_or(|seq| Some(seq) == self.transaction.number_of("seq"))
                || publication.is_some()
                    && record.number_of("seq").zip(record.number_of("as_of")) == publication
                || self.answered.is_some_and(|answered| answered.number == record.number)
        };
        records.iter().filter(is_related).cloned().collect()
    }
}

#[cfg(test)]
mod tests;
