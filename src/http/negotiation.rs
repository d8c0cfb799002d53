//! Content negotiation: `Accept-Encoding`, `If-None-Match` and `If-Modified-Since` (RFC 9110). Pure.
//!
//! The headers are parsed by the types of actix-web. Its `AcceptEncoding::negotiate` is not used, because it ignores
//! `*`.

use std::{
    borrow::Cow,
    time::{SystemTime, UNIX_EPOCH},
};

use actix_web::{
    HttpRequest,
    http::header::{
        ContentEncoding, Encoding, EntityTag, HeaderName, HttpDate, Preference, Quality, QualityItem,
    },
};

use crate::domain::instant::UnixSeconds;

/// Coding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Coding {
    /// Not compressed.
    Identity,
    /// Compressed by gzip.
    Gzip,
    /// Compressed by brotli.
    Brotli,
}

/// Value of a header whose elements may be in several lines (RFC 9110, section 5.3).
pub(super) fn header_list(request: &HttpRequest, name: HeaderName) -> Option<Cow<'_, str>> {
    let mut lines = request.headers().get_all(name).filter_map(|line| line.to_str().ok());
    let first = lines.next()?;
    Some(lines.fold(Cow::Borrowed(first), |list, line| Cow::Owned(format!("{list},{line}"))))
}

impl Coding {
    /// Returns the name in `Content-Encoding`; none for identity.
    pub(super) const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Brotli => Some("br"),
        }
    }
}

/// Weights of the codings that an `Accept-Encoding` names. Of a repeated coding the first counts.
#[derive(Default)]
struct Weights {
    brotli: Option<Quality>,
    gzip: Option<Quality>,
    identity: Option<Quality>,
    /// Weight of `*`, for all codings that are not named.
    rest: Option<Quality>,
}

impl Weights {
    /// Reads a header. Elements that are invalid are skipped.
    fn of(accept: &str) -> Self {
        let mut weights = Self::default();
        for element in accept.split(',') {
            let Ok(element) = element.trim().parse::<QualityItem<Preference<Encoding>>>() else { continue };
            let weight = match element.item {
                Preference::Any => &mut weights.rest,
                Preference::Specific(Encoding::Known(ContentEncoding::Brotli)) => &mut weights.brotli,
                Preference::Specific(Encoding::Known(ContentEncoding::Gzip)) => &mut weights.gzip,
                Preference::Specific(Encoding::Known(ContentEncoding::Identity)) => &mut weights.identity,
                Preference::Specific(_) => continue,
            };
            weight.get_or_insert(element.quality);
        }
        weights
    }

    fn weight(&self, coding: Coding) -> Quality {
        match coding {
            Coding::Brotli => self.brotli.or(self.rest).unwrap_or(Quality::ZERO),
            Coding::Gzip => self.gzip.or(self.rest).unwrap_or(Quality::ZERO),
            // Identity is acceptable unless it is refused, by name or by `*;q=0`. But any coding that the client asks
            // for comes first, so identity has the least weight if it is not named.
            Coding::Identity => {
                self.identity.unwrap_or_else(|| self.rest.unwrap_or(Quality::MIN).min(Quality::MIN))
            }
        }
    }
}

/// Returns the coding that `Accept-Encoding` prefers, or none if it refuses all. Of equal ones the smallest body wins.
/// Brotli is only considered if `has_brotli`, because large files are compressed with it later.
pub(super) fn coding(accept: Option<&str>, has_brotli: bool) -> Option<Coding> {
    let Some(accept) = accept else { return Some(Coding::Identity) };
    let weights = Weights::of(accept);
    let mut best: Option<(Quality, Coding)> = None;
    for coding in [Coding::Brotli, Coding::Gzip, Coding::Identity].into_iter().skip(usize::from(!has_brotli))
    {
        let weight = weights.weight(coding);
        if weight > Quality::ZERO && best.is_none_or(|(most, _)| weight > most) {
            best = Some((weight, coding));
        }
    }
    best.map(|(_, coding)| coding)
}

/// Returns true if `If-None-Match` names this entity tag, which is in quotes. Compares weakly, as RFC 9110 asks.
pub(super) fn names_tag(if_none_match: &str, tag: &[u8]) -> bool {
    let opaque = tag.strip_prefix(b"\"").and_then(|tag| tag.strip_suffix(b"\""));
    let is_this = |given: EntityTag| opaque == Some(given.tag().as_bytes());
    let mut given = if_none_match.split(',').map(str::trim);
    given.any(|given| given == "*" || given.parse().is_ok_and(is_this))
}

/// Returns true if `If-Modified-Since` is exactly this second.
pub(super) fn names_second(if_modified_since: &str, second: UnixSeconds) -> bool {
    let given = if_modified_since.parse::<HttpDate>().map(SystemTime::from);
    let given = given.ok().and_then(|given| given.duration_since(UNIX_EPOCH).ok());
    given.is_some_and(|given| i64::try_from(given.as_secs()) == Ok(second.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn chooses_the_smallest_of_the_preferred_codings() {
        for (accept, expected) in [
            (None, Some(Coding::Identity)),
            (Some(""), Some(Coding::Identity)),
            (Some("gzip, deflate, br"), Some(Coding::Brotli)),
            (Some("gzip"), Some(Coding::Gzip)),
            (Some("GZIP;q=0.8, br;q=0.2"), Some(Coding::Gzip)),
            (Some("br;q=0, *"), Some(Coding::Gzip)),
            (Some("*"), Some(Coding::Brotli)),
            (Some("deflate"), Some(Coding::Identity)),
            (Some("identity;q=0"), None),
            (Some("*;q=0"), None),
            (Some("gzip;q=0.001, identity;q=0.5"), Some(Coding::Identity)),
            (Some("identity;q=0, gzip;q=0.1"), Some(Coding::Gzip)),
            (Some("gzip;q=nonsense"), Some(Coding::Identity)),
        ] {
            assert_eq!(coding(accept, true), expected, "{accept:?}");
        }
        assert_eq!(coding(Some("br, gzip"), false), Some(Coding::Gzip));
        assert_eq!(coding(Some("br"), false), Some(Coding::Identity));
    }

    #[test]
    fn finds_tags_in_lists_and_weak_tags() {
        for (given, expected) in [
            ("\"abc-gz\"", true),
            ("\"x\", W/\"abc-gz\"", true),
            ("*", true),
            ("abc-gz", false),
            ("\"abc\"", false),
            ("\"abc-br\"", false),
            ("", false),
            ("\"", false),
        ] {
            assert_eq!(names_tag(given, b"\"abc-gz\""), expected, "{given}");
        }
    }

    #[test]
    fn a_date_names_its_second_in_every_format_of_http() {
        for (given, expected) in [
            ("Sun, 09 Sep 2001 01:46:40 GMT", true),
            ("Sunday, 09-Sep-01 01:46:40 GMT", true),
            ("Sun Sep  9 01:46:40 2001", true),
            ("Sun, 09 Sep 2001 01:46:41 GMT", false),
            ("yesterday", false),
        ] {
            assert_eq!(names_second(given, UnixSeconds(1_000_000_000)), expected, "{given}");
        }
    }

    proptest! {
        #[test]
        fn the_chosen_coding_was_not_refused(accept in "(br|gzip|identity|\\*|x)(;q=(0|1|0\\.[0-9]{1,3}))?(, ?(br|gzip|identity)(;q=(0|1))?){0,3}") {
            if let Some(chosen) = coding(Some(&accept), true) {
                prop_assert_ne!(Weights::of(&accept).weight(chosen), Quality::ZERO);
            }
        }

        #[test]
        fn no_header_causes_a_panic(text in "\\PC*") {
            let _ = (coding(Some(&text), true), names_tag(&text, b"\"a\""));
        }
    }
}
