//! What a reader asks for in its headers. Pure.

/// How a body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Coding {
    /// As it is.
    Identity,
    /// By gzip.
    Gzip,
    /// By brotli.
    Brotli,
}

impl Coding {
    /// Its name in `Content-Encoding`; none for identity.
    pub(super) const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Brotli => Some("br"),
        }
    }
}

/// The best coding that `Accept-Encoding` takes, the smaller one among equals; none where it refuses all. Brotli is there
/// or not: large files have it late.
pub(super) fn coding(accept: Option<&str>, has_brotli: bool) -> Option<Coding> {
    let Some(accept) = accept else { return Some(Coding::Identity) };
    let choices = [(Coding::Brotli, "br"), (Coding::Gzip, "gzip"), (Coding::Identity, "identity")];
    let mut best: Option<(u16, Coding)> = None;
    for (coding, name) in choices.into_iter().skip(usize::from(!has_brotli)) {
        // Identity is taken unless it is refused, but everything that is asked for by name comes first.
        let unnamed = if coding == Coding::Identity { 1 } else { 0 };
        let weight = weight(accept, name).or_else(|| weight_of_rest(accept, coding)).unwrap_or(unnamed);
        if weight > 0 && best.is_none_or(|(most, _)| weight > most) {
            best = Some((weight, coding));
        }
    }
    best.map(|(_, coding)| coding)
}

fn weight_of_rest(accept: &str, coding: Coding) -> Option<u16> {
    let rest = weight(accept, "*")?;
    // `*;q=0` refuses identity too; else `*` asks for nothing in particular, so identity stays the last choice.
    Some(if coding == Coding::Identity { rest.min(1) } else { rest })
}

/// The weight, 0 to 1000, of a name in a list of names with `;q=`; none where it is not in it.
fn weight(list: &str, name: &str) -> Option<u16> {
    list.split(',').find_map(|item| {
        let mut parts = item.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(name) {
            return None;
        }
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Some(quality.map_or(1_000, thousandths))
    })
}

/// `0.75` as 750; what is no quality is 0.
fn thousandths(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    match whole {
        "1" if fraction.bytes().all(|byte| byte == b'0') => 1_000,
        "0" if digits(fraction) && fraction.len() <= 3 => format!("{fraction:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

/// Whether `If-None-Match` names one of these tags, which are in quotes; weak tags count.
pub(super) fn names_tag<'a>(if_none_match: &str, tags: impl Iterator<Item = &'a [u8]> + Clone) -> bool {
    if_none_match.split(',').map(str::trim).any(|given| {
        let given = given.strip_prefix("W/").unwrap_or(given);
        given == "*" || tags.clone().any(|tag| tag == given.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn takes_the_smallest_form_that_the_reader_likes_best() {
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
    fn knows_tags_in_lists_and_weak_ones() {
        let tags: [&[u8]; 2] = [b"\"abc\"", b"\"abc-gz\""];
        for (given, expected) in [
            ("\"abc\"", true),
            ("\"x\", W/\"abc-gz\"", true),
            ("*", true),
            ("abc", false),
            ("\"abc-br\"", false),
            ("", false),
            ("\"", false),
        ] {
            assert_eq!(names_tag(given, tags.into_iter()), expected, "{given}");
        }
    }

    proptest! {
        #[test]
        fn what_is_chosen_was_not_refused(accept in "(br|gzip|identity|\\*|x)(;q=(0|1|0\\.[0-9]{1,3}))?(, ?(br|gzip|identity)(;q=(0|1))?){0,3}") {
            if let Some(chosen) = coding(Some(&accept), true) {
                let name = chosen.name().unwrap_or("identity");
                prop_assert_ne!(weight(&accept, name), Some(0));
            }
        }

        #[test]
        fn no_header_makes_it_panic(text in "\\PC*") {
            let _ = (coding(Some(&text), true), names_tag(&text, std::iter::once(b"\"a\"".as_slice())));
        }
    }
}
