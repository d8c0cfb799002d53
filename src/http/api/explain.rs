//! `/api/v1/markets/{market}/explain`: the trades behind a figure.

use actix_web::{HttpRequest, HttpResponse, web};
use ticker_formats::listings::{
    explain::{FIELDS, Field},
    own,
};

use super::{
    Asked, Form, ViewKind, answer,
    document::{self, redirect, send},
    error::ApiError,
    parameters::Parameters,
};
use crate::{
    db::origin::query_of_window,
    domain::span::Span,
    http::{requests, state::PublicState},
};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    requests::route(config, "/api/v1/markets/{name}/explain", explain);
}

async fn explain(
    request: HttpRequest,
    state: web::Data<PublicState>,
    name: web::Path<String>,
) -> HttpResponse {
    answer(Form::Problem, &request, &state, ViewKind::Live, async |Asked { request, view, .. }| {
        let parameters = Parameters::read(request, &["field", "window"])?;
        let canonical = document::market(view.listing(), &name)?.name();
        if let Some(redirect) = redirect(request, &name, &canonical) {
            return Ok(redirect);
        }
        let names = || FIELDS.map(|field| field.name).join(", ");
        let wanted = parameters.text("field");
        let wanted =
            wanted.ok_or_else(|| ApiError::BadParameter(format!("field must be one of: {}", names())))?;
        let field = Field::named(wanted).ok_or_else(|| {
            ApiError::NotFound(format!("there is no such field; the fields are: {}", names()))
        })?;
        let window = parameters.word("window", &Span::ALL.map(Span::name))?;
        let span = window.and_then(Span::named).unwrap_or(Span::Day);
        let key = format!("explain/{canonical}/{}/{}", field.name, span.name());
        send(request, view, key, move |view| {
            document::market(view, &canonical)
                .map(|market| own::to_bytes(&field.explain(&market, span, query_of_window)))
                .unwrap_or_default()
        })
        .await
    })
    .await
}
