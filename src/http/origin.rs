//! Address that a reader asked for.

use actix_web::{HttpRequest, http::header};

/// Header by which a proxy names the scheme of its reader. nginx replaces what the reader sent.
const SCHEME: &str = "x-forwarded-proto";
/// Longest host that an answer repeats. Names of the DNS have at most 253 letters.
const HOST_MAX: usize = 260;

/// Scheme and host that the reader asked for, such as `https://ticker.example`.
///
/// Other headers do not count. Anybody may send `X-Forwarded-Host` or `Forwarded`, and a cache in front would send the
/// answer to other readers as well.
pub(super) fn origin(request: &HttpRequest) -> String {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let is_secure = text(SCHEME).is_some_and(|scheme| scheme.trim().eq_ignore_ascii_case("https"));
    let host = text(header::HOST.as_str()).or_else(|| request.uri().host()).unwrap_or("localhost");
    let host: String = host.chars().take(HOST_MAX).collect();
    format!("{}://{host}", if is_secure { "https" } else { "http" })
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn origin_with(headers: &[(&str, &str)]) -> String {
        let request = TestRequest::with_uri("/a/XLM");
        let request = headers.iter().fold(request, |request, header| request.insert_header(*header));
        origin(&request.to_http_request())
    }

    #[test]
    fn only_the_host_and_the_scheme_of_the_proxy_count() {
        assert_eq!(origin_with(&[("Host", "ticker.example:8080")]), "http://ticker.example:8080");
        let host = ("Host", "ticker.example");
        for (name, value) in [
            ("X-Forwarded-Host", "evil.example"),
            ("Forwarded", "host=evil.example;proto=https"),
            ("X-Forwarded-Proto", "javascript"),
            ("X-Forwarded-For", "evil.example"),
        ] {
            assert_eq!(origin_with(&[host, (name, value)]), "http://ticker.example", "{name}");
        }
        assert_eq!(origin_with(&[host, ("X-Forwarded-Proto", "https")]), "https://ticker.example");
        assert_eq!(origin_with(&[]), "http://localhost");
        assert_eq!(origin_with(&[("Host", &"a".repeat(1_000))]).len(), "http://".len() + HOST_MAX);
    }
}
