//! Styles, script and icon of the admin listener's pages.

use actix_web::{HttpResponse, http::header};

pub(super) async fn style() -> HttpResponse {
    asset("text/css; charset=utf-8", include_str!("../../../web/admin.css"))
}

pub(super) async fn script() -> HttpResponse {
    asset("text/javascript; charset=utf-8", include_str!("../../../web/admin.js"))
}

pub(super) async fn icon() -> HttpResponse {
    asset("image/svg+xml", include_str!("../../../web/favicon.svg"))
}

fn asset(content_type: &'static str, body: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, content_type))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(body)
}
