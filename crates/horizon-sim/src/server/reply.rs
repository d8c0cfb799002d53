//! Problem replies, headers, and the checks before every handler: the rate limit and the faults.

use super::Shared;
use super::body::{ByteFault, faulty, gzip};
use super::limit::RateLimitReply;
use crate::faults::{Endpoint, Fault};
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use serde_json::{Value, json};

/// Request that passed the checks.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) allowance: Option<RateLimitReply>,
    pub(super) fault: Option<Fault>,
}

impl Admission {
    /// Charges the rate limit and takes a fault. An error is the complete reply.
    pub(super) fn check(shared: &Shared, endpoint: Endpoint) -> Result<Self, Box<HttpResponse>> {
        // Files of issuers' hosts, the lake and RPC are not requests to Horizon, although this server serves them.
        let limit = shared
            .limit
            .as_ref()
            .filter(|_| !matches!(endpoint, Endpoint::Toml | Endpoint::Lake | Endpoint::Rpc));
        let allowance = limit.map(super::RateLimit::take);
        let admission = Self { allowance, fault: shared.faults.take(endpoint) };
        let streaming = endpoint == Endpoint::Stream;
        if allowance.is_some_and(|allowance| !allowance.is_granted) {
            return Err(Box::new(admission.rate_limited(streaming)));
        }
        match &admission.fault {
            Some(Fault::Status(429)) => Err(Box::new(admission.rate_limited(streaming))),
            Some(Fault::Status(status)) => Err(Box::new(admission.finish(of_status(*status)))),
            Some(Fault::RetryLater { status, retry_after }) => {
                let mut reply = admission.finish(of_status(*status));
                let value = actix_web::http::header::HeaderValue::from_static(retry_after);
                reply.headers_mut().insert(actix_web::http::header::RETRY_AFTER, value);
                Err(Box::new(reply))
            }
            Some(Fault::StillIngesting) => Err(Box::new(admission.finish(STILL_INGESTING))),
            Some(Fault::HtmlWith200) => Err(Box::new(admission.html(200))),
            Some(Fault::ProxyPage(status)) => Err(Box::new(admission.html(*status))),
            _ => Ok(admission),
        }
    }

    /// Builder of a reply with the headers of this request.
    pub(super) fn reply(&self, status: StatusCode) -> HttpResponseBuilder {
        let mut builder = HttpResponse::build(status);
        let reported = match self.fault {
            Some(Fault::FalseAllowance { remaining, reset_s }) => Some((3_600, remaining, reset_s)),
            _ => self.allowance.map(|real| (real.limit, real.remaining, real.reset_s)),
        };
        if let Some((limit, remaining, reset_s)) = reported {
            builder.insert_header(("X-RateLimit-Limit", limit.to_string()));
            builder.insert_header(("X-RateLimit-Remaining", remaining.to_string()));
            builder.insert_header(("X-RateLimit-Reset", reset_s.to_string()));
        }
        builder
    }

    /// Reply with a body, subject to the byte fault of this request.
    pub(super) fn body(
        &self,
        status: StatusCode,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> HttpResponse {
        let mut builder = self.reply(status);
        builder.content_type(content_type);
        let body = body.into();
        if let Some(fault @ (Fault::Gzip | Fault::TruncatedGzip)) = &self.fault {
            let mut coded = gzip(&body);
            if *fault == Fault::TruncatedGzip {
                coded.truncate(coded.len() / 2);
            }
            return builder.insert_header(("Content-Encoding", "gzip")).body(coded);
        }
        match ByteFault::of(self.fault.as_ref()) {
            None => builder.body(body),
            Some(fault) => builder.streaming(faulty(futures_util::stream::iter([body]), fault)),
        }
    }

    /// Reply with JSON and Horizon's media type.
    pub(super) fn hal(&self, body: impl Into<Bytes>) -> HttpResponse {
        self.body(StatusCode::OK, "application/hal+json; charset=utf-8", body)
    }

    /// Reply with a problem document.
    pub(super) fn finish(&self, problem: Problem) -> HttpResponse {
        let mut body = json!({
            "type": format!("https://stellar.org/horizon-errors/{}", problem.kind),
            "title": problem.title,
            "status": problem.status,
            "detail": problem.detail,
        });
        if let (Some(extras), Some(body)) = (problem.extras, body.as_object_mut()) {
            body.insert("extras".to_owned(), extras);
        }
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self.body(status, "application/problem+json; charset=utf-8", body.to_string())
    }

    fn rate_limited(&self, streaming: bool) -> HttpResponse {
        if streaming {
            // The 429 of a stream has neither the rate limit headers nor Retry-After.
            return Self { allowance: None, fault: None }.finish(of_status(429));
        }
        let seconds = self.allowance.map_or(1, |allowance| allowance.retry_after_s);
        let mut reply = self.finish(of_status(429));
        reply.headers_mut().insert(actix_web::http::header::RETRY_AFTER, seconds.into());
        reply
    }

    fn html(&self, status: u16) -> HttpResponse {
        self.reply(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY))
            .content_type("text/html; charset=utf-8")
            .body("<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>")
    }
}

/// Problem document with Horizon's texts.
#[derive(Debug)]
pub(super) struct Problem {
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: &'static str,
    extras: Option<Value>,
}

const fn problem(kind: &'static str, title: &'static str, status: u16, detail: &'static str) -> Problem {
    Problem { kind, title, status, detail, extras: None }
}

/// Problem of a server that loads its history again.
const STILL_INGESTING: Problem = problem(
    "still_ingesting",
    "Still Ingesting",
    503,
    "Data cannot be presented because it's still being ingested. Please wait for several minutes before trying \
     again.",
);

/// 400, with the name of the invalid parameter.
pub(super) fn bad_request(field: &str, reason: &str) -> Problem {
    let detail = "The request you sent was invalid in some way.";
    let extras = Some(json!({"invalid_field": field, "reason": reason}));
    Problem { extras, ..problem("bad_request", "Bad Request", 400, detail) }
}

/// Problem of a status.
pub(super) fn of_status(status: u16) -> Problem {
    match status {
        404 => {
            problem("not_found", "Resource Missing", 404, "The resource at the url requested was not found.")
        }
        410 => problem(
            "before_history",
            "Data Requested Is Before Recorded History",
            410,
            "This horizon instance only tracks a portion of the network's latest history, and this request \
             asks for results prior to it.",
        ),
        429 => problem(
            "rate_limit_exceeded",
            "Rate Limit Exceeded",
            429,
            "The rate limit for the requesting IP address is over its allotted limit.",
        ),
        502 => problem("bad_gateway", "Bad Gateway", 502, "The server behind this one did not answer."),
        503 => problem("stale_history", "Historical DB Is Too Stale", 503, "Please try again later."),
        504 => problem("timeout", "Timeout", 504, "Your request timed out before completing."),
        other => problem(
            "server_error",
            "Internal Server Error",
            other,
            "An error occurred while processing this request.",
        ),
    }
}
