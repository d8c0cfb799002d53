//! Horizon's problem documents (RFC 9457). Only they say something about data: a proxy's error page does not. Pure.

use serde::Deserialize;

use crate::domain::plain_text::stripped;

/// Largest error body that is read; Horizon's have some hundred bytes.
pub(super) const BYTES_MAX: usize = 64 * 1024;
/// Prefix of the `type` of every problem document of Horizon.
const TYPE_PREFIX: &str = "https://stellar.org/horizon-errors/";
/// A title longer than this is cut for the log.
const TITLE_CHARS_MAX: usize = 100;

/// Problem document of Horizon itself about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The last part of its `type`, e.g. `not_found`.
    pub(super) kind: String,
    /// Its title, fit for one line of a log.
    pub(super) title: String,
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "type")]
    kind: String,
    status: u16,
    #[serde(default)]
    title: String,
}

/// Reads the body of an answer that is no success. None unless Horizon itself wrote it: the media type, the `type` and
/// the `status` must all be right.
pub(super) fn problem(content_type: Option<&str>, status: u16, body: &[u8]) -> Option<Problem> {
    let media_type = content_type?.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/problem+json") {
        return None;
    }
    let document: Document = serde_json::from_slice(body).ok()?;
    let kind = document.kind.strip_prefix(TYPE_PREFIX).filter(|kind| is_kind(kind))?;
    let title = stripped(&document.title).chars().take(TITLE_CHARS_MAX).collect();
    (document.status == status).then(|| Problem { kind: kind.to_owned(), title })
}

fn is_kind(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= TITLE_CHARS_MAX
        && text.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_FOUND: &str =
        r#"{"type":"https://stellar.org/horizon-errors/not_found","title":"Resource Missing","status":404}"#;

    #[test]
    fn horizons_own_documents_are_read() {
        for media_type in ["application/problem+json", "Application/Problem+JSON; charset=utf-8"] {
            let read = problem(Some(media_type), 404, NOT_FOUND.as_bytes()).unwrap();
            assert_eq!((read.kind.as_str(), read.title.as_str()), ("not_found", "Resource Missing"));
        }
    }

    #[test]
    fn whatever_another_server_says_is_no_statement_of_horizon() {
        let json = Some("application/problem+json");
        for (media_type, status, body) in [
            (Some("text/html"), 404, "<html><body>default backend</body></html>"),
            (Some("text/html"), 404, NOT_FOUND),
            (Some("application/json"), 404, NOT_FOUND),
            (None, 404, NOT_FOUND),
            (json, 400, NOT_FOUND),
            (json, 404, r#"{"type":"about:blank","title":"Not Found","status":404}"#),
            (json, 404, r#"{"type":"https://example.com/not_found","title":"Not Found","status":404}"#),
            (json, 404, r#"{"type":"https://stellar.org/horizon-errors/","title":"","status":404}"#),
            (json, 404, r#"{"title":"Not Found","status":404}"#),
            (json, 404, r#"{"type":"https://stellar.org/horizon-errors/not_found"}"#),
            (json, 404, "{}"),
            (json, 404, ""),
        ] {
            assert_eq!(problem(media_type, status, body.as_bytes()), None, "{media_type:?} {status} {body}");
        }
    }
}
