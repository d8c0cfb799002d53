//! Pages of markets and assets, for people. Made on the server: they work without script.

use std::{io, sync::LazyLock};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
    web,
};
use ticker_formats::{EncodedFile, listings::ListingView, pages};

use super::{
    Wanted, answer,
    document::{self, redirect},
    error::ApiError,
    views::PinnedView,
};
use crate::http::{
    files::{Terms, send_on},
    labels::Labels,
    methods,
    problem::problem,
    requests,
    state::PublicState,
};

/// Nothing but the style sheet of this host.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
                                       form-action 'none'; frame-ancestors 'none'";
const MARKET: &str = "/m/{name}";
const ASSET: &str = "/a/{name}";
const STYLE: &str = "/page.css";
/// Most markets that the page of an asset lists. XLM has one with nearly every other asset.
const MARKETS_MAX: usize = 500;

static STYLE_SHEET: LazyLock<io::Result<EncodedFile>> =
    LazyLock::new(|| EncodedFile::encode(include_bytes!("../../../web/page.css").to_vec()));

pub(super) fn routes(config: &mut web::ServiceConfig) {
    [MARKET, ASSET, STYLE].into_iter().for_each(requests::announce);
    config
        .route(MARKET, web::route().to(market))
        .route(ASSET, web::route().to(asset))
        .route(STYLE, web::route().to(style));
}

async fn market(
    request: HttpRequest,
    state: web::Data<PublicState>,
    name: web::Path<String>,
) -> HttpResponse {
    answer(request, state, MARKET, Wanted::Live, async |request, view| {
        let canonical = document::market(&view.listing, &name)?.name();
        if let Some(redirect) = redirect(request, &name, &canonical) {
            return Ok(redirect);
        }
        send(request, view, format!("page/{canonical}"), move |view| {
            document::market(view, &canonical).map(|market| pages::market(&market, view)).unwrap_or_default()
        })
        .await
    })
    .await
}

async fn asset(request: HttpRequest, state: web::Data<PublicState>, name: web::Path<String>) -> HttpResponse {
    answer(request, state, ASSET, Wanted::Live, async |request, view| {
        let canonical = document::asset(&view.listing, &name)?.name();
        if let Some(redirect) = redirect(request, &name, &canonical) {
            return Ok(redirect);
        }
        send(request, view, format!("asset_page/{canonical}"), move |view| {
            document::asset(view, &canonical)
                .map(|asset| pages::asset(&asset, view, MARKETS_MAX))
                .unwrap_or_default()
        })
        .await
    })
    .await
}

async fn style(request: HttpRequest) -> HttpResponse {
    methods::answer(&request, STYLE, || match &*STYLE_SHEET {
        Ok(file) => {
            let terms = Terms {
                content_type: "text/css; charset=utf-8",
                cache_control: "no-cache",
                vary: "Accept-Encoding",
                labels: None,
            };
            send_on(&request, file, &terms)
        }
        Err(_) => problem(
            actix_web::http::StatusCode::INTERNAL_SERVER_ERROR,
            "the style sheet could not be compressed",
        ),
    })
}

async fn send(
    request: &HttpRequest,
    view: &PinnedView,
    key: String,
    render: impl FnOnce(&ListingView) -> Vec<u8> + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    let file = view.document(key, render).await?;
    let labels = Labels::of(view.listing.seq(), view.listing.as_of());
    let terms = Terms {
        content_type: "text/html; charset=utf-8",
        cache_control: "public, max-age=1",
        vary: "Accept-Encoding",
        labels: Some(&labels),
    };
    let mut response = send_on(request, &file, &terms);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    labels.add_to(headers);
    Ok(response)
}
