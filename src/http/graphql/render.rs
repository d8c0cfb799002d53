//! Rendering of answers as the old endpoint did: with its numbers and escapes, errors first, and no data if nothing was
//! executed. Pure.

use std::collections::BTreeMap;

use async_graphql::{PathSegment, Response, ServerError, Value};

use super::{
    output::{AnswerOutput, OutputError},
    plan::List,
    rows,
};
use crate::domain::{json_text::push_string, market_snapshot::MarketSnapshot, number::push_go_number};

/// Errors in an answer. A document can cause one for each of its fields.
const ERRORS_MAX: usize = 10;
/// Characters of an error's text, which can repeat parts of the document.
const MESSAGE_CHARS_MAX: usize = 300;

/// Returns the body of an answer without lists of rows.
#[cfg(test)]
pub(super) fn render(response: &Response) -> String {
    let mut out = String::from("{");
    if push_errors(&mut out, response) {
        push_value(&mut out, &response.data);
    }
    out.push('}');
    out
}

/// Prints an answer. `lists` are the lists that are printed row by row, by their names in the answer.
///
/// # Errors
///
/// The reason for which it was not finished.
pub(super) fn print(
    response: &Response,
    lists: &BTreeMap<String, List>,
    snapshot: &MarketSnapshot,
    out: &mut AnswerOutput,
) -> Result<(), OutputError> {
    out.text.push('{');
    out.has_data = push_errors(&mut out.text, response);
    if out.has_data {
        match &response.data {
            Value::Object(fields) => {
                for (place, (name, value)) in fields.iter().enumerate() {
                    out.text.push(if place == 0 { '{' } else { ',' });
                    push_string(&mut out.text, name);
                    out.text.push(':');
                    match lists.get(name.as_str()) {
                        Some(list) => rows::print(list, snapshot, out)?,
                        None => push_value(&mut out.text, value),
                    }
                }
                out.text.push('}');
            }
            // Directives skip all fields. With an error the data are null.
            Value::Null if response.errors.is_empty() => out.text.push_str("{}"),
            other => push_value(&mut out.text, other),
        }
    }
    out.text.push('}');
    Ok(())
}

/// Appends the errors, and the key `data` if the document was executed. Returns true in that case.
fn push_errors(out: &mut String, response: &Response) -> bool {
    if !response.errors.is_empty() {
        out.push_str("\"errors\":");
        push_list(out, '[', ']', response.errors.iter().take(ERRORS_MAX), push_error);
    }
    // Only errors of resolvers have a path, and resolvers only run if the document is executed.
    let was_executed = response.errors.iter().all(|error| !error.path.is_empty());
    if was_executed {
        out.push_str(if response.errors.is_empty() { "\"data\":" } else { ",\"data\":" });
    }
    was_executed
}

fn push_list<T>(
    out: &mut String,
    open: char,
    close: char,
    items: impl Iterator<Item = T>,
    push: impl Fn(&mut String, T),
) {
    out.push(open);
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(',');
        }
        push(out, item);
    }
    out.push(close);
}

fn push_error(out: &mut String, error: &ServerError) {
    let message: String = error.message.chars().take(MESSAGE_CHARS_MAX).collect();
    out.push_str("{\"message\":");
    push_string(out, &message);
    if error.path.is_empty() {
        out.push_str(",\"locations\":");
        push_list(out, '[', ']', error.locations.iter().take(ERRORS_MAX), |out, at| {
            out.push_str(&format!("{{\"line\":{},\"column\":{}}}", at.line, at.column));
        });
    } else {
        out.push_str(",\"path\":");
        push_list(out, '[', ']', error.path.iter(), |out, segment| match segment {
            PathSegment::Field(name) => push_string(out, name),
            PathSegment::Index(index) => out.push_str(&index.to_string()),
        });
    }
    out.push('}');
}

fn push_value(out: &mut String, value: &Value) {
    match value {
        Value::Null | Value::Binary(_) => out.push_str("null"), // No type of the schema is binary.
        Value::Boolean(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => match number.as_f64() {
            Some(double) if number.is_f64() => push_go_number(out, double),
            _ => out.push_str(&number.to_string()),
        },
        Value::String(text) => push_string(out, text),
        Value::Enum(name) => push_string(out, name),
        Value::List(items) => push_list(out, '[', ']', items.iter(), push_value),
        Value::Object(fields) => push_list(out, '{', '}', fields.iter(), |out, (name, value)| {
            push_string(out, name);
            out.push(':');
            push_value(out, value);
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::value;

    #[test]
    fn prints_as_the_old_endpoint_did() {
        let data = value!({"a": [{"text": "<&>", "whole": 100.0, "small": 1e-7, "count": 5, "none": null, "flag": true}]});
        assert_eq!(
            render(&Response::new(data)),
            r#"{"data":{"a":[{"text":"\u003c\u0026\u003e","whole":100,"small":1e-7,"count":5,"none":null,"flag":true}]}}"#
        );
    }

    #[test]
    fn errors_of_resolvers_have_a_path_and_null_data_and_errors_of_documents_have_no_data() {
        let pos = async_graphql::Pos { line: 1, column: 9 };
        let refused = ServerError::new("no", Some(pos)).with_path(vec![PathSegment::Field("markets".into())]);
        assert_eq!(
            render(&Response::from_errors(vec![refused])),
            r#"{"errors":[{"message":"no","path":["markets"]}],"data":null}"#
        );
        let wrong = ServerError::new("no\u{1}", Some(pos));
        assert_eq!(
            render(&Response::from_errors(vec![wrong])),
            r#"{"errors":[{"message":"no\u0001","locations":[{"line":1,"column":9}]}]}"#
        );
    }

    #[test]
    fn errors_are_few_and_short() {
        let errors = (0..10_000).map(|_| ServerError::new("x".repeat(10_000), None)).collect();
        assert!(render(&Response::from_errors(errors)).len() < 4_000);
    }
}
