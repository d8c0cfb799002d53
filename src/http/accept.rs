//! Choice of the media type of an answer by `Accept` (RFC 9110, section 12.5.1). Pure.

use actix_web::{
    HttpRequest,
    http::header::{self, Quality, QualityItem},
    mime::{self, Mime},
};

use super::negotiation::header_list;

/// Media type of an answer of GraphQL over HTTP.
pub(super) const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";

/// Weight of a type, and how closely the range that gave it names the type: 3 by name, 2 by `text/*`, 1 by `*/*`.
type Weight = (Quality, u8);
/// Closeness of a range that names the type.
const BY_NAME: u8 = 3;

/// Returns true if the client prefers a page to JSON. A client without `Accept`, and one that weighs both alike, gets
/// JSON, as from the old ticker. Of equal weights, that of the closer range counts: `text/html, */*` asks for the page.
pub(super) fn prefers_html(request: &HttpRequest) -> bool {
    header_list(request, header::ACCEPT).is_some_and(|accept| is_html_first(&accept))
}

fn is_html_first(accept: &str) -> bool {
    let html = weight(accept, &mime::TEXT_HTML);
    html.0 > Quality::ZERO && html > weight(accept, &mime::APPLICATION_JSON)
}

/// Returns true if the client names [`GRAPHQL_RESPONSE`] and prefers it to JSON. Everybody else gets JSON, as from the
/// old ticker.
pub(super) fn prefers_graphql_response(request: &HttpRequest) -> bool {
    header_list(request, header::ACCEPT).is_some_and(|accept| is_graphql_response_first(&accept))
}

fn is_graphql_response_first(accept: &str) -> bool {
    GRAPHQL_RESPONSE.parse::<Mime>().is_ok_and(|wanted| {
        let (quality, closeness) = weight(accept, &wanted);
        closeness == BY_NAME && quality > weight(accept, &mime::APPLICATION_JSON).0
    })
}

/// Weight of a type: that of the closest range. Elements that are invalid are skipped.
fn weight(accept: &str, wanted: &Mime) -> Weight {
    let mut best: Weight = (Quality::ZERO, 0);
    for element in accept.split(',') {
        let Ok(element) = element.trim().parse::<QualityItem<Mime>>() else { continue };
        let range = element.item;
        let closeness = match (range.type_(), range.subtype()) {
            (mime::STAR, mime::STAR) => 1,
            (kind, mime::STAR) if kind == wanted.type_() => 2,
            // A range with a parameter, such as `text/html;level=1`, names a form that does not exist here.
            (kind, subtype) if (kind, subtype) == (wanted.type_(), wanted.subtype()) => {
                if range.params().any(|(name, _)| name != mime::CHARSET) {
                    continue;
                }
                BY_NAME
            }
            _ => continue,
        };
        if closeness > best.1 {
            best = (element.quality, closeness);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Header of Chromium and Firefox when a person opens an address.
    const BROWSER: &str =
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

    #[test]
    fn html_is_for_those_who_prefer_it() {
        for (accept, expected) in [
            ("", false),
            ("*/*", false),
            ("application/json", false),
            ("text/html", true),
            ("TEXT/HTML", true),
            (BROWSER, true),
            ("text/html, */*", true),
            ("text/*", true),
            ("text/html;charset=utf-8", true),
            ("text/html;q=0", false),
            ("text/html;q=0, */*", false),
            ("text/html, application/json", false),
            ("text/html;q=0.9, application/json", false),
            ("text/html;q=0.9, application/*;q=0.8", true),
            ("text/html;q=0.5, */*;q=0.6", false),
            ("text/*;q=0.9, text/html;q=0.1, application/json;q=0.5", false),
            ("text/html;level=1", false),
            ("application/xhtml+xml, image/*", false),
            ("text/html;q=nonsense, */*", false),
        ] {
            assert_eq!(is_html_first(accept), expected, "{accept}");
        }
    }

    #[test]
    fn the_type_of_graphql_is_for_those_who_name_it() {
        for (accept, expected) in [
            ("", false),
            ("*/*", false),
            ("application/*", false),
            ("application/json", false),
            ("application/graphql-response+json", true),
            ("application/graphql-response+json; charset=utf-8", true),
            ("Application/GraphQL-Response+JSON", true),
            // Apollo Client, graphql-request and urql.
            ("application/graphql-response+json,application/json;q=0.9", true),
            ("application/graphql-response+json, application/json", false),
            (
                "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed",
                false,
            ),
            ("application/graphql-response+json, */*", false),
            ("application/graphql-response+json, */*;q=0.1", true),
            ("application/graphql-response+json;q=0.5, */*", false),
            ("application/graphql-response+json;q=0.5, application/json", false),
            ("application/graphql-response+json;q=0", false),
            ("application/graphql+json", false),
        ] {
            assert_eq!(is_graphql_response_first(accept), expected, "{accept}");
        }
    }

    proptest! {
        #[test]
        fn no_header_causes_a_panic_and_none_without_text_gets_html(text in "\\PC*") {
            prop_assert!(!is_html_first(&text) || text.to_lowercase().contains("text/"));
        }
    }
}
