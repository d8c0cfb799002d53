//! Smaller endpoints.

use super::Shared;
use super::query::Params;
use super::reply::{Admission, Problem, bad_request, of_status};
use crate::faults::{Endpoint, invented_ledgers, lacked_ledgers};
use crate::simulation::{AssetQuery, Book, Head};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::SecondsFormat;
use serde_json::{Value, json};
use std::sync::PoisonError;

/// Default number of levels per side of a book.
const LEVELS_DEFAULT: usize = 20;

/// Replies with JSON or a problem, subject to the rate limit and the faults.
fn answer(
    shared: &Shared,
    endpoint: Endpoint,
    body: impl FnOnce() -> Result<String, Problem>,
) -> HttpResponse {
    match Admission::check(shared, endpoint) {
        Err(reply) => *reply,
        Ok(admission) => match body() {
            Ok(body) => admission.hal(body),
            Err(problem) => admission.finish(problem),
        },
    }
}

pub(super) async fn root(request: HttpRequest, shared: web::Data<Shared>) -> HttpResponse {
    let admission = match Admission::check(&shared, Endpoint::Root) {
        Ok(admission) => admission,
        Err(reply) => return *reply,
    };
    let newest = shared.sim.head();
    let Head { elder, latest, .. } = newest.less(lacked_ledgers(admission.fault.as_ref()));
    let closed_at = if latest == newest.latest { newest.closed_at } else { shared.sim.closed_at(latest) };
    let latest = latest.saturating_add(invented_ledgers(admission.fault.as_ref()));
    let body = json!({
        "_links": {"self": {"href": format!("{}/", Params::of(&request).origin)}},
        "horizon_version": "23.0.0-simulated",
        "core_version": "stellar-core 23.0.0 (simulated)",
        "ingest_latest_ledger": latest,
        "history_latest_ledger": latest,
        "history_latest_ledger_closed_at": closed_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        "history_elder_ledger": elder,
        // The core closes a ledger before Horizon has ingested it.
        "core_latest_ledger": latest.saturating_add(1),
        "network_passphrase": *shared.passphrase.read().unwrap_or_else(PoisonError::into_inner),
        "current_protocol_version": 23,
        "supported_protocol_version": 23,
        "core_supported_protocol_version": 23,
    });
    admission.hal(body.to_string())
}

pub(super) async fn assets(request: HttpRequest, shared: web::Data<Shared>) -> HttpResponse {
    let params = Params::of(&request);
    let (faults, is_list) = (&shared.faults, params.get("asset_code").is_none());
    let has_own_fault = is_list && faults.pending(Endpoint::AssetLists) > 0;
    let endpoint = if has_own_fault { Endpoint::AssetLists } else { Endpoint::Assets };
    answer(&shared, endpoint, || {
        let query = asset_query(&params)?;
        if is_list && faults.is_long_asset_list(query.limit) {
            return Err(of_status(504));
        }
        let mut records = if faults.hides_assets() { Vec::new() } else { shared.sim.assets(&query) };
        if is_list && records.is_empty() && faults.lists_in_a_circle() {
            records = shared.sim.assets(&AssetQuery { after: None, ..query.clone() });
        }
        Ok(page(&params, records, query.limit, query.descending))
    })
}

fn asset_query(params: &Params) -> Result<AssetQuery, Problem> {
    let cursor = |token| {
        crate::asset_cursor::parse(token).ok_or_else(|| bad_request("cursor", "cursor: invalid value"))
    };
    Ok(AssetQuery {
        code: params.get("asset_code").map(str::to_owned),
        issuer: params.get("asset_issuer").map(str::to_owned),
        after: params.get("cursor").map(cursor).transpose()?,
        descending: params.descending()?,
        limit: params.limit()?,
    })
}

fn page(params: &Params, records: Vec<(String, Value)>, limit: usize, descending: bool) -> String {
    let ends = records.first().zip(records.last()).map(|(first, last)| (first.0.clone(), last.0.clone()));
    let links = params.links(ends, limit, descending);
    let records = Value::Array(records.into_iter().map(|record| record.1).collect());
    format!(r#"{{"_links":{links},"_embedded":{{"records":{records}}}}}"#)
}

pub(super) async fn order_book(request: HttpRequest, shared: web::Data<Shared>) -> HttpResponse {
    answer(&shared, Endpoint::OrderBook, || {
        let params = Params::of(&request);
        let limit = params.limit_or(LEVELS_DEFAULT)?;
        let (selling, buying) = (asset_param(&params, "selling")?, asset_param(&params, "buying")?);
        let body = match shared.sim.book(&selling.0, &buying.0, limit) {
            Book::Whole(book) => book,
            Book::Sides { bids, asks } => {
                json!({"bids": bids, "asks": asks, "base": selling.1, "counter": buying.1})
            }
        };
        Ok(body.to_string())
    })
}

/// Asset of a pair: its key, and its JSON in the reply.
fn asset_param(params: &Params, side: &str) -> Result<(String, Value), Problem> {
    let field = |name: &str| {
        let name = format!("{side}_asset_{name}");
        let value = params.get(&name).map(str::to_owned);
        value.ok_or_else(|| bad_request(&name, "missing required field"))
    };
    let kind = field("type")?;
    match kind.as_str() {
        "native" => Ok(("native".to_owned(), json!({"asset_type": "native"}))),
        "credit_alphanum4" | "credit_alphanum12" => {
            let (code, issuer) = (field("code")?, field("issuer")?);
            let key = format!("{code}:{issuer}");
            Ok((key, json!({"asset_type": kind, "asset_code": code, "asset_issuer": issuer})))
        }
        _ => Err(bad_request(&format!("{side}_asset_type"), "invalid asset type")),
    }
}

pub(super) async fn toml(domain: web::Path<String>, shared: web::Data<Shared>) -> HttpResponse {
    let admission = match Admission::check(&shared, Endpoint::Toml) {
        Ok(admission) => admission,
        Err(reply) => return *reply,
    };
    match shared.sim.toml(&domain) {
        Some(file) => {
            let status = StatusCode::from_u16(file.status).unwrap_or(StatusCode::OK);
            admission.body(status, "text/plain; charset=utf-8", file.body)
        }
        None => admission.finish(of_status(404)),
    }
}

pub(super) async fn not_found() -> HttpResponse {
    Admission { allowance: None, fault: None }.finish(of_status(404))
}
