//! CORS: headers that let web pages of other hosts read the answers.

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderName, HeaderValue},
    middleware::Next,
};

/// Headers that scripts of such pages may read. A browser hides all others.
const EXPOSED: &str = "ETag, Retry-After, X-Ticker-As-Of, X-Ticker-Seq";

/// Header of an answer that web pages of any host may read.
pub(super) const fn any_origin() -> (HeaderName, HeaderValue) {
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))
}

/// Middleware that exposes our headers on every answer that web pages may read. Answers without CORS headers, such as
/// those of the admin listener, stay unreadable.
pub(super) async fn exposed(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = next.call(request).await?;
    let headers = response.headers_mut();
    if headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, sync::Arc, time::Duration};

    use crate::{
        domain::market_snapshot::MarketSnapshot,
        http::{PublicState, server},
        published::{FileMaker, Publication, Published},
    };

    const ORIGIN: &str = "access-control-allow-origin";

    /// Starts the public listener, with one publication or none.
    fn listener(is_published: bool) -> server::Listener {
        let published = Published::default();
        if is_published {
            let newest =
                Publication::render(1, None, MarketSnapshot::default(), None, &mut FileMaker::default())
                    .unwrap();
            published.publish(Arc::new(newest));
        }
        let state = PublicState::unreachable(published);
        let policy = server::ConnectionPolicy { connections_per_address: None, is_behind_nginx: false };
        server::start_public(TcpListener::bind("127.0.0.1:0").unwrap(), state, policy).unwrap()
    }

    #[actix_web::test]
    async fn every_answer_that_pages_may_read_exposes_the_labels_of_its_publication() {
        // awc's own limit of five seconds is too short for a busy machine.
        let client = awc::Client::builder().timeout(Duration::from_secs(60)).finish();
        for is_published in [true, false] {
            let listener = listener(is_published);
            for path in [
                "/",
                "/markets.json",
                "/assets.json",
                "/graphql?query={issuers{name}}",
                "/graphql?query={",
                "/api/v1/status",
                "/api/v1/books",
                "/readyz",
                "/none",
            ] {
                let answer = client.get(format!("http://{}{path}", listener.address())).send().await.unwrap();
                assert_eq!(answer.headers().get(ORIGIN).unwrap(), "*", "{path}");
                let exposed = answer.headers().get("access-control-expose-headers").unwrap();
                let exposed: Vec<&str> = exposed.to_str().unwrap().split(", ").collect();
                for name in ["ETag", "X-Ticker-Seq", "X-Ticker-As-Of", "Retry-After"] {
                    assert!(exposed.contains(&name), "{path}: {exposed:?}");
                }
            }
            let page = client.get(format!("http://{}/graphiql", listener.address())).send().await.unwrap();
            assert_eq!(page.status(), 200);
            let is_open = page.headers().contains_key(ORIGIN);
            assert_eq!(page.headers().contains_key("access-control-expose-headers"), is_open);
            listener.stop().await;
        }
    }
}
