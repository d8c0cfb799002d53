//! Headers that keep a page to the host that served it.

use actix_web::http::header::{self, HeaderMap, HeaderValue};

/// Permissions of a page: everything from this host, and no inline script or style.
pub(super) const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Adds `policy`, which says what the page may load, and hides its address from other hosts.
pub(super) fn guard(headers: &mut HeaderMap, policy: &'static str) {
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_has_one_blank_between_its_words() {
        assert!(
            PAGE_POLICY.ends_with("frame-ancestors 'none'") && !PAGE_POLICY.contains("  "),
            "{PAGE_POLICY}"
        );
    }
}
