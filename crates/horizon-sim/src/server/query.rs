//! Query parameters, validated as in Horizon.

use super::reply::{Problem, bad_request, of_status};
use crate::model::TradeId;
use crate::simulation::{Head, TradeQuery};
use actix_web::{HttpRequest, web};
use std::collections::BTreeMap;
use std::fmt::Write;

const LIMIT_DEFAULT: usize = 10;
const LIMIT_MAX: usize = 200;

/// Parameters of a request, sorted by name as in Horizon's links.
#[derive(Debug, Clone)]
pub(super) struct Params {
    values: BTreeMap<String, String>,
    /// Scheme and host of the request, so that links point back to the same address.
    pub(super) origin: String,
    path: String,
}

impl Params {
    pub(super) fn of(request: &HttpRequest) -> Self {
        let parsed = web::Query::<BTreeMap<String, String>>::from_query(request.query_string());
        let info = request.connection_info();
        Self {
            values: parsed.map(web::Query::into_inner).unwrap_or_default(),
            origin: format!("{}://{}", info.scheme(), info.host()),
            path: request.path().to_owned(),
        }
    }

    /// Value of a parameter that is present and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(super) fn limit(&self) -> Result<usize, Problem> {
        self.limit_or(LIMIT_DEFAULT)
    }

    pub(super) fn limit_or(&self, default: usize) -> Result<usize, Problem> {
        let Some(text) = self.get("limit") else { return Ok(default) };
        match text.parse::<usize>() {
            Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
            Ok(0) => Err(bad_request("limit", "invalid limit: non-positive value provided")),
            Ok(_) => Err(bad_request("limit", "invalid limit: value provided that is over limit max of 200")),
            Err(_) => Err(bad_request("limit", "unparseable value")),
        }
    }

    pub(super) fn descending(&self) -> Result<bool, Problem> {
        match self.get("order") {
            None | Some("asc") => Ok(false),
            Some("desc") => Ok(true),
            Some(_) => Err(bad_request("order", "order: invalid value")),
        }
    }

    /// Query for a page of trades. `last_event_id` overrides the cursor.
    pub(super) fn trades(&self, last_event_id: Option<&str>, head: Head) -> Result<TradeQuery, Problem> {
        let (descending, limit) = (self.descending()?, self.limit()?);
        let after = match last_event_id.or_else(|| self.get("cursor")) {
            None if descending => TradeId::MAX,
            None => TradeId::MIN,
            Some("now") => TradeId::before_ledger(head.latest.saturating_add(1)),
            Some(token) => {
                TradeId::parse(token).ok_or_else(|| bad_request("cursor", "cursor: invalid value"))?
            }
        };
        // An ascending page from before the history starts at its beginning. Only a descending one is refused.
        if descending && after <= TradeId::before_ledger(head.elder) {
            return Err(of_status(410));
        }
        Ok(TradeQuery { after, descending, limit })
    }

    /// `_links` of a page, made from its first and last cursor. An empty page repeats the cursor of the request.
    pub(super) fn links(&self, ends: Option<(String, String)>, limit: usize, descending: bool) -> String {
        let own = self.get("cursor").unwrap_or_default().to_owned();
        let (first, last) = ends.unwrap_or_else(|| (own.clone(), own.clone()));
        format!(
            r#"{{"self":{{"href":"{}"}},"next":{{"href":"{}"}},"prev":{{"href":"{}"}}}}"#,
            self.link(&own, limit, descending),
            self.link(&last, limit, descending),
            self.link(&first, limit, !descending),
        )
    }

    fn link(&self, cursor: &str, limit: usize, descending: bool) -> String {
        let mut values = self.values.clone();
        values.insert("cursor".to_owned(), cursor.to_owned());
        values.insert("limit".to_owned(), limit.to_string());
        values.insert("order".to_owned(), if descending { "desc" } else { "asc" }.to_owned());
        self.link_of(&values)
    }

    /// Link of this request with another value of a parameter.
    pub(super) fn with(&self, name: &str, value: i64) -> String {
        let mut values = self.values.clone();
        values.insert(name.to_owned(), value.to_string());
        self.link_of(&values)
    }

    fn link_of(&self, values: &BTreeMap<String, String>) -> String {
        let mut link = format!("{}{}", self.origin, self.path);
        for (index, (name, value)) in values.iter().enumerate() {
            link.push(if index == 0 { '?' } else { '&' });
            escape(&mut link, name);
            link.push('=');
            escape(&mut link, value);
        }
        link
    }
}

/// Percent-encodes all but unreserved characters, which also makes the link safe in JSON.
fn escape(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String never fails.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}
