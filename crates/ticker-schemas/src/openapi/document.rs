//! The OpenAPI document as JSON.

use serde_json::{Map, Value, json};

use super::{Answer, OPERATIONS, Operation, Parameter, Values};
use crate::{SCHEMAS, SchemaError};

/// The document. `version` is that of the program.
///
/// # Errors
///
/// A schema that is not JSON.
pub fn document(version: &str) -> Result<Value, SchemaError> {
    let mut paths: Map<String, Value> = OPERATIONS
        .iter()
        .map(|operation| (operation.path.to_owned(), json!({"get": get(operation)})))
        .collect();
    if let Some(graphql) = paths.get_mut("/graphql").and_then(Value::as_object_mut) {
        graphql.insert("post".to_owned(), post_of_graphql());
    }
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "stellar-ticker",
            "version": version,
            "summary": "Market data of Stellar's built-in exchange",
            "description": "Prices are quote per base. Amounts are units. Decimals are strings without exponents. \
                            Errors are application/problem+json (RFC 9457), and those of /udf are of TradingView's protocol.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas()?,
            "responses": {
                "problem": {
                    "description": "The reason, as a problem of RFC 9457",
                    "content": {
                        "application/problem+json": {"schema": {"$ref": "#/components/schemas/problem"}},
                    },
                },
                "udf_error": {
                    "description": "The reason, as an error of TradingView's protocol",
                    "content": {"application/json": {"schema": udf_error()}},
                },
            },
            "headers": {
                "X-Ticker-Seq": {
                    "description": "Last batch of the view that the answer was made from",
                    "schema": {"type": "integer"},
                },
                "X-Ticker-As-Of": {
                    "description": "Time of that view, RFC 3339",
                    "schema": {"$ref": "#/components/schemas/common.time"},
                },
            },
        },
    }))
}

fn get(operation: &Operation) -> Value {
    let mut responses = Map::new();
    responses.insert("200".to_owned(), answer(operation));
    for status in operation.statuses {
        let response = match status {
            301 => json!({
                "description": "The address of the same in its canonical spelling",
                "headers": {"Location": {"required": true, "schema": {"type": "string"}}},
            }),
            400 if operation.path == "/graphql" => refusal_of_graphql(),
            503 if operation.path.starts_with("/udf/") => json!({"$ref": "#/components/responses/udf_error"}),
            _ => json!({"$ref": "#/components/responses/problem"}),
        };
        responses.insert(status.to_string(), response);
    }
    let name = operation.path.trim_matches('/').replace(['/', '.'], "_").replace(['{', '}'], "");
    json!({
        "operationId": if name.is_empty() { "root" } else { &name },
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": operation.parameters.iter().map(parameter).collect::<Vec<_>>(),
        "responses": responses,
    })
}

/// Schema of an error of TradingView's protocol.
fn udf_error() -> Value {
    json!({
        "type": "object",
        "properties": {"s": {"const": "error"}, "errmsg": {"type": "string", "minLength": 1}},
        "required": ["s", "errmsg"],
        "additionalProperties": false,
    })
}

/// The only path that is also asked by POST.
fn post_of_graphql() -> Value {
    let problem = json!({"$ref": "#/components/responses/problem"});
    json!({
        "operationId": "post_graphql",
        "tags": ["The old ticker's files and GraphQL"],
        "summary": "Answer to a GraphQL document",
        "requestBody": {"required": true, "content": {"application/json": {"schema": {
            // Without `query` the answer is 200 with an error in the words of GraphQL, as for any wrong document.
            "type": "object",
            "properties": {
                "query": {"type": ["string", "null"], "format": "graphql"},
                "variables": {"type": ["object", "null"]},
                "operationName": {"type": ["string", "null"]},
            },
        }}}},
        "responses": {
            "200": {
                "description": "Data, or errors in the words of GraphQL",
                "content": content_of_graphql(),
            },
            "400": refusal_of_graphql(),
            "408": problem,
            "413": problem,
            "500": problem,
            "503": problem,
        },
    })
}

/// The two media types of an answer of GraphQL, between which `Accept` chooses.
fn content_of_graphql() -> Value {
    json!({
        "application/json": {"schema": {"type": "object"}},
        "application/graphql-response+json": {"schema": {"type": "object"}},
    })
}

/// A document that was not executed gets this status only with the media type of GraphQL over HTTP.
fn refusal_of_graphql() -> Value {
    json!({
        "description": "The reason, as a problem of RFC 9457 or as errors in the words of GraphQL",
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/problem"}},
            "application/graphql-response+json": {"schema": {"type": "object"}},
        },
    })
}

fn parameter(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name,
        "in": if parameter.is_in_path { "path" } else { "query" },
        "required": parameter.is_required,
        "description": parameter.description,
        "schema": match parameter.values {
            Values::Text("text") => json!({"type": "string"}),
            Values::Text(format) => json!({"type": "string", "format": format}),
            Values::Number(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
            Values::Words(words) => json!({"type": "string", "enum": words}),
        },
    })
}

fn answer(operation: &Operation) -> Value {
    let of_schema = |name: &str| json!({"application/json": {"schema": {"$ref": reference(name)}}});
    let content = match operation.answer {
        // A reader of some fields gets a part of each market only.
        Answer::OfView(_) if operation.parameters.iter().any(|parameter| parameter.name == "fields") => {
            json!({"application/json": {"schema": {"type": "object"}}})
        }
        Answer::OfView(schema) | Answer::Json(schema) => of_schema(schema),
        Answer::Object if operation.path == "/" => json!({
            "application/json": {"schema": {"type": "object"}},
            "text/html; charset=utf-8": {"schema": {"type": "string"}},
        }),
        Answer::Object if operation.path == "/graphql" => content_of_graphql(),
        Answer::Object => json!({"application/json": {"schema": {"type": ["object", "array"]}}}),
        Answer::Events => json!({"text/event-stream": {"schema": {"type": "string"}}}),
        Answer::Text => json!({"text/plain; charset=utf-8": {"schema": {"type": "string"}}}),
        Answer::Html => json!({"text/html; charset=utf-8": {"schema": {"type": "string"}}}),
    };
    let mut answer = json!({"description": operation.summary, "content": content});
    if let (Answer::OfView(_), Some(answer)) = (operation.answer, answer.as_object_mut()) {
        let headers = ["X-Ticker-Seq", "X-Ticker-As-Of"];
        let header = |name: &str| (name.to_owned(), json!({"$ref": format!("#/components/headers/{name}")}));
        answer.insert("headers".to_owned(), headers.into_iter().map(header).collect::<Map<_, _>>().into());
    }
    answer
}

fn reference(name: &str) -> String {
    format!("#/components/schemas/{name}")
}

/// The schemas and their definitions, each a component of its own: `market`, `market.window`, `common.price`.
fn schemas() -> Result<Map<String, Value>, SchemaError> {
    let mut components = Map::new();
    for schema in SCHEMAS {
        let mut value: Value =
            serde_json::from_str(schema.text).map_err(|error| SchemaError::of(schema.name, &error))?;
        move_references(schema.name, &mut value);
        let Some(fields) = value.as_object_mut() else { continue };
        fields.remove("$schema");
        if let Some(Value::Object(definitions)) = fields.remove("$defs") {
            components.extend(
                definitions.into_iter().map(|(name, value)| (format!("{}.{name}", schema.name), value)),
            );
        }
        if schema.name != "common" {
            components.insert(schema.name.to_owned(), value);
        }
    }
    Ok(components)
}

/// Turns references between files into references between components.
fn move_references(of: &str, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                match inner {
                    Value::String(target) if name == "$ref" => *target = reference(&moved(of, target)),
                    other => move_references(of, other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| move_references(of, item)),
        _ => {}
    }
}

/// Name of the component: of `common.json#/$defs/price` it is `common.price`.
fn moved(of: &str, target: &str) -> String {
    let (file, definition) = target.split_once("#/$defs/").unwrap_or((target, ""));
    let file = file.strip_suffix(".json").unwrap_or(if file.is_empty() { of } else { file });
    if definition.is_empty() { file.to_owned() } else { format!("{file}.{definition}") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(ToOwned::to_owned));
                fields.values().for_each(|inner| references(inner, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_has_its_component_and_every_operation_its_own_id() {
        let document = document("1.2.3").unwrap();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.contains("#/components/schemas/common.price"), "{found:?}");
        assert!(found.contains("#/components/schemas/market.window"), "{found:?}");
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let paths = document.pointer("/paths").and_then(Value::as_object).unwrap();
        let ids = paths.values().filter_map(|path| path.pointer("/get/operationId"));
        let ids: BTreeSet<&str> = ids.filter_map(Value::as_str).collect();
        assert_eq!((ids.len(), paths.len()), (OPERATIONS.len(), OPERATIONS.len()));
    }

    #[test]
    fn parameters_of_a_path_are_those_in_braces() {
        for operation in OPERATIONS {
            let named: Vec<&str> =
                operation.parameters.iter().filter(|one| one.is_in_path).map(|one| one.name).collect();
            let in_braces: Vec<&str> =
                operation.path.split('{').skip(1).filter_map(|part| part.split('}').next()).collect();
            assert_eq!(named, in_braces, "{}", operation.path);
        }
    }
}
