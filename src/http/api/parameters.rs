//! Query parameters. An unknown one is an error, because a misspelt filter would silently select too much, apart from
//! paths whose shape another party has defined.

use actix_web::{HttpRequest, web};

use super::error::ApiError;
use crate::domain::{instant::UnixSeconds, percent, plain_text::shown, span::Span};

/// Seconds by which a question for all that is held may be behind the figures, by the clock of whoever asks.
pub(super) const BEHIND_S: i64 = 60;

/// Parameters of a request, each at most once.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads the parameters, of which only `known` are allowed.
    pub(super) fn read(request: &HttpRequest, known: &[&str]) -> Result<Self, ApiError> {
        let unknown = |name: &str| {
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let text = format!("unknown parameter {}; this path takes: {known}", shown(name));
            Err(ApiError::BadParameter(text))
        };
        Self::each_once(request, known, unknown)
    }

    /// Reads the parameters that are `known`, and ignores all others: crawlers, wallets and chart libraries add
    /// parameters of their own, such as against caches. An empty value counts as absent, as forms send it, and as
    /// Horizon takes it.
    pub(super) fn tolerant(request: &HttpRequest, known: &[&str]) -> Result<Self, ApiError> {
        let mut parameters = Self::each_once(request, known, |_| Ok(()))?;
        parameters.0.retain(|(_, value)| !value.is_empty());
        Ok(parameters)
    }

    fn each_once(
        request: &HttpRequest,
        known: &[&str],
        on_unknown: impl Fn(&str) -> Result<(), ApiError>,
    ) -> Result<Self, ApiError> {
        let bad = ApiError::BadParameter;
        let query = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map_err(|error| bad(error.to_string()))?;
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in query.into_inner() {
            if !known.contains(&name.as_str()) {
                on_unknown(&name)?;
                continue;
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(bad(format!("{name} is given twice")));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// Reads the first value of each of these parameters, and ignores all others and all faults: sites that pass a link
    /// on may append parameters of their own.
    pub(super) fn relaxed(request: &HttpRequest, known: &[&str]) -> Self {
        let query = web::Query::<Vec<(String, String)>>::from_query(request.query_string());
        let pairs = query.map(web::Query::into_inner).unwrap_or_default();
        let first = |name: &&str| pairs.iter().find(|(other, _)| other == name).cloned();
        Self(known.iter().filter_map(first).collect())
    }

    /// Value of a parameter.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Whole number between two limits, both inclusive.
    pub(super) fn number(&self, name: &str, least: i64, most: i64) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.map(Some).ok_or_else(|| {
            ApiError::BadParameter(format!("{name} must be a whole number from {least} to {most}"))
        })
    }

    /// Seconds of `from` and `to`, which must be in this order.
    pub(super) fn span(&self) -> Result<(Option<UnixSeconds>, Option<UnixSeconds>), ApiError> {
        let time = |name: &str| Ok(self.number(name, 0, i64::MAX)?.map(UnixSeconds));
        let (from, to) = (time("from")?, time("to")?);
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            return Err(ApiError::BadParameter("from must be at most to".to_owned()));
        }
        Ok((from, to))
    }

    /// One of some words.
    pub(super) fn word<'w>(&self, name: &str, words: &[&'w str]) -> Result<Option<&'w str>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let word = words.iter().find(|word| **word == text);
        word.map(|word| Some(*word))
            .ok_or_else(|| ApiError::BadParameter(format!("{name} must be one of: {}", words.join(", "))))
    }

    /// The parameters but for some, as a query string.
    pub(super) fn encoded(&self, without: &[&str]) -> String {
        let kept = self.0.iter().filter(|(name, _)| !without.contains(&name.as_str()));
        let pairs: Vec<String> =
            kept.map(|(name, value)| format!("{name}={}", percent::encoded(value))).collect();
        pairs.join("&")
    }

    /// The parameters as a key: in any order, and different for different values. For answers that repeat them. Other
    /// answers have a key of what the parameters mean, since a value may be spelled in several ways.
    pub(super) fn key(&self) -> String {
        let mut sorted = Self(self.0.clone());
        sorted.0.sort_unstable();
        sorted.encoded(&[])
    }
}

/// Returns the first second of trades from a question's own one, or else from the `default` seconds up to its last one.
/// Trades are held for 7 days. The parameters have these `names`.
///
/// # Errors
///
/// [`ApiError::Gone`] if the first second, or the last one alone, is older.
pub(super) fn first_held(
    (from, to): (Option<UnixSeconds>, Option<UnixSeconds>),
    names: [&str; 2],
    default: i64,
    as_of: UnixSeconds,
) -> Result<UnixSeconds, ApiError> {
    let oldest = Span::Week.edge(as_of).plus(1);
    match (from, to) {
        (Some(from), _) => held_from(names[0], from, as_of),
        (None, Some(to)) => {
            held_from(names[1], to, as_of)?;
            Ok(to.min(as_of).minus(default).plus(1).max(oldest))
        }
        (None, None) => Ok(as_of.minus(default).plus(1).max(oldest)),
    }
}

/// Returns the first second of trades that are asked for with the parameter `name`. Trades are held for 7 days.
///
/// # Errors
///
/// [`ApiError::Gone`] for older ones.
fn held_from(name: &str, from: UnixSeconds, as_of: UnixSeconds) -> Result<UnixSeconds, ApiError> {
    let oldest = Span::Week.edge(as_of).plus(1);
    if from < oldest.minus(BEHIND_S) {
        let oldest = oldest.0;
        return Err(ApiError::Gone(format!("trades are held for 7 days: {name} must be at least {oldest}")));
    }
    Ok(from.max(oldest))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn seven_days_are_held_by_the_clock_of_whoever_asks() {
        let as_of = UnixSeconds(1_000_000_000);
        let from = |age| held_from("from", as_of.minus(age), as_of).ok();
        let week = 7 * 86_400;
        assert_eq!(from(week - 1), Some(as_of.minus(week - 1)));
        assert_eq!(from(week), Some(as_of.minus(week - 1)));
        assert_eq!(from(week + 30), Some(as_of.minus(week - 1)));
        assert_eq!(from(week + 3_600), None);
    }

    #[test]
    fn an_end_alone_begins_the_default_time_before_it() {
        let as_of = UnixSeconds(1_000_000_000);
        let day = 86_400;
        let first = |from: Option<i64>, to: Option<i64>| {
            let span = [from, to].map(|age| age.map(|age| as_of.minus(age)));
            let first = first_held((span[0], span[1]), ["from", "to"], day, as_of);
            first.map(|first| as_of.0 - first.0).map_err(|error| error.to_string())
        };
        assert_eq!(first(None, None), Ok(day - 1));
        assert_eq!(first(None, Some(-50)), Ok(day - 1), "an end in the future");
        assert_eq!(first(None, Some(3 * day)), Ok(4 * day - 1));
        assert_eq!(first(None, Some(6 * day + 9)), Ok(7 * day - 1), "no more is held");
        assert_eq!(first(Some(5 * day), Some(3 * day)), Ok(5 * day));
        assert!(first(None, Some(8 * day)).unwrap_err().contains(": to must be at least"));
        assert!(first(Some(8 * day), None).unwrap_err().contains(": from must be at least"));
    }

    #[test]
    fn an_empty_value_is_absent_only_where_others_defined_the_path() {
        let request = TestRequest::with_uri("/?limit=&type=&depth=20").to_http_request();
        let known = ["limit", "type", "depth"];
        let tolerant = Parameters::tolerant(&request, &known).ok().unwrap();
        assert_eq!((tolerant.text("limit"), tolerant.text("depth")), (None, Some("20")));
        assert_eq!(tolerant.word("type", &["buy", "sell"]).ok(), Some(None));
        let strict = Parameters::read(&request, &known).ok().unwrap();
        assert!(strict.number("limit", 1, 9).is_err());
    }

    #[test]
    fn questions_have_the_same_key_only_if_they_ask_the_same() {
        let key = |query: &str| {
            let request = TestRequest::with_uri(&format!("/?{query}")).to_http_request();
            Parameters::read(&request, &["issuer", "limit"]).unwrap().key()
        };
        assert_eq!(key("limit=9&issuer=G"), key("issuer=%47&limit=9"));
        assert_ne!(key("issuer=G%26limit%3D9"), key("issuer=G&limit=9"));
    }
}
