//! `/trace.json`, `/flow.json` and `/trace/stream`: recorded messages and steps.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use actor_tree::trace::{
    record::Record,
    recorder::{Moment, Recorder},
    view::RecordView,
};
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::broadcast::{self, error::RecvError};

use super::AdminState;
use crate::{
    db::origin::TradeOrigin,
    domain::cursor::PagingToken,
    http::{
        api, event_stream,
        problem::{fresh_json, problem},
    },
    traces::{
        journey::{Journey, StoredRow},
        query::Query,
    },
};

/// Time limit for the database. Without its answer, only recorded messages are shown.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);
/// Parameters that only fit records of the past.
const OF_RECORDED: [&str; 2] = ["trade", "limit"];
/// Interval between two signs of life of a quiet stream.
const HEARTBEAT: Duration = Duration::from_secs(10);

pub(super) async fn trace_json(request: HttpRequest, state: web::Data<AdminState>) -> HttpResponse {
    let pairs = match pairs(&request) {
        Ok(pairs) => pairs,
        Err(reason) => return problem(StatusCode::BAD_REQUEST, &reason),
    };
    match answer(&pairs.iter().collect::<Vec<_>>(), &state).await {
        Ok(answer) => fresh_json(StatusCode::OK, answer.to_json()),
        Err(refused) => refused,
    }
}

pub(super) async fn flow_json(state: web::Data<AdminState>) -> HttpResponse {
    let uptime_s = state.recorder.uptime().as_secs();
    fresh_json(
        StatusCode::OK,
        json!({"recording": state.recorder.is_on(), "uptime_s": uptime_s, "edges": state.recorder.flow_view()}),
    )
}

/// Answer of `/trace.json`.
pub(super) struct TraceAnswer {
    /// Time of the answer.
    pub(super) now: DateTime<Utc>,
    /// False if the daemon records nothing.
    pub(super) is_recorded: bool,
    /// Selected records, the oldest first.
    pub(super) records: Vec<RecordView>,
    /// Number of the selected records that are left out, because the answer has a limit.
    pub(super) left_out: usize,
    /// Records in the ring.
    pub(super) kept: usize,
    /// Records that were dropped from the ring since the start.
    pub(super) dropped: u64,
    /// With `trade=`: its way, and what the database has of it.
    pub(super) trade: Option<(Journey, Option<TradeOrigin>)>,
}

impl TraceAnswer {
    fn to_json(&self) -> Value {
        let mut answer = json!({
            "now": self.now.to_rfc3339_opts(SecondsFormat::Micros, true),
            "recording": self.is_recorded,
            "records": self.records,
            "left_out": self.left_out,
            "kept": self.kept,
            "dropped": self.dropped,
        });
        if let (Some((journey, origin)), Some(fields)) = (&self.trade, answer.as_object_mut()) {
            fields.insert("total_ms".into(), json!(journey.total_ms()));
            fields.insert("parts".into(), json!(journey.parts));
            fields.insert("database".into(), json!(origin));
        }
        answer
    }
}

/// Selects what these parameters ask for.
pub(super) async fn answer(
    pairs: &[&(String, String)],
    state: &AdminState,
) -> Result<TraceAnswer, HttpResponse> {
    let (query, markets) = question(pairs, state).await?;
    let (records, dropped) = state.recorder.records();
    let (moment, is_recorded, kept) = (state.recorder.moment(), state.recorder.is_on(), records.len());
    let now = moment.now();
    let selects = |record: &&Arc<Record>| query.selects(record, &markets, &moment);
    let Some(token) = query.trade else {
        let (chosen, left_out) = query.choose(records.iter().filter(selects).collect());
        let records = chosen.iter().map(|record| record.view(&moment)).collect();
        return Ok(TraceAnswer { now, is_recorded, records, left_out, kept, dropped, trade: None });
    };
    let asked = tokio::time::timeout(DATABASE_TIMEOUT, state.database.trade_origin(token)).await;
    let origin = asked.ok().and_then(Result::ok);
    let views: Vec<RecordView> = records.iter().map(|record| record.view(&moment)).collect();
    let journey = way(&views, token, origin.as_ref());
    let chosen: Vec<u64> = records.iter().filter(selects).map(|record| record.number).collect();
    let mut shown = journey.records.clone();
    shown.retain(|record| chosen.contains(&record.number));
    let left_out = shown.len().saturating_sub(query.limit);
    shown.drain(..left_out);
    Ok(TraceAnswer {
        now,
        is_recorded,
        records: shown,
        left_out,
        kept,
        dropped,
        trade: Some((journey, origin)),
    })
}

/// The way of a trade. A refused trade lies in the range of a batch that does not have it.
fn way(records: &[RecordView], token: PagingToken, origin: Option<&TradeOrigin>) -> Journey {
    match origin.map(|origin| &origin.stored) {
        Some(None) => Journey::of_unstored(records, token),
        None => Journey::find(records, token, None),
        Some(Some(row)) => {
            let row = StoredRow { market: row.market.into(), closed_at: row.ledger_close_time };
            Journey::find(records, token, Some(row))
        }
    }
}

/// Parameters of a request, or why they cannot be read.
pub(super) fn pairs(request: &HttpRequest) -> Result<Vec<(String, String)>, String> {
    web::Query::from_query(request.query_string())
        .map(web::Query::into_inner)
        .map_err(|error| error.to_string())
}

/// Reads the query, and the ids of the market that it names.
async fn question(
    pairs: &[&(String, String)],
    state: &AdminState,
) -> Result<(Query, Vec<i64>), HttpResponse> {
    let query = Query::parse(pairs.iter().copied())
        .map_err(|error| problem(StatusCode::BAD_REQUEST, &error.to_string()))?;
    let markets = match &query.market {
        None => Vec::new(),
        Some(name) => vec![api::market_id(&state.published, &state.views, name).await?],
    };
    Ok((query, markets))
}

/// Server-sent events: each record as it ends, and `lost` with a count if the reader is too slow.
pub(super) async fn trace_stream(request: HttpRequest, state: web::Data<AdminState>) -> HttpResponse {
    let asked = async {
        let pairs = pairs(&request).map_err(|reason| problem(StatusCode::BAD_REQUEST, &reason))?;
        if let Some((name, _)) = pairs.iter().find(|(name, _)| OF_RECORDED.contains(&name.as_str())) {
            let reason = format!("the stream takes no {name}: it shows records as they end");
            return Err(problem(StatusCode::BAD_REQUEST, &reason));
        }
        question(&pairs.iter().collect::<Vec<_>>(), &state).await
    };
    let (query, markets) = match asked.await {
        Ok(question) => question,
        Err(refused) => return refused,
    };
    let reader =
        Reader { records: state.recorder.listen(), recorder: Arc::clone(&state.recorder), query, markets };
    let events = stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((event, reader))
    });
    event_stream::answer(&request, events)
}

/// A reader of the stream.
struct Reader {
    records: broadcast::Receiver<Arc<Record>>,
    recorder: Arc<Recorder>,
    query: Query,
    markets: Vec<i64>,
}

impl Reader {
    /// Waits for the next event. Returns none at the end of the process.
    async fn next(&mut self) -> Option<Bytes> {
        // Records outside the filter do not delay the sign of life.
        let heartbeat_at = tokio::time::Instant::now() + HEARTBEAT;
        loop {
            let moment = self.recorder.moment();
            match tokio::time::timeout_at(heartbeat_at, self.records.recv()).await {
                Err(_) => return Some(Bytes::from_static(b": nothing new\n\n")),
                Ok(Err(RecvError::Closed)) => return None,
                Ok(Err(RecvError::Lagged(lost))) => {
                    return Some(Bytes::from(format!("event: lost\ndata: {{\"lost\":{lost}}}\n\n")));
                }
                Ok(Ok(record)) if self.query.selects(&record, &self.markets, &moment) => {
                    return Some(event(&record, &self.recorder.moment()));
                }
                Ok(Ok(_)) => {}
            }
        }
    }
}

fn event(record: &Record, moment: &Moment) -> Bytes {
    let data = serde_json::to_string(&record.view(moment)).unwrap_or_default();
    Bytes::from(format!("id: {}\nevent: record\ndata: {data}\n\n", record.number))
}

#[cfg(test)]
mod tests {
    use actor_tree::{
        clock::SystemClock,
        trace::{
            recorder::LISTENER_RECORDS_MAX,
            step::{Step, StepName},
        },
    };

    use super::*;

    #[tokio::test]
    async fn a_reader_that_is_too_slow_learns_how_many_records_it_lost() {
        let recorder = Recorder::on(SystemClock::shared());
        let (records, query) = (recorder.listen(), Query::default());
        let mut reader = Reader { records, recorder: Arc::clone(&recorder), query, markets: Vec::new() };
        for _ in 0..LISTENER_RECORDS_MAX + 5 {
            Step::begin(&recorder, "aggregator", StepName("work"), None).done();
        }
        assert_eq!(reader.next().await.unwrap(), "event: lost\ndata: {\"lost\":5}\n\n");
        assert!(reader.next().await.unwrap().starts_with(b"id: 6\n"), "the oldest one that is left");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_whose_filter_fits_nothing_shows_that_it_lives() {
        let recorder = Recorder::on(SystemClock::shared());
        let query = Query { actor: Some("cleaner".into()), ..Query::default() };
        let (records, markets) = (recorder.listen(), Vec::new());
        let mut reader = Reader { records, recorder: Arc::clone(&recorder), query, markets };
        let busy = async {
            loop {
                tokio::time::sleep(HEARTBEAT / 2).await;
                Step::begin(&recorder, "aggregator", StepName("work"), None).done();
            }
        };
        let event = tokio::select! {
            event = reader.next() => event,
            () = busy => None,
            () = tokio::time::sleep(HEARTBEAT * 10) => None,
        };
        assert!(event.is_some_and(|event| event.starts_with(b":")));
    }
}
