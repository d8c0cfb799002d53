//! Forms of an answer without a document.

use actix_web::{HttpRequest, HttpResponse};
use ticker_formats::pages::TickerState;

use super::{error::ApiError, pages::responses as page, udf::responses as udf};
use crate::{
    http::{accept, problem},
    published::Vitals,
};

/// Form of an answer that has no document: what the readers of the path understand.
#[derive(Clone, Copy)]
pub(super) enum Form<'a> {
    /// A problem of RFC 9457.
    Problem,
    /// A page for clients that prefer HTML, or else a problem.
    Page(&'a TickerState),
    /// An error of TradingView's protocol.
    Udf,
}

impl Form<'_> {
    /// Answer to a request that gets no document.
    pub(super) fn refusal(self, request: &HttpRequest, error: &ApiError) -> HttpResponse {
        match self {
            Self::Page(ticker) if accept::prefers_html(request) => page::refusal(request, error, ticker),
            Self::Problem | Self::Page(_) => error.response(),
            Self::Udf => udf::refusal(error),
        }
    }

    /// Answer before the first publication.
    pub(super) fn not_yet(self, request: &HttpRequest, vitals: &Vitals) -> HttpResponse {
        match self {
            Self::Page(ticker) if accept::prefers_html(request) => page::before_the_first(request, ticker),
            Self::Problem | Self::Page(_) => problem::not_yet(vitals),
            Self::Udf => udf::not_yet(vitals),
        }
    }
}
