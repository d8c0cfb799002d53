//! `/trades`: pages, and the start of a stream.

use super::Shared;
use super::body::{ByteFault, faulty};
use super::query::Params;
use super::record::{malformed, push_record};
use super::reply::{Admission, of_status};
use super::stream::EventStream;
use crate::faults::{Endpoint, Fault, arrange, lacked_ledgers};
use crate::model::TradeId;
use crate::simulation::TradeQuery;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt;
use std::io;

pub(super) async fn trades(request: HttpRequest, shared: web::Data<Shared>) -> HttpResponse {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let streaming = header("accept").is_some_and(|accept| accept.contains("text/event-stream"));
    let endpoint = if streaming { Endpoint::Stream } else { Endpoint::Trades };
    let admission = match Admission::check(&shared, endpoint) {
        Ok(admission) => admission,
        Err(reply) => return *reply,
    };
    let params = Params::of(&request);
    let head = shared.sim.head();
    let last_event_id = header("last-event-id").filter(|_| streaming);
    let query = match params.trades(last_event_id, head) {
        Ok(query) => query,
        Err(problem) => return admission.finish(problem),
    };
    if streaming {
        let fault = admission.fault.clone();
        let events = EventStream::new(shared.into_inner(), query, params.origin, fault).into_stream();
        let mut reply = admission.reply(StatusCode::OK);
        reply.content_type("text/event-stream; charset=utf-8").insert_header(("Cache-Control", "no-cache"));
        return match ByteFault::of(admission.fault.as_ref()) {
            Some(fault) => reply.streaming(faulty(events, fault)),
            None => reply.streaming(events.map(Ok::<_, io::Error>)),
        };
    }
    let hidden = shared.faults.hidden_below(query.descending);
    let query = hidden.filter(|_| !query.descending).map_or(query, |below| query.not_below(below));
    let head = head.less(lacked_ledgers(admission.fault.as_ref()));
    let batch = shared.sim.batch_without(query, head, &params.origin, shared.faults.hole());
    let is_broken = |id: TradeId| shared.faults.is_broken(id.ledger());
    if query.descending && (0..batch.len()).filter_map(|index| batch.id(index)).any(is_broken) {
        return admission.finish(of_status(500));
    }
    let shown = hidden.map_or(batch.len(), |below| batch.shown(below));
    let ends = batch.id(0).zip(batch.id(shown.saturating_sub(1))).filter(|_| shown > 0);
    let ends = ends.map(|(first, last)| (first.to_string(), last.to_string()));
    let links = params.links(ends, query.limit, query.descending);
    let mut body = format!(r#"{{"_links":{links},"_embedded":{{"records":["#).into_bytes();
    let false_position = match admission.fault {
        Some(Fault::FalsePosition { ledgers }) => batch.id(0).map(|id| id.ledger().saturating_sub(ledgers)),
        _ => None,
    };
    let shown = if false_position.is_some() { shown.min(1) } else { shown };
    let stray = match admission.fault {
        Some(Fault::Stray { ledgers }) if query.descending && shown > 0 => batch.id(0).map(|first| {
            let after = TradeId::before_ledger(first.ledger().saturating_sub(ledgers));
            shared.sim.batch(TradeQuery { after, limit: 1, descending: true }, head, &params.origin)
        }),
        _ => None,
    };
    for (place, item) in arrange(admission.fault.as_ref(), shown).into_iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        push_record(&mut body, &batch, item);
        if let Some((_, record)) =
            stray.as_ref().filter(|_| place == shown / 2).and_then(|stray| stray.get(0))
        {
            body.push(b',');
            body.extend_from_slice(record);
        }
    }
    if let Some(ledger) = false_position.filter(|_| shown > 0) {
        body.push(b',');
        let position = TradeId { order: 0, ..TradeId::before_ledger(ledger) };
        body.extend_from_slice(malformed(&position.to_string()).as_bytes());
    }
    body.extend_from_slice(b"]}}");
    admission.hal(body)
}
