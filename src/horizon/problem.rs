//! Horizon's problem documents (RFC 9457). Only they are statements about data; a proxy's error page is not. Pure.

use serde::Deserialize;

use crate::domain::plain_text::stripped;

/// Largest error body that is read, in bytes. Horizon's have a few hundred bytes.
pub(super) const BYTES_MAX: usize = 64 * 1024;
/// Prefix of the `type` of every problem document of Horizon.
const TYPE_PREFIX: &str = "https://stellar.org/horizon-errors/";
/// Maximum length of a title in the log, in characters.
const TITLE_CHARS_MAX: usize = 100;

/// Problem document of Horizon about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// Last segment of the `type`, e.g. `not_found`.
    pub(super) kind: String,
    /// Title, sanitised for one log line.
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

/// Parses the body of an error response. `None` unless Horizon itself wrote it: the media type, the `type` and the
/// `status` must all match.
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
    fn parses_horizons_own_documents() {
        for media_type in ["application/problem+json", "Application/Problem+JSON; charset=utf-8"] {
            let read = problem(Some(media_type), 404, NOT_FOUND.as_bytes()).unwrap();
            assert_eq!((read.kind.as_str(), read.title.as_str()), ("not_found", "Resource Missing"));
        }
    }

    #[test]
    fn ignores_documents_of_other_servers() {
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
