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
    let times = view.snapshot().book_times();
    let books = times.iter().filter_map(|(base, counter, fetched_at)| {
        let (market, _) = Market::of(asset(base)?, asset(counter)?)?;
        Some((market.name(), *fetched_at))
    });
    document(view.as_of(), times.len(), books).to_string().into_bytes()
}

/// Returns the answer with the first [`BOOKS_MAX`] books. They must be in order, the oldest first.
fn document(as_of: UnixSeconds, total: usize, books: impl Iterator<Item = (String, UnixSeconds)>) -> Value {
    let book = |(market, fetched_at): (String, UnixSeconds)| {
        json!({
            "market": market,
            "fetched_at": fetched_at.to_rfc3339(),
            "age_s": as_of.0.saturating_sub(fetched_at.0),
        })
    };
    let books: Vec<Value> = books.take(BOOKS_MAX).map(book).collect();
    json!({"as_of": as_of.to_rfc3339(), "total": total, "books": books})
}

/// Returns an answer with one book.
#[cfg(test)]
pub(in crate::http) fn example() -> Value {
    document(UnixSeconds(2), 1, std::iter::once(("XLM_A".to_owned(), UnixSeconds(1))))
}

fn asset(listed: &ListedAsset) -> Option<Asset> {
    match listed.issuer() {
        "native" => Some(Asset::Native),
        issuer => format!("{}:{issuer}", listed.code()).parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_more_than_a_thousand_books_the_oldest_are_listed_and_all_are_counted() {
        let times: Vec<i64> = (1..=1_001).collect();
        let books = times.iter().map(|second| (format!("XLM_A{second}"), UnixSeconds(*second)));
        let answer = document(UnixSeconds(2_000), times.len(), books);
        assert_eq!(answer["total"], 1_001);
        let listed = answer["books"].as_array().unwrap();
        assert_eq!(listed.len(), 1_000);
        assert_eq!((&listed[0]["market"], &listed[0]["age_s"]), (&json!("XLM_A1"), &json!(1_999)));
        assert_eq!(listed[999]["market"], "XLM_A1000", "only the newest is left out");
    }
}
