//! URLs without secrets. Users, passwords and API keys are hidden.

const HIDDEN: &str = "***";
/// Minimum length of a path segment that may be a key. Shorter segments are words.
const KEY_CHARS_MIN: usize = 16;
/// Minimum length of a path segment that is a key even without digits.
const LONG_CHARS_MIN: usize = 24;

/// Hides the secrets of a URL: `https://***@host/v1/***?***`. Providers put keys into the user, the path and the query.
#[must_use]
pub fn shown_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    // Split at the last `@`: a password may hold any character that its owner forgot to escape.
    let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, rest)| ("***@", rest));
    let (rest, query) = match rest.find(['?', '#']).and_then(|at| rest.split_at_checked(at)) {
        Some((rest, query)) => {
            (rest, query.get(..1).map(|mark| format!("{mark}{HIDDEN}")).unwrap_or_default())
        }
        None => (rest, String::new()),
    };
    let (authority, path) = rest.find('/').and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
    // A key may be any segment, so check each.
    let parts: Vec<&str> =
        path.split('/').map(|part| if looks_like_a_key(part) { HIDDEN } else { part }).collect();
    format!("{scheme}://{user}{authority}{}{query}", parts.join("/"))
}

/// Returns true if a path segment looks like a key: long, in the alphabet of hex or base64, and with digits or very
/// long.
#[must_use]
pub fn looks_like_a_key(part: &str) -> bool {
    let is_of_keys = |character: char| character.is_ascii_alphanumeric() || "-_.=+%".contains(character);
    part.len() >= KEY_CHARS_MIN
        && part.chars().all(is_of_keys)
        && (part.len() >= LONG_CHARS_MIN || part.contains(|character: char| character.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hides_keys_of_every_usual_form_and_keeps_words() {
        for (url, shown) in [
            ("https://horizon.stellar.org", "https://horizon.stellar.org"),
            ("http://127.0.0.1:8001/_toml", "http://127.0.0.1:8001/_toml"),
            ("https://rpc.example.com/stellar_horizon", "https://rpc.example.com/stellar_horizon"),
            (
                "https://rpc.example.com/stellar_horizon/0f1e2d3c4b5a69788796a5b4c3d2e1f0",
                "https://rpc.example.com/stellar_horizon/***",
            ),
            ("https://a.example.com/v1/x9Yz-KeyKeyKeyKey_1/", "https://a.example.com/v1/***/"),
            ("https://a.example.com/abcdefghijklmnopqrstuvwx", "https://a.example.com/***"),
            ("https://user:pw@example.com/v1", "https://***@example.com/v1"),
            ("https://token@example.com", "https://***@example.com"),
            ("https://example.com/v1?apikey=abc&x=1", "https://example.com/v1?***"),
            ("https://example.com#abc", "https://example.com#***"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(shown_url(url), shown, "{url}");
            assert_eq!(shown_url(shown), shown, "idempotent");
        }
    }

    proptest! {
        #[test]
        fn never_shows_a_password(password in "[!-~]{0,6}canary[!-~]{0,6}") {
            let shown = shown_url(&format!("https://user:{password}@host/x"));
            prop_assert!(!shown.contains("canary"), "{shown}");
        }

        #[test]
        fn never_panics(text in any::<String>()) {
            let _ = shown_url(&format!("http://{text}"));
        }
    }
}
