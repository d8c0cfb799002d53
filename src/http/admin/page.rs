//! The frame of the admin listener's pages: its headers, and figures and times as pages show them.

use actix_web::{HttpResponse, http::header};
use askama::Template;
use chrono::{DateTime, SecondsFormat, Utc};

use crate::http::page_guard::{PAGE_POLICY, guard};

/// Width of a bar, in units of its picture.
pub(super) const BAR: f64 = 100.0;

/// Returns the answer with a page.
pub(super) fn html(page: &impl Template) -> HttpResponse {
    // Rendering into memory does not fail.
    let body = page.render().unwrap_or_default();
    let mut response = HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(body);
    guard(response.headers_mut(), PAGE_POLICY);
    response
}

/// Returns a figure without decimals from 100 on, else with two.
pub(super) fn short(figure: f64) -> String {
    if figure >= 100.0 { format!("{figure:.0}") } else { format!("{figure:.2}") }
}

/// Returns a time with milliseconds.
pub(super) fn shown(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
