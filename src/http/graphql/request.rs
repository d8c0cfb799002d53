//! Requests to the endpoint, from a body or a query string. Pure.

use std::collections::BTreeMap;

use async_graphql::{ServerError, Variables, parser::parse_query};
use async_graphql_actix_web::GraphQLRequest;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    conflicts,
    limits::{self, Cost, LimitError},
    typename, variables,
};
use crate::domain::market_snapshot::MarketSnapshot;

/// Error in a body or a query string.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RequestError {
    #[error("batches are not supported: send one request at a time")]
    Batch,
    #[error("the body must be a JSON object with \"query\"")]
    NoObject,
    #[error("the body is not JSON: {0}")]
    NoJson(String),
    #[error("\"variables\" is not JSON: {0}")]
    VariablesNoJson(String),
    #[error("\"query\" and \"operationName\" must be strings, \"variables\" must be an object")]
    WrongType,
    #[error("the query string must be a list of key=value pairs in UTF-8")]
    QueryString,
}

/// A document with its parameters. Equal requests have equal answers, so it is the key of the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct DocumentRequest {
    query: String,
    operation_name: Option<String>,
    /// Variables as JSON with sorted keys; empty for none.
    variables: String,
}

impl DocumentRequest {
    /// Reads a JSON body, as leniently as the old ticker did. The content type does not matter, keys may be in any
    /// case, bytes after the object are ignored, and bytes of a text that are not UTF-8 become U+FFFD.
    pub(super) fn from_body(body: &[u8]) -> Result<Self, RequestError> {
        let text = String::from_utf8_lossy(body);
        // Without `end()`, the deserializer stops after the first value.
        match Value::deserialize(&mut serde_json::Deserializer::from_str(&text)) {
            Ok(Value::Object(object)) => Self::from_parts(&|key| value_of(&object, key).cloned()),
            Ok(Value::Array(_)) => Err(RequestError::Batch),
            Ok(_) => Err(RequestError::NoObject),
            Err(error) => Err(RequestError::NoJson(error.to_string())),
        }
    }

    /// Reads `query`, `operationName` and `variables` (JSON) of a query string.
    pub(super) fn from_query_string(text: &str) -> Result<Self, RequestError> {
        let pairs = actix_web::web::Query::<BTreeMap<String, String>>::from_query(text);
        let pairs = pairs.map_err(|_| RequestError::QueryString)?;
        let variables = pairs.get("variables").filter(|text| !text.is_empty());
        let variables: Option<Value> = variables
            .map(|text| serde_json::from_str(text))
            .transpose()
            .map_err(|error| RequestError::VariablesNoJson(error.to_string()))?;
        Self::from_parts(&|key| match key {
            "variables" => variables.clone(),
            _ => pairs.get(key).cloned().map(Value::String),
        })
    }

    fn from_parts(part: &dyn Fn(&str) -> Option<Value>) -> Result<Self, RequestError> {
        let text = |key: &str| match part(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(RequestError::WrongType),
        };
        let variables = match part("variables") {
            None | Some(Value::Null) => String::new(),
            Some(variables @ Value::Object(_)) => variables.to_string(),
            Some(_) => return Err(RequestError::WrongType),
        };
        Ok(Self {
            query: text("query")?.unwrap_or_default(),
            operation_name: text("operationName")?.filter(|name| !name.is_empty()),
            variables,
        })
    }

    /// Returns the bytes of all parts.
    pub(super) fn len(&self) -> usize {
        self.query.len() + self.variables.len() + self.operation_name.as_ref().map_or(0, String::len)
    }

    /// Parses the document and counts its cost on this snapshot. The inner error is the answer to an invalid document.
    ///
    /// # Errors
    ///
    /// The limit that the document exceeds.
    pub(super) fn parse(
        &self,
        snapshot: &MarketSnapshot,
    ) -> Result<Result<(GraphQLRequest, Cost), ServerError>, LimitError> {
        limits::check_text(&self.query)?;
        let mut document = match parse_query(&self.query) {
            Ok(document) => document,
            Err(error) => return Ok(Err(error.into())),
        };
        // Either an object, which `from_parts` has checked, or empty.
        let variables = serde_json::from_str(&self.variables).map(Variables::from_json).unwrap_or_default();
        let operation_name = self.operation_name.as_deref();
        let variables = variables::completed(variables, &document, operation_name);
        let cost = limits::check(&document, &variables, snapshot)?;
        let checked = conflicts::check(&document)
            .and_then(|()| variables::check_required(&variables, &document, operation_name))
            .and_then(|()| typename::move_directives(&mut document));
        if let Err(error) = checked {
            return Ok(Err(error));
        }
        let mut request = async_graphql::Request::new(String::new()).variables(variables);
        request.operation_name.clone_from(&self.operation_name);
        request.set_parsed_query(document);
        Ok(Ok((GraphQLRequest(request), cost)))
    }
}

/// Value of a key: of the exact key, else of one that differs in case only. Of two such keys the old ticker took the
/// last one, but no client sends two.
fn value_of<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let in_other_case =
        || object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    object.get(name).or_else(in_other_case)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(query: &str, operation_name: Option<&str>, variables: &str) -> DocumentRequest {
        let operation_name = operation_name.map(str::to_owned);
        DocumentRequest { query: query.into(), operation_name, variables: variables.into() }
    }

    fn is_no_json(body: &[u8]) -> bool {
        matches!(DocumentRequest::from_body(body), Err(RequestError::NoJson(_)))
    }

    #[test]
    fn reads_an_object_and_nothing_else() {
        for (body, expected) in [
            (r#"{"query": "{a}"}"#, Ok(request("{a}", None, ""))),
            (
                r#"{"query":"{a}","operationName":null,"variables":null,"x":[1]}"#,
                Ok(request("{a}", None, "")),
            ),
            (
                r#"{"query":"q","operationName":"Q","variables":{"b":1,"a":[]}}"#,
                Ok(request("q", Some("Q"), r#"{"a":[],"b":1}"#)),
            ),
            ("{}", Ok(DocumentRequest::default())),
            (r#"[{"query": "{a}"}]"#, Err(RequestError::Batch)),
            ("null", Err(RequestError::NoObject)),
            ("\"x\"", Err(RequestError::NoObject)),
            (r#"{"query": 5}"#, Err(RequestError::WrongType)),
            (r#"{"query": "", "variables": "x"}"#, Err(RequestError::WrongType)),
        ] {
            assert_eq!(DocumentRequest::from_body(body.as_bytes()), expected, "{body}");
        }
        for body in ["{assets{code}}", "", "\u{ff}", "[".repeat(60_000).as_str()] {
            assert!(is_no_json(body.as_bytes()), "{body:.80}");
        }
        assert!(is_no_json(b"\xff"));
    }

    #[test]
    fn keys_may_be_in_any_case_and_the_exact_one_counts() {
        let expected = Ok(request("q", Some("Q"), r#"{"A":1,"a":2}"#));
        for body in [
            r#"{"Query":"q","OperationName":"Q","Variables":{"a":2,"A":1}}"#,
            r#"{"QUERY":"q","operationname":"Q","VARIABLES":{"a":2,"A":1}}"#,
            r#"{"Query":"x","query":"q","OPERATIONNAME":5,"operationName":"Q","variables":{"a":2,"A":1}}"#,
        ] {
            assert_eq!(DocumentRequest::from_body(body.as_bytes()), expected, "{body}");
        }
        let alone = DocumentRequest::from_body(br#"{"query":"q","Variables":{"h":1}}"#);
        assert_eq!(alone, Ok(request("q", None, r#"{"h":1}"#)));
        assert_eq!(DocumentRequest::from_body(br#"{"Query":5}"#), Err(RequestError::WrongType));
    }

    #[test]
    fn bytes_after_the_first_value_are_ignored() {
        for rest in ["\n", "}", "{\"query\":\"b\"}", "[", "x", "\0"] {
            let body = format!("{{\"query\":\"q\"}}{rest}");
            assert_eq!(DocumentRequest::from_body(body.as_bytes()), Ok(request("q", None, "")), "{body:?}");
        }
        assert_eq!(DocumentRequest::from_body(b"[] {\"query\":\"q\"}"), Err(RequestError::Batch));
        for cut in ["{\"query\":\"q\"", "{\"query\":\"q", "x{\"query\":\"q\"}"] {
            assert!(is_no_json(cut.as_bytes()), "{cut}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf_8_become_replacement_characters_within_a_text_only() {
        let read =
            DocumentRequest::from_body(b"{\"query\":\"# \xff\\n{a}\",\"variables\":{\"n\":\"\xe9\"}}\xff");
        assert_eq!(read, Ok(request("# \u{fffd}\n{a}", None, "{\"n\":\"\u{fffd}\"}")));
        for body in [b"\xff{\"query\":\"q\"}".as_slice(), b"{\"query\":\xff\"q\"}", b"{\xffquery:1}"] {
            assert!(is_no_json(body));
        }
    }

    #[test]
    fn half_of_a_surrogate_pair_is_refused_wherever_it_stands() {
        for half in ["\\ud800", "\\udc00", "\\ud800x", "\\ud800\\u0041", "\\udc00\\ud800"] {
            for body in [
                format!("{{\"query\":\"{half}\"}}"),
                format!("{{\"query\":\"q\",\"operationName\":\"{half}\"}}"),
                format!("{{\"query\":\"q\",\"variables\":{{\"p\":\"XLM_{half}\"}}}}"),
                format!("{{\"query\":\"q\",\"variables\":{{\"{half}\":1}}}}"),
            ] {
                assert!(is_no_json(body.as_bytes()), "{body}");
            }
            let variables = format!("query=q&variables={{\"p\":\"{half}\"}}");
            let read = DocumentRequest::from_query_string(&variables);
            assert!(matches!(read, Err(RequestError::VariablesNoJson(_))), "{variables}");
            let text = request(&format!("{{ ticker(pairName: \"XLM_{half}\") {{ close }} }}"), None, "");
            assert!(text.parse(&MarketSnapshot::default()).unwrap().is_err(), "{half}");
        }
        let pair = DocumentRequest::from_body(br#"{"query":"q","variables":{"p":"\ud83d\ude00"}}"#);
        assert_eq!(pair, Ok(request("q", None, "{\"p\":\"\u{1f600}\"}")));
    }

    #[test]
    fn reads_a_query_string() {
        let read =
            DocumentRequest::from_query_string("query=%7Ba%7D&variables=%7B%22h%22%3A1%7D&operationName=Q");
        assert_eq!(read, Ok(request("{a}", Some("Q"), r#"{"h":1}"#)));
        assert_eq!(DocumentRequest::from_query_string(""), Ok(DocumentRequest::default()));
        assert!(matches!(
            DocumentRequest::from_query_string("variables=x"),
            Err(RequestError::VariablesNoJson(_))
        ));
        assert_eq!(DocumentRequest::from_query_string("variables=[]"), Err(RequestError::WrongType));
    }

    #[test]
    fn a_whole_double_costs_what_the_integer_costs() {
        let query = "query($f: Int!) { trades(market: \"XLM_TEA\", first: $f) { id } }";
        let snapshot = MarketSnapshot::default();
        let cost = |variables| request(query, None, variables).parse(&snapshot).unwrap().unwrap().1;
        assert_eq!(cost("{\"f\":1000.0}"), cost("{\"f\":1000}"));
        assert_ne!(cost("{\"f\":1000.0}"), cost("{\"f\":100}"));
    }

    #[test]
    fn an_invalid_document_exceeds_no_limit() {
        let snapshot = MarketSnapshot::default();
        assert!(request("{", None, "").parse(&snapshot).unwrap().is_err());
        assert!(request("", None, "").parse(&snapshot).unwrap().is_err());
        assert!(request("{a}", None, "").parse(&snapshot).unwrap().is_ok());
        assert_eq!(request(&"{".repeat(9_999), None, "").parse(&snapshot).err(), Some(LimitError::Nesting));
        let directives = request(&format!("{{a{}", "@b".repeat(51)), None, "");
        assert_eq!(directives.parse(&snapshot).err(), Some(LimitError::Directives), "before it is parsed");
    }

    proptest! {
        #[test]
        fn no_bytes_cause_a_panic(body in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC*") {
            let _ = (DocumentRequest::from_body(&body), DocumentRequest::from_query_string(&text));
        }
    }
}
