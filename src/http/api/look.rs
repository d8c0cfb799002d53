//! Documents of a view as answers: for programs, or as pages for people.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};

use super::moment_view::{Cache, MomentView};
use crate::{
    domain::instant::UnixSeconds,
    http::{
        files::{self, FileHeaders},
        labels::Labels,
        page_guard::{PAGE_POLICY, guard},
    },
    published::Document,
};

/// Media type of a page.
pub(super) const HTML: &str = "text/html; charset=utf-8";
/// `Vary` of a page. Errors and, at `/`, the page itself depend on `Accept`.
pub(super) const PAGE_VARY: &str = "Accept, Accept-Encoding";

/// Look of a document.
#[derive(Clone, Copy, Debug)]
pub(super) enum Look {
    /// JSON that web pages of any host may read.
    Json,
    /// A page that shows this time.
    Page {
        /// Time that the page compares its figures with.
        now: UnixSeconds,
    },
    /// The page with the list of all markets, without a selection.
    List {
        /// Time that the page compares its figures with.
        now: UnixSeconds,
    },
}

impl Look {
    /// Cache of such documents. Not for documents of all markets, which have one of their own.
    pub(super) const fn cache(self) -> Cache {
        match self {
            Self::Json => Cache::Answers,
            Self::Page { now } => Cache::Pages(now),
            Self::List { now } => Cache::List(now),
        }
    }
}

/// Sends the document with this key, if the view has it already. Then nothing needs to be read for it.
pub(super) fn made_already(
    request: &HttpRequest,
    view: &MomentView,
    key: &str,
    look: Look,
) -> Option<HttpResponse> {
    view.made_already(look.cache(), key).map(|file| send_made(request, view, &file, look))
}

/// Sends a document of a view.
pub(super) fn send_made(
    request: &HttpRequest,
    view: &MomentView,
    file: &Document,
    look: Look,
) -> HttpResponse {
    let labels = Labels::of(view.listing().seq(), view.listing().as_of());
    match look {
        Look::Json => files::send(request, file, labels, "Accept-Encoding"),
        Look::Page { .. } | Look::List { .. } => {
            let headers = FileHeaders {
                content_type: HTML,
                cache_control: "public, max-age=1",
                vary: PAGE_VARY,
                // A page has no date of change: while the figures stand still, the ages and notices on it go on.
                labels: None,
                status: StatusCode::OK,
            };
            let mut response = files::send_on(request, file, &headers);
            guard(response.headers_mut(), PAGE_POLICY);
            labels.add_to(response.headers_mut());
            response
        }
    }
}
