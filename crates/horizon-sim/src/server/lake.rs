//! The lake over HTTP, and the hash of a single ledger.

use super::Shared;
use super::query::Params;
use super::reply::{Admission, of_status};
use crate::faults::Endpoint;
use crate::lake::{LakeError, MissingAnswer};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use chrono::SecondsFormat;
use serde_json::json;

/// Object or manifest of the lake, as plain bytes, or 404.
pub(super) async fn object(key: web::Path<String>, shared: web::Data<Shared>) -> HttpResponse {
    let admission = match Admission::check(&shared, Endpoint::Lake) {
        Ok(admission) => admission,
        Err(reply) => return *reply,
    };
    if shared.lake.is_gone() {
        return admission.finish(of_status(404));
    }
    if *key == ".config.json" {
        return admission.body(StatusCode::OK, "application/json", shared.lake.manifest());
    }
    // Encoding takes milliseconds, and much longer when the ledgers before were never wanted.
    let lake = shared.lake.clone();
    match on_a_thread(move || lake.object(&key)).await {
        Some(Some(object)) => admission.body(StatusCode::OK, "application/octet-stream", object),
        Some(None) => match shared.lake.missing_answer() {
            MissingAnswer::NotFound => admission.finish(of_status(404)),
            MissingAnswer::Forbidden => admission.finish(of_status(403)),
            MissingAnswer::Page => {
                admission.body(StatusCode::OK, "text/html", "<html>Nothing is here.</html>")
            }
        },
        None => admission.finish(of_status(500)),
    }
}

/// Listing of the lake, as S3 gives it.
pub(super) async fn listing(request: HttpRequest, shared: web::Data<Shared>) -> HttpResponse {
    let admission = match Admission::check(&shared, Endpoint::Lake) {
        Ok(admission) => admission,
        Err(reply) => return *reply,
    };
    if shared.lake.missing_answer() == MissingAnswer::Forbidden {
        return admission.finish(of_status(403)); // the bucket may not be listed
    }
    let params = Params::of(&request);
    let prefix = params.get("prefix").unwrap_or_default();
    admission.body(StatusCode::OK, "application/xml", shared.lake.listing(prefix))
}

/// Ledger as Horizon describes it, with the hash that it has in the lake.
pub(super) async fn ledger(sequence: web::Path<u32>, shared: web::Data<Shared>) -> HttpResponse {
    let admission = match Admission::check(&shared, Endpoint::Ledgers) {
        Ok(admission) => admission,
        Err(reply) => return *reply,
    };
    let (sequence, head) = (*sequence, shared.sim.head());
    if !(head.elder..=head.latest).contains(&sequence) {
        return admission.finish(of_status(if sequence < head.elder { 410 } else { 404 }));
    }
    if shared.faults.hole().is_some_and(|hole| hole.contains(&sequence)) {
        return admission.finish(of_status(404));
    }
    let chain = shared.lake.chain().clone();
    let Some(hash) = on_a_thread(move || chain.hash(sequence)).await else {
        return admission.finish(of_status(500));
    };
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let closed_at = shared.sim.closed_at(sequence).to_rfc3339_opts(SecondsFormat::Secs, true);
    let token = (u64::from(sequence) << 32).to_string();
    let body = json!({"id": hash, "hash": hash, "paging_token": token, "sequence": sequence, "closed_at": closed_at});
    admission.hal(body.to_string())
}

/// Runs slow work on a thread of its own. `None` if it fails.
#[expect(clippy::disallowed_methods, reason = "the simulation does not use the program's threads")]
pub(super) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LakeError> + Send + 'static,
) -> Option<T> {
    web::block(work).await.ok()?.ok()
}
