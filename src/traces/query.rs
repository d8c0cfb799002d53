//! Questions to the recorder: the query parameters of `/trace.json`.

use std::sync::Arc;

use actor_tree::trace::{
    record::{Kind, Outcome, Record},
    recorder::Moment,
    view::{span_hex, trace_hex},
};
use chrono::{DateTime, Utc};

use crate::domain::cursor::PagingToken;

/// Records in an answer, if the question does not say.
const LIMIT: usize = 500;
/// Most records in an answer.
const LIMIT_MAX: usize = 20_000;
/// Parameters of a question.
pub const NAMES: [&str; 11] =
    ["actor", "type", "trace", "ledger", "trade", "seq", "market", "outcome", "min_ms", "since", "limit"];

/// Which records are wanted. Every given part must fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Sender or receiver.
    pub actor: Option<String>,
    /// Type of message, or name of a step.
    pub kind: Option<String>,
    /// Trace, in hex digits.
    pub trace: Option<String>,
    /// Ledger that a batch contains.
    pub ledger: Option<u32>,
    /// Trade whose way is wanted.
    pub trade: Option<PagingToken>,
    /// Number of a batch or publication.
    pub seq: Option<i64>,
    /// Name of a market. The caller looks up its ids.
    pub market: Option<String>,
    /// End of the message.
    pub outcome: Option<&'static str>,
    /// Least time from sending to the end, in milliseconds.
    pub min_ms: Option<f64>,
    /// Earliest end.
    pub since: Option<DateTime<Utc>>,
    /// Most records. The newest are chosen, and a batch before the publications that end with it.
    pub limit: usize,
}

/// Error of a question.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A parameter that does not exist.
    #[error("unknown parameter; this path takes: {}", NAMES.join(", "))]
    Unknown,
    /// A parameter was given twice.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// A value does not parse.
    #[error("{name} must be {allowed}")]
    Value {
        /// Parameter.
        name: &'static str,
        /// Allowed values.
        allowed: &'static str,
    },
}

impl Default for Query {
    fn default() -> Self {
        Self {
            actor: None,
            kind: None,
            trace: None,
            ledger: None,
            trade: None,
            seq: None,
            market: None,
            outcome: None,
            min_ms: None,
            since: None,
            limit: LIMIT,
        }
    }
}

impl Query {
    /// Reads the parameters of a question.
    ///
    /// # Errors
    ///
    /// See [`QueryError`].
    pub fn parse<'a>(pairs: impl IntoIterator<Item = &'a (String, String)>) -> Result<Self, QueryError> {
        let mut query = Self::default();
        let mut given = Vec::new();
        for (name, value) in pairs {
            let name = NAMES.into_iter().find(|known| known == name).ok_or(QueryError::Unknown)?;
            if given.contains(&name) {
                return Err(QueryError::Twice(name));
            }
            given.push(name);
            query.set(name, value).map_err(|allowed| QueryError::Value { name, allowed })?;
        }
        Ok(query)
    }

    /// Sets a part. Returns the allowed values if it does not parse.
    fn set(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        match name {
            "actor" => self.actor = Some(value.to_owned()),
            "type" => self.kind = Some(value.to_owned()),
            "trace" => self.trace = Some(hex(value)?),
            "ledger" => self.ledger = Some(value.parse().map_err(|_| "a ledger number")?),
            "trade" => self.trade = Some(value.parse().map_err(|_| "a paging token, such as 12345-0")?),
            "seq" => self.seq = Some(value.parse().map_err(|_| "a whole number")?),
            "market" => self.market = Some(value.to_owned()),
            "outcome" => self.outcome = Some(outcome(value)?),
            "min_ms" => {
                let least = value.parse().ok().filter(|least: &f64| least.is_finite() && *least >= 0.0);
                self.min_ms = Some(least.ok_or("a number of milliseconds")?);
            }
            "since" => {
                let since = DateTime::parse_from_rfc3339(value).map_err(|_| "a time as in RFC 3339")?;
                self.since = Some(since.to_utc());
            }
            _ => {
                let limit = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                self.limit = limit.ok_or("a whole number from 1 to 20000")?;
            }
        }
        Ok(())
    }

    /// Chooses at most `limit` of the selected records, which come and go with the oldest first. Returns also the
    /// number of those that are left out.
    #[must_use]
    pub fn choose<'a>(&self, mut selected: Vec<&'a Arc<Record>>) -> (Vec<&'a Arc<Record>>, usize) {
        let left_out = selected.len().saturating_sub(self.limit);
        let mut excess = left_out;
        // While no trade comes, each second brings another publication that ends with the same batch. The batch is
        // older than all of them, and is what a question for its number is about.
        let is_batch = |record: &Record| self.seq.is_some() && record.subject.number("as_of").is_none();
        selected.retain(|record| {
            let goes = excess > 0 && !is_batch(record);
            excess = excess.saturating_sub(usize::from(goes));
            !goes
        });
        selected.drain(..excess);
        (selected, left_out)
    }

    /// Returns true if the record fits every part but the trade and the limit. `markets` are the ids of the market.
    #[must_use]
    pub fn selects(&self, record: &Record, markets: &[i64], moment: &Moment) -> bool {
        let name = match record.kind {
            Kind::Message(name) | Kind::Step(name) => name,
        };
        let subject = &record.subject;
        let covers = |ledger: u32| {
            let (from, to) = (subject.number("ledger_from"), subject.number("ledger_to"));
            from.zip(to).is_some_and(|(from, to)| (from..=to).contains(&i64::from(ledger)))
        };
        let lasted_ms = record.ended.saturating_duration_since(record.queued).as_secs_f64() * 1_000.0;
        self.actor.as_deref().is_none_or(|actor| record.from == actor || record.to == actor)
            && self.kind.as_deref().is_none_or(|kind| kind == name)
            && self.trace.as_deref().is_none_or(|trace| is_of_trace(record, trace))
            && self.ledger.is_none_or(covers)
            && self.seq.is_none_or(|seq| subject.number("seq") == Some(seq))
            && (self.market.is_none() || markets.iter().any(|id| subject.may_have_member("markets", *id)))
            && self.outcome.is_none_or(|outcome| record.outcome.name() == outcome)
            && self.min_ms.is_none_or(|least| lasted_ms >= least)
            && self.since.is_none_or(|since| moment.wall(record.ended) >= since)
    }
}

/// True if the record belongs to the trace, or links to it.
fn is_of_trace(record: &Record, trace: &str) -> bool {
    trace_hex(record.trace.trace_id()) == trace
        || record.links.spans().iter().any(|span| trace_hex(span.trace_id()) == trace)
        || span_hex(record.trace.span_id()) == trace
}

fn hex(text: &str) -> Result<String, &'static str> {
    let is_hex = matches!(text.len(), 16 | 32) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex { Ok(text.to_ascii_lowercase()) } else { Err("a trace of 32 hex digits, or a span of 16") }
}

fn outcome(text: &str) -> Result<&'static str, &'static str> {
    let names = Outcome::ALL.iter().map(|outcome| outcome.name());
    names
        .into_iter()
        .find(|name| *name == text)
        .ok_or("one of: done, failed, panicked, timed_out, abandoned, refused")
}

#[cfg(test)]
mod tests {
    use actor_tree::{
        clock::SystemClock,
        trace::{record::Links, recorder::Recorder, step::Step, subject::Subject},
    };

    use super::*;
    use crate::steps;

    fn parsed(pairs: &[(&str, &str)]) -> Result<Query, QueryError> {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Query::parse(&pairs)
    }

    #[test]
    fn unknown_repeated_and_wrong_parameters_are_refused() {
        assert_eq!(parsed(&[("actors", "x")]), Err(QueryError::Unknown));
        assert_eq!(parsed(&[("seq", "1"), ("seq", "2")]), Err(QueryError::Twice("seq")));
        for (name, value) in [
            ("seq", "x"),
            ("trade", "1"),
            ("trace", "zz"),
            ("limit", "0"),
            ("limit", "20001"),
            ("outcome", "lost"),
            ("since", "yesterday"),
            ("min_ms", "-"),
            ("min_ms", "NaN"),
            ("min_ms", "inf"),
            ("min_ms", "-1"),
            ("ledger", "-1"),
        ] {
            assert!(matches!(parsed(&[(name, value)]), Err(QueryError::Value { .. })), "{name}={value}");
        }
    }

    #[test]
    fn the_newest_are_chosen_and_the_others_counted() {
        let recorder = Recorder::on(SystemClock::shared());
        for _ in 0..501 {
            Step::begin(&recorder, "one", steps::RENDER, None).done();
        }
        let (records, _) = recorder.records();
        let (chosen, left_out) = Query::default().choose(records.iter().collect());
        assert_eq!((chosen.len(), left_out), (500, 1));
        assert_eq!((chosen[0].number, chosen[499].number), (2, 501));
        let (chosen, left_out) = parsed(&[("limit", "501")]).unwrap().choose(records.iter().collect());
        assert_eq!((chosen.len(), left_out), (501, 0));
    }

    #[test]
    fn a_batch_is_chosen_before_the_publications_that_end_with_it() {
        let recorder = Recorder::on(SystemClock::shared());
        let record = |name, subject| {
            let mut step = Step::begin(&recorder, "one", name, None);
            step.set_subject(subject);
            step.done();
        };
        let batch = Subject::none().with("seq", 44);
        record(steps::TRANSACTION, batch.clone());
        (0..600).for_each(|second| record(steps::PUBLISH, batch.clone().with("as_of", second)));
        let (records, _) = recorder.records();
        let names = |limit| {
            let (chosen, left_out) =
                parsed(&[("seq", "44"), ("limit", limit)]).unwrap().choose(records.iter().collect());
            let steps: Vec<u64> = chosen.iter().map(|record| record.number).collect();
            (steps, left_out)
        };
        assert_eq!(names("3"), (vec![1, 600, 601], 598));
        assert_eq!(names("1"), (vec![1], 600));
    }

    #[test]
    fn a_trace_has_its_own_records_and_those_that_link_to_it() {
        let recorder = Recorder::on(SystemClock::shared());
        let begin = |name| Step::begin(&recorder, "one", name, None);
        let batch = begin(steps::TRANSACTION).done();
        let mut links = Links::default();
        links.add(batch);
        begin(steps::RENDER).with_links(links).done();
        begin(steps::RENDER).done();
        let query = parsed(&[("trace", &trace_hex(batch.trace_id()))]).unwrap();
        let (records, _) = recorder.records();
        let selected = records.iter().filter(|record| query.selects(record, &[], &recorder.moment()));
        assert_eq!(selected.map(|record| record.number).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn every_given_part_must_fit() {
        let recorder = Recorder::on(SystemClock::shared());
        let mut step = Step::begin(&recorder, "aggregator", steps::RENDER, None);
        let subject = Subject::none().with("seq", 7).with("ledger_from", 10).with("ledger_to", 12);
        step.set_subject(subject.with_members("markets", [3]));
        let trace = step.done();
        let (records, _) = recorder.records();
        let hit =
            |pairs: &[(&str, &str)]| parsed(pairs).unwrap().selects(&records[0], &[3], &recorder.moment());
        let of_trace = trace_hex(trace.trace_id());
        assert!(hit(&[]));
        assert!(hit(&[("actor", "aggregator"), ("type", "render"), ("seq", "7"), ("ledger", "12")]));
        assert!(hit(&[("trace", &of_trace), ("market", "XLM_A"), ("outcome", "done"), ("min_ms", "0")]));
        for (name, value) in [
            ("actor", "cleaner"),
            ("type", "publish"),
            ("seq", "8"),
            ("ledger", "13"),
            ("outcome", "failed"),
            ("min_ms", "100000"),
            ("since", "2999-01-01T00:00:00Z"),
            ("trace", "00000000000000000000000000000001"),
        ] {
            assert!(!hit(&[("seq", "7"), (name, value)][usize::from(name == "seq")..]), "{name}={value}");
        }
    }
}
