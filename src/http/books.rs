//! `/api/v1/books`: the age of each market's order book.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use serde_json::{Value, json};

use super::{files, labels::Labels, problem::problem};
use crate::{
    domain::{asset::Asset, instant::UnixSeconds, listed_asset::ListedAsset, market::Market},
    published::{Document, Publication},
};

/// Number of books in the answer, the oldest ones. With 10,000 markets a complete answer would be a megabyte per
/// second.
const BOOKS_MAX: usize = 1_000;

/// Returns the answer. It is rendered and compressed once per publication.
pub(super) fn books(request: &HttpRequest, newest: &Publication) -> HttpResponse {
    let made = newest.book_ages.get_or_init(|| Document::with_brotli(&render(newest)).ok());
    let Some(file) = made else {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "the ages of the books could not be compressed");
    };
    files::send(request, file, Labels::of(newest.seq, newest.as_of), "Accept-Encoding")
}

/// Renders the books, the oldest first. Ages are relative to the publication's `as_of`.
fn render(newest: &Publication) -> Vec<u8> {
    let times = newest.snapshot.book_times();
    let books = times.iter().filter_map(|(base, counter, fetched_at)| {
        let (market, _) = Market::of(asset(base)?, asset(counter)?)?;
        Some(book(&market.name(), *fetched_at, newest.as_of))
    });
    document(newest.as_of, times.len(), books.take(BOOKS_MAX).collect()).to_string().into_bytes()
}

fn document(as_of: UnixSeconds, total: usize, books: Vec<Value>) -> Value {
    json!({"as_of": as_of.to_rfc3339(), "total": total, "books": books})
}

fn book(market: &str, fetched_at: UnixSeconds, as_of: UnixSeconds) -> Value {
    json!({
        "market": market,
        "fetched_at": fetched_at.to_rfc3339(),
        "age_s": as_of.0.saturating_sub(fetched_at.0),
    })
}

/// Returns an answer with one book.
#[cfg(test)]
pub(super) fn example() -> Value {
    document(UnixSeconds(2), 1, vec![book("XLM_A", UnixSeconds(1), UnixSeconds(2))])
}

fn asset(listed: &ListedAsset) -> Option<Asset> {
    match listed.issuer() {
        "native" => Some(Asset::Native),
        issuer => format!("{}:{issuer}", listed.code()).parse().ok(),
    }
}
