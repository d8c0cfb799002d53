//! `/api/v1/books`: the age of each market's order book.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};
use ticker_formats::listings::ListingView;

use super::{
    Asked, Form, ViewKind, answer,
    look::{Look, send_made},
    moment_view::Cache,
};
use crate::{
    domain::{asset::Asset, instant::UnixSeconds, listed_asset::ListedAsset, market::Market},
    http::{requests, state::PublicState},
    published::{Document, ListedMoment},
};

const PATH: &str = "/api/v1/books";
/// Number of books in the answer, the oldest ones. With 10,000 markets a complete answer would be a megabyte per
/// second.
const BOOKS_MAX: usize = 1_000;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    requests::route(config, PATH, book_ages);
}

async fn book_ages(request: HttpRequest, state: web::Data<PublicState>) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Live, async |Asked { request, view, .. }| {
        let encode = |moment: &ListedMoment| Document::with_brotli(&render(moment.view()));
        let file = view.made(Cache::Whole, PATH.to_owned(), encode).await?;
        Ok(send_made(request, view, &file, Look::Json))
    })
    .await
}

/// Renders the books, the oldest first. Ages are relative to the view's `as_of`.
fn render(view: &ListingView) -> Vec<u8> {
    let (times, as_of) = (view.snapshot().book_times(), view.as_of());
    let books = times.iter().filter_map(|(base, counter, fetched_at)| {
        let (market, _) = Market::of(asset(base)?, asset(counter)?)?;
        Some(book(&market.name(), *fetched_at, as_of))
    });
    document(as_of, times.len(), books.take(BOOKS_MAX).collect()).to_string().into_bytes()
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
pub(in crate::http) fn example() -> Value {
    document(UnixSeconds(2), 1, vec![book("XLM_A", UnixSeconds(1), UnixSeconds(2))])
}

fn asset(listed: &ListedAsset) -> Option<Asset> {
    match listed.issuer() {
        "native" => Some(Asset::Native),
        issuer => format!("{}:{issuer}", listed.code()).parse().ok(),
    }
}
