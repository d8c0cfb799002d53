//! Stellar RPC: the methods by which ledgers are read.

use super::Shared;
use super::reply::{Admission, of_status};
use crate::faults::Endpoint;
use crate::lake::LakeError;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// Most ledgers of one reply.
const LIMIT_MAX: u64 = 200;
/// Ledgers of a reply without a limit.
const LIMIT_DEFAULT: u64 = 50;
/// JSON-RPC's code for parameters that are not valid, such as a ledger that the server does not have.
const INVALID_PARAMS: i64 = -32_602;
const NO_METHOD: i64 = -32_601;

/// Error of a call: code and message.
type Failure = (i64, String);

pub(super) async fn rpc(call: web::Json<Value>, shared: web::Data<Shared>) -> HttpResponse {
    let admission = match Admission::check(&shared, Endpoint::Rpc) {
        Ok(admission) => admission,
        Err(reply) => return *reply,
    };
    let answering = shared.clone();
    let id = call.get("id").cloned().unwrap_or_default();
    let Some(answer) = super::lake::on_a_thread(move || answer(&answering, &call)).await else {
        return admission.finish(of_status(500));
    };
    let reply = match answer {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err((code, message)) => {
            json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
        }
    };
    admission.body(StatusCode::OK, "application/json", reply.to_string())
}

fn answer(shared: &Shared, call: &Value) -> Result<Result<Value, Failure>, LakeError> {
    let lake = &shared.lake;
    let (oldest, latest) = (lake.chain().first(), lake.newest());
    Ok(match call.get("method").and_then(Value::as_str).unwrap_or_default() {
        "getNetwork" => Ok(json!({"passphrase": lake.passphrase(), "protocolVersion": 23})),
        "getHealth" => Ok(json!({
            "status": "healthy",
            "latestLedger": lake.claimed_newest(),
            "oldestLedger": oldest,
            "ledgerRetentionWindow": latest.saturating_sub(oldest) + 1,
        })),
        "getLatestLedger" => Ok(json!({"sequence": latest, "protocolVersion": 23})),
        "getLedgers" => return ledgers(shared, call, oldest, latest),
        other => Err((NO_METHOD, format!("method {other:?} not found"))),
    })
}

fn ledgers(
    shared: &Shared,
    call: &Value,
    oldest: u32,
    latest: u32,
) -> Result<Result<Value, Failure>, LakeError> {
    let params = call.get("params").cloned().unwrap_or_default();
    let pagination = params.get("pagination").cloned().unwrap_or_default();
    let limit = pagination.get("limit").and_then(Value::as_u64).unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    let cursor = pagination.get("cursor").and_then(Value::as_str).and_then(|cursor| cursor.parse().ok());
    let start = params.get("startLedger").and_then(Value::as_u64).and_then(|start| u32::try_from(start).ok());
    let start = cursor.map(|cursor: u32| cursor.saturating_add(1)).or(start).unwrap_or_default();
    if !(oldest..=latest).contains(&start) {
        let message = format!(
            "start ledger ({start}) must be between the oldest ledger: {oldest} and the latest ledger: {latest} for this rpc instance"
        );
        return Ok(Err((INVALID_PARAMS, message)));
    }
    let last = start.saturating_add(u32::try_from(limit).unwrap_or(u32::MAX) - 1).min(latest);
    let mut records = Vec::new();
    for sequence in start..=last {
        let Some(ledger) = shared.lake.ledger(sequence)? else { break };
        let hash: String = ledger.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        records.push(json!({
            "hash": hash,
            "sequence": sequence,
            "ledgerCloseTime": shared.sim.closed_at(sequence).timestamp().to_string(),
            "headerXdr": STANDARD.encode(&ledger.header_xdr),
            "metadataXdr": STANDARD.encode(&ledger.xdr),
        }));
    }
    Ok(Ok(json!({
        "ledgers": records,
        "latestLedger": latest,
        "oldestLedger": oldest,
        "cursor": last.to_string(),
    })))
}
