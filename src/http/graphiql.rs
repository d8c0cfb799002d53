//! The explorer of the GraphQL endpoint at `/graphiql`. Its files are embedded from `web/graphiql`, so that it needs no
//! other host.

use actix_web::{HttpRequest, HttpResponse, http::header, web};

use super::{
    embedded::{CSS, EmbeddedFiles, HTML, SCRIPT, Source, TEXT, Texts},
    methods, requests,
};

/// Permissions of the page: scripts and styles from this host, requests to this host, and images and fonts of its own
/// styles. The hash allows the one style that GraphiQL adds to the page while a dialog or a menu is open.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
     style-src 'self' 'sha256-nzTgYzXYDNe6BAHiiI7NNlfK8n/auuOAhh2t92YvuXo='; connect-src 'self'; img-src data:; \
     font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Name of the page itself.
const PAGE: &str = "index.html";

macro_rules! source {
    ($directory:literal, $name:literal, $content_type:expr) => {
        Source {
            name: $name,
            content_type: $content_type,
            bytes: include_bytes!(concat!("../../web/graphiql/", $directory, $name)),
            is_own_script: false,
        }
    };
}

static SOURCES: [Source; 8] = [
    Source {
        name: PAGE,
        content_type: HTML,
        bytes: include_bytes!("../../web/graphiql/index.html"),
        is_own_script: false,
    },
    source!("", "page.css", CSS),
    source!("", "start.js", SCRIPT),
    source!("vendor/", "graphiql.min.css", CSS),
    source!("vendor/", "graphiql.min.js", SCRIPT),
    source!("vendor/", "react.production.min.js", SCRIPT),
    source!("vendor/", "react-dom.production.min.js", SCRIPT),
    source!("vendor/", "licences.txt", TEXT),
];

static FILES: EmbeddedFiles = EmbeddedFiles::new(
    &SOURCES,
    Some(CONTENT_SECURITY_POLICY),
    Texts {
        unknown: "the explorer has no such file",
        failed: "the files of the explorer could not be compressed",
    },
);

pub(super) fn routes(config: &mut web::ServiceConfig) {
    requests::route(config, "/graphiql", |request| respond(request, PAGE.to_owned()));
    // The links in the page are relative to `/graphiql`, so they would be wrong below `/graphiql/`.
    methods::route(config, "/graphiql/", moved);
    requests::route(config, "/graphiql/{file}", |request, name: web::Path<String>| {
        respond(request, name.into_inner())
    });
}

async fn respond(request: HttpRequest, name: String) -> HttpResponse {
    FILES.answer(&request, &name).await
}

fn moved(_: &HttpRequest) -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "../graphiql")).finish()
}

#[cfg(test)]
mod tests {
    use super::{super::embedded::CACHE_CONTROL, *};
    use actix_web::{
        App,
        body::MessageBody,
        dev::ServiceResponse,
        http::{Method, StatusCode},
        test::{TestRequest, call_service, init_service},
    };
    use bytes::Bytes;

    async fn request(request: TestRequest) -> ServiceResponse<impl MessageBody> {
        let app = init_service(App::new().configure(routes)).await;
        call_service(&app, request.to_request()).await
    }

    async fn get(path: &str) -> (StatusCode, header::HeaderMap, Bytes) {
        let response = request(TestRequest::get().uri(path)).await;
        let (status, headers) = (response.status(), response.headers().clone());
        (status, headers, actix_web::test::read_body(response).await)
    }

    /// Returns the addresses that the page loads: the values of its `src` and `href`.
    fn addresses(page: &str) -> Vec<&str> {
        let values = |name| page.split(name).skip(1).filter_map(|rest| rest.split('"').next());
        values("src=\"").chain(values("href=\"")).collect()
    }

    #[actix_web::test]
    async fn every_address_in_the_page_is_served_from_here_with_its_type() {
        let (status, headers, page) = get("/graphiql").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers.get(header::CONTENT_TYPE).unwrap(), HTML);
        let page = String::from_utf8(page.to_vec()).unwrap();
        let files: Vec<&str> =
            addresses(&page).into_iter().filter(|&to| to != "data:," && to != "graphql").collect();
        assert_eq!(files.len(), 6, "{files:?}");
        for file in files {
            let (status, headers, bytes) = get(&format!("/{file}")).await;
            assert_eq!(status, StatusCode::OK, "{file}");
            let expected = if file.ends_with(".css") { CSS } else { SCRIPT };
            assert_eq!(headers.get(header::CONTENT_TYPE).unwrap(), expected, "{file}");
            assert_eq!(headers.get(header::X_CONTENT_TYPE_OPTIONS).unwrap(), "nosniff");
            assert!(!bytes.is_empty(), "{file}");
        }
        assert!(!page.contains("//"), "an address of another host");
        assert_eq!(get("/graphiql/licences.txt").await.0, StatusCode::OK);
    }

    #[actix_web::test]
    async fn the_policy_allows_nothing_inline_and_no_other_host() {
        let (_, headers, _) = get("/graphiql").await;
        let policy = headers.get(header::CONTENT_SECURITY_POLICY).unwrap().to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(
            policy.contains("connect-src 'self';") && policy.ends_with("frame-ancestors 'none'"),
            "{policy}"
        );
        for forbidden in ["unsafe", "*", "http", "blob", "  "] {
            assert!(!policy.contains(forbidden), "{policy}");
        }
        for source in &SOURCES[..3] {
            let text = std::str::from_utf8(source.bytes).unwrap();
            for inline in ["<style", "<script>", " style=", " onload", " onclick", "eval("] {
                assert!(!text.contains(inline), "{inline} in {}", source.name);
            }
        }
    }

    #[actix_web::test]
    async fn files_are_compressed_and_revalidated() {
        let script = || TestRequest::get().uri("/graphiql/graphiql.min.js");
        let zipped = request(script().insert_header((header::ACCEPT_ENCODING, "gzip"))).await;
        assert_eq!(zipped.headers().get(header::CONTENT_ENCODING).unwrap(), "gzip");
        let tag = zipped.headers().get(header::ETAG).unwrap().clone();
        let plain = get("/graphiql/graphiql.min.js").await.2;
        assert!(actix_web::test::read_body(zipped).await.len() < plain.len() / 2);
        let script = || script().insert_header((header::IF_NONE_MATCH, tag.clone()));
        let again = request(script().insert_header((header::ACCEPT_ENCODING, "gzip"))).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(again.headers().get(header::CACHE_CONTROL).unwrap(), CACHE_CONTROL);
    }

    #[actix_web::test]
    async fn unknown_files_and_methods_are_refused() {
        assert_eq!(get("/graphiql/secret.js").await.0, StatusCode::NOT_FOUND);
        assert_eq!(get("/graphiql/..%2fCargo.toml").await.0, StatusCode::NOT_FOUND);
        let posted = request(TestRequest::default().method(Method::POST).uri("/graphiql")).await;
        assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
        let (status, headers, _) = get("/graphiql/").await;
        assert_eq!(status, StatusCode::PERMANENT_REDIRECT);
        assert_eq!(headers.get(header::LOCATION).unwrap(), "../graphiql");
    }
}
