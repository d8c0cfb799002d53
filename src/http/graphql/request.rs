//! What a reader asks, from a body or a query string. Pure.

use std::collections::BTreeMap;

use async_graphql::{ServerError, Variables, parser::parse_query};
use async_graphql_actix_web::GraphQLRequest;
use serde_json::Value;

use super::limits::{self, Cost, TooMuch};
use crate::domain::market_snapshot::MarketSnapshot;

/// Why a body or a query string is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoRequest {
    #[error("several requests at once are not taken: send them one by one")]
    Batch,
    #[error("the body must be a JSON object with \"query\"")]
    NoObject,
    #[error("\"query\" and \"operationName\" must be texts, \"variables\" an object")]
    WrongType,
    #[error("the query string is no list of key=value pairs in UTF-8")]
    QueryString,
}

/// A document and what belongs to it. Two that are equal have the same answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    query: String,
    operation_name: Option<String>,
    /// As JSON, its keys sorted.
    variables: String,
}

impl Asked {
    /// Reads a body, whatever its content type says.
    pub(super) fn from_body(body: &[u8]) -> Result<Self, NoRequest> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(object)) => Self::from_parts(&|key| object.get(key).cloned()),
            Ok(Value::Array(_)) => Err(NoRequest::Batch),
            _ => Err(NoRequest::NoObject),
        }
    }

    /// Reads `query`, `operationName` and `variables` (JSON) of a query string.
    pub(super) fn from_query_string(text: &str) -> Result<Self, NoRequest> {
        let pairs = actix_web::web::Query::<BTreeMap<String, String>>::from_query(text);
        let pairs = pairs.map_err(|_| NoRequest::QueryString)?;
        let variables = pairs.get("variables").filter(|text| !text.is_empty());
        let variables: Option<Value> =
            variables.map(|text| serde_json::from_str(text)).transpose().map_err(|_| NoRequest::WrongType)?;
        Self::from_parts(&|key| match key {
            "variables" => variables.clone(),
            _ => pairs.get(key).cloned().map(Value::String),
        })
    }

    fn from_parts(part: &dyn Fn(&str) -> Option<Value>) -> Result<Self, NoRequest> {
        let text = |key: &str| match part(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(NoRequest::WrongType),
        };
        let variables = match part("variables") {
            None | Some(Value::Null) => String::new(),
            Some(variables @ Value::Object(_)) => variables.to_string(),
            Some(_) => return Err(NoRequest::WrongType),
        };
        Ok(Self {
            query: text("query")?.unwrap_or_default(),
            operation_name: text("operationName")?.filter(|name| !name.is_empty()),
            variables,
        })
    }

    /// Bytes that it takes.
    pub(super) fn len(&self) -> usize {
        self.query.len() + self.variables.len() + self.operation_name.as_ref().map_or(0, String::len)
    }

    /// Parses the document and weighs it by what is on this snapshot: the request, or what is wrong with the document.
    ///
    /// # Errors
    ///
    /// The bound that it breaks.
    pub(super) fn parse(
        &self,
        snapshot: &MarketSnapshot,
    ) -> Result<Result<(GraphQLRequest, Cost), ServerError>, TooMuch> {
        limits::check_nesting(&self.query)?;
        let document = match parse_query(&self.query) {
            Ok(document) => document,
            Err(error) => return Ok(Err(error.into())),
        };
        // It was an object, or nothing.
        let variables = serde_json::from_str(&self.variables).map(Variables::from_json).unwrap_or_default();
        let cost = limits::check(&document, &variables, snapshot)?;
        let mut request = async_graphql::Request::new(String::new()).variables(variables);
        request.operation_name.clone_from(&self.operation_name);
        request.set_parsed_query(document);
        Ok(Ok((GraphQLRequest(request), cost)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asked(query: &str, operation_name: Option<&str>, variables: &str) -> Asked {
        let operation_name = operation_name.map(str::to_owned);
        Asked { query: query.into(), operation_name, variables: variables.into() }
    }

    #[test]
    fn reads_an_object_and_nothing_else() {
        for (body, expected) in [
            (r#"{"query": "{a}"}"#, Ok(asked("{a}", None, ""))),
            (r#"{"query":"{a}","operationName":null,"variables":null,"x":[1]}"#, Ok(asked("{a}", None, ""))),
            (
                r#"{"query":"q","operationName":"Q","variables":{"b":1,"a":[]}}"#,
                Ok(asked("q", Some("Q"), r#"{"a":[],"b":1}"#)),
            ),
            ("{}", Ok(Asked::default())),
            (r#"[{"query": "{a}"}]"#, Err(NoRequest::Batch)),
            ("{assets{code}}", Err(NoRequest::NoObject)),
            ("", Err(NoRequest::NoObject)),
            ("\"x\"", Err(NoRequest::NoObject)),
            (r#"{"query": 5}"#, Err(NoRequest::WrongType)),
            (r#"{"query": "", "variables": "x"}"#, Err(NoRequest::WrongType)),
        ] {
            assert_eq!(Asked::from_body(body.as_bytes()), expected, "{body}");
        }
        assert_eq!(Asked::from_body(b"\xff"), Err(NoRequest::NoObject));
        assert_eq!(Asked::from_body("[".repeat(60_000).as_bytes()), Err(NoRequest::NoObject));
    }

    #[test]
    fn reads_a_query_string() {
        let read = Asked::from_query_string("query=%7Ba%7D&variables=%7B%22h%22%3A1%7D&operationName=Q");
        assert_eq!(read, Ok(asked("{a}", Some("Q"), r#"{"h":1}"#)));
        assert_eq!(Asked::from_query_string(""), Ok(Asked::default()));
        assert_eq!(Asked::from_query_string("variables=x"), Err(NoRequest::WrongType));
    }

    #[test]
    fn a_document_that_is_wrong_is_no_refusal() {
        let snapshot = MarketSnapshot::default();
        assert!(asked("{", None, "").parse(&snapshot).unwrap().is_err());
        assert!(asked("", None, "").parse(&snapshot).unwrap().is_err());
        assert!(asked("{a}", None, "").parse(&snapshot).unwrap().is_ok());
        assert_eq!(asked(&"{".repeat(9_999), None, "").parse(&snapshot).err(), Some(TooMuch::Nesting));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC*") {
            let _ = (Asked::from_body(&body), Asked::from_query_string(&text));
        }
    }
}
