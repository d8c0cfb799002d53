//! `/api/v1/books`: how old the order book of each market is.

use actix_web::{HttpResponse, http::header};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    domain::{asset::Asset, instant::Second, listed_asset::ListedAsset, market::Market},
    published::Publication,
};

/// The answer, made once a publication.
pub(super) fn books(newest: &Publication) -> HttpResponse {
    let body = newest.book_ages.get_or_init(|| render(newest)).clone();
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "public, max-age=1"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(body)
}

/// The oldest first; ages are those at the publication's second.
fn render(newest: &Publication) -> Bytes {
    let times = newest.board.book_times();
    let books = times.iter().filter_map(|(base, counter, fetched_at)| {
        let (market, _) = Market::of(asset(base)?, asset(counter)?)?;
        Some(book(&market.name(), *fetched_at, newest.as_of))
    });
    document(newest.as_of, books.collect()).to_string().into()
}

fn document(as_of: Second, books: Vec<Value>) -> Value {
    json!({"as_of": as_of.to_rfc3339(), "books": books})
}

fn book(market: &str, fetched_at: Second, as_of: Second) -> Value {
    json!({
        "market": market,
        "fetched_at": fetched_at.to_rfc3339(),
        "age_s": as_of.0.saturating_sub(fetched_at.0),
    })
}

/// An answer with one book.
#[cfg(test)]
pub(super) fn example() -> Value {
    document(Second(2), vec![book("XLM_A", Second(1), Second(2))])
}

fn asset(listed: &ListedAsset) -> Option<Asset> {
    match listed.issuer() {
        "native" => Some(Asset::Native),
        issuer => format!("{}:{issuer}", listed.code()).parse().ok(),
    }
}
